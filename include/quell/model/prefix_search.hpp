// SPDX-License-Identifier: MIT
/// @file
/// QFeP, the quantization-free prefix: a few tokens that draw the activation spikes to themselves. Run once in float
/// and kept as keys and values in front of every text, they leave nothing to spike in what follows. Here they are
/// found; the engine keeps them.
/// Source: "Mitigating Quantization Errors Due to Activation Spikes in GLU-Based LLMs", arXiv 2405.14428.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/graph.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/model/engine.hpp"
#include "quell/outliers/spike_ratio.hpp"
#include "quell/stats/token_max.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// max |x| and energy of every token at one input, and what one scale for all of them costs.
class static_cost {
public:
    void add(matrix_view<const float> x) {
        channels_ = static_cast<double>(x.cols());
        maxima_.add(x);
        for (std::size_t r = 0; r < x.rows(); ++r) {
            double energy = 0.0;
            for (const float v : x.row(r)) {
                energy += static_cast<double>(v) * static_cast<double>(v);
            }
            energies_.push_back(energy);
        }
    }

    [[nodiscard]] std::span<const float> maxima() const { return maxima_.values(); }

    /// The share of its energy that a token loses to 8-bit codes with the scale max |x| / 127, on the mean over tokens:
    /// C scale^2 / 12 of |x_t|^2, and no more than everything.
    [[nodiscard]] double mean_loss() const {
        double largest = 0.0;
        for (const float v : maxima()) {
            largest = std::max(largest, static_cast<double>(v));
        }
        const double noise = channels_ * (largest / 127.0) * (largest / 127.0) / 12.0;
        double sum = 0.0;
        for (const double energy : energies_) {
            sum += noise < energy ? noise / energy : noise > 0.0 ? 1.0 : 0.0;
        }
        return energies_.empty() ? 0.0 : sum / static_cast<double>(energies_.size());
    }

private:
    stats::token_max maxima_;
    std::vector<double> energies_;
    double channels_ = 0.0;
};

struct prefix_options {
    std::vector<std::int32_t> starts;  ///< tokens that may begin the prefix: BOS, or EOS where there is none
    std::size_t window = 512;          ///< tokens of a calibration sequence
    double least_ratio = 20.0;         ///< no prefix where no spike ratio reaches this: it changes what follows, too
    std::size_t triggers = 3;          ///< tokens with the largest spikes that are tried
    std::size_t largest = 3;           ///< of a sequence, from which they are taken
    std::size_t contexts = 200;        ///< frequent tokens that are tried in front of a trigger
    std::size_t judged_tokens = 1024;  ///< of the calibration data, behind which two prefixes are compared
    std::size_t most_tokens = 5;       ///< of a prefix
    double least_gain = 0.01;          ///< relative: what one more token must bring
    progress_callback progress = {};
};

/// A prefix with what the search thinks of it.
struct judged_prefix {
    std::vector<std::int32_t> ids;
    double first_over_second = 0.0;  ///< how much less the trigger spikes when it comes again; 0: not measured
    double cost = 0.0;               ///< mean over the linears of static_cost behind it
};

struct prefix_search {
    std::vector<std::int32_t> prefix;   ///< the best
    std::size_t input = 0;              ///< index of the input with the largest spike ratio
    double spike_ratio = 1.0;           ///< of it, without a prefix
    std::vector<judged_prefix> judged;  ///< in the order in which they were tried; the first is no prefix
};

namespace detail {

/// Ids with the largest spike seen of each.
using spike_map = std::map<std::int32_t, float>;

/// The keys with the largest values, the largest first; of equal ones the smaller key.
template <typename Value>
[[nodiscard]] std::vector<std::int32_t> largest_keys(const std::map<std::int32_t, Value>& values, std::size_t most) {
    std::vector<std::pair<std::int32_t, Value>> order(values.begin(), values.end());
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    std::vector<std::int32_t> keys;
    for (std::size_t i = 0; i < std::min(most, order.size()); ++i) {
        keys.push_back(order[i].first);
    }
    return keys;
}

/// Adds the largest tokens of a sequence but its first, which stands where a prefix would.
inline void note_largest(token_ids ids, std::span<const float> maxima, std::size_t most, spike_map& seen) {
    std::vector<std::size_t> order;
    for (std::size_t t = 1; t < maxima.size(); ++t) {
        order.push_back(t);
    }
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return maxima[a] > maxima[b]; });
    for (std::size_t i = 0; i < std::min(most, order.size()); ++i) {
        float& largest = seen[ids[order[i]]];
        largest = std::max(largest, maxima[order[i]]);
    }
}

/// One run of find_prefix().
class prefix_finder {
public:
    prefix_finder(const engine& source, token_ids ids, const prefix_options& options)
        : source_(source), ids_(ids), options_(options), spikes_(source.graph.inputs.size()) {}

    result<prefix_search> run() && {
        QUELL_TRY_VOID(look_at_text());
        QUELL_TRY_VOID(judge({}));
        if (found_.spike_ratio < options_.least_ratio) {
            return std::move(found_);
        }
        QUELL_TRY(const std::vector<judged_prefix> paired, pair_triggers());
        for (const std::int32_t start : options_.starts) {
            QUELL_TRY_VOID(judge({.ids = {start}}));
        }
        for (const judged_prefix& candidate : paired) {
            QUELL_TRY_VOID(judge(candidate));
        }
        QUELL_TRY_VOID(lengthen());
        found_.prefix = best().ids;
        return std::move(found_);
    }

private:
    [[nodiscard]] std::size_t sequences() const { return (ids_.size() + options_.window - 1) / options_.window; }
    [[nodiscard]] token_ids sequence(std::size_t i) const {
        const std::size_t first = i * options_.window;
        return ids_.subspan(first, std::min(options_.window, ids_.size() - first));
    }

    /// Shows what enters the inputs of the graph while `ids` run behind the prefix; that of the head is left out.
    template <typename See>
    result<void> probe(token_ids prefix, token_ids ids, const See& see) const {
        return source_.probe(prefix, ids, [&](std::size_t input, matrix_view<const float> x) {
            if (input < spikes_.size()) {
                see(input, x);
            }
        });
    }

    /// Step 1 and 2: the spike ratio of every input, and which tokens are the largest there.
    result<void> look_at_text() {
        std::vector<outliers::spike_ratio> ratios(spikes_.size());
        for (std::size_t i = 0; i < sequences(); ++i) {
            const token_ids ids = sequence(i);
            QUELL_TRY_VOID(probe({}, ids, [&](std::size_t input, matrix_view<const float> x) {
                ratios[input].add(x);
                stats::token_max maxima;
                maxima.add(x);
                note_largest(ids, maxima.values(), options_.largest, spikes_[input]);
            }));
            report_progress(options_.progress, "prefix", "spikes", i + 1, sequences());
        }
        for (std::size_t i = 0; i < ratios.size(); ++i) {
            if (ratios[i].mean() > found_.spike_ratio) {
                found_.input = i;
                found_.spike_ratio = ratios[i].mean();
            }
        }
        return {};
    }

    /// Step 3: the most frequent tokens, but for the first of each sequence.
    [[nodiscard]] std::vector<std::int32_t> contexts() const {
        std::map<std::int32_t, std::size_t> counts;
        for (std::size_t i = 0; i < sequences(); ++i) {
            for (const std::int32_t id : sequence(i).subspan(1)) {
                ++counts[id];
            }
        }
        return largest_keys(counts, options_.contexts);
    }

    /// Step 4: for every trigger the context in front of which it spikes once and then no more.
    result<std::vector<judged_prefix>> pair_triggers() {
        const std::vector<std::int32_t> triggers = largest_keys(spikes_[found_.input], options_.triggers);
        const std::vector<std::int32_t> fronts = contexts();
        std::vector<judged_prefix> best(triggers.size());
        for (std::size_t t = 0; t < triggers.size(); ++t) {
            for (std::size_t c = 0; c < fronts.size(); ++c) {
                const std::int32_t ids[] = {options_.starts.front(), fronts[c], triggers[t], fronts[c], triggers[t]};
                QUELL_TRY(const double ratio, first_over_second(ids));
                if (ratio > best[t].first_over_second) {
                    best[t] = {.ids = {ids, ids + 3}, .first_over_second = ratio};
                }
                report_progress(options_.progress, "prefix", "pairs", t * fronts.size() + c + 1,
                                triggers.size() * fronts.size());
            }
        }
        std::erase_if(best, [](const judged_prefix& p) { return p.ids.empty(); });
        return best;
    }

    result<double> first_over_second(token_ids ids) const {
        stats::token_max maxima;
        QUELL_TRY_VOID(probe({}, ids, [&](std::size_t input, matrix_view<const float> x) {
            if (input == found_.input) {
                maxima.add(x);
            }
        }));
        QUELL_EXPECTS(maxima.count() == ids.size(), "an engine that shows every token of a probe");
        const float second = maxima.values()[4];
        return second > 0.0F ? static_cast<double>(maxima.values()[2] / second) : 0.0;
    }

    /// Appends the candidate with its cost.
    result<void> judge(judged_prefix candidate) {
        const auto known = [&](const judged_prefix& other) { return other.ids == candidate.ids; };
        if (std::any_of(found_.judged.begin(), found_.judged.end(), known)) {
            return {};
        }
        std::vector<static_cost> costs(spikes_.size());
        const std::size_t judged =
            std::min((options_.judged_tokens + options_.window - 1) / options_.window, sequences());
        for (std::size_t i = 0; i < judged; ++i) {
            QUELL_TRY_VOID(probe(candidate.ids, sequence(i),
                                 [&](std::size_t input, matrix_view<const float> x) { costs[input].add(x); }));
        }
        for (const site& s : source_.graph.sites) {
            candidate.cost += costs[s.input].mean_loss() / static_cast<double>(source_.graph.sites.size());
        }
        found_.judged.push_back(std::move(candidate));
        triggers_.push_back(triggers_behind(costs));
        report_progress(options_.progress, "prefix", "candidates", found_.judged.size(), found_.judged.size());
        return {};
    }

    /// The largest tokens at the inputs that cost most.
    [[nodiscard]] std::vector<std::int32_t> triggers_behind(std::span<const static_cost> costs) const {
        std::map<std::int32_t, double> worst;
        for (const static_cost& cost : costs) {
            const auto largest = std::max_element(cost.maxima().begin(), cost.maxima().end());
            if (largest != cost.maxima().end()) {
                worst[ids_[static_cast<std::size_t>(largest - cost.maxima().begin())]] += cost.mean_loss();
            }
        }
        return largest_keys(worst, options_.triggers);
    }

    [[nodiscard]] std::size_t best_index() const {
        const auto cheaper = [](const judged_prefix& a, const judged_prefix& b) { return a.cost < b.cost; };
        return static_cast<std::size_t>(std::min_element(found_.judged.begin(), found_.judged.end(), cheaper) -
                                        found_.judged.begin());
    }
    [[nodiscard]] const judged_prefix& best() const { return found_.judged[best_index()]; }

    /// Appends to the best prefix what still spikes behind it, as long as that helps.
    result<void> lengthen() {
        for (double before = std::numeric_limits<double>::infinity();
             best().cost < (1.0 - options_.least_gain) * before && best().ids.size() < options_.most_tokens;) {
            before = best().cost;
            const std::vector<std::int32_t> base = best().ids;
            for (const std::int32_t trigger : std::vector<std::int32_t>(triggers_[best_index()])) {
                judged_prefix longer{.ids = base};
                longer.ids.push_back(trigger);
                QUELL_TRY_VOID(judge(std::move(longer)));
            }
        }
        return {};
    }

    const engine& source_;
    token_ids ids_;
    const prefix_options& options_;
    std::vector<spike_map> spikes_;                    ///< by input
    std::vector<std::vector<std::int32_t>> triggers_;  ///< by judged prefix: what still spikes behind it
    prefix_search found_;
};

}  // namespace detail

/// Searches for the prefix behind which one static scale an input loses least.
///
/// Requires source.probe; options.starts not empty; `ids`: calibration data.
/// Errors   errc::not_found without data; those of the engine.
/// Cost     a pass over `ids`, triggers * contexts probes of five tokens, and judged_tokens for every prefix judged.
/// Source   QFeP. Differs: the pairs of context and trigger that the paper's ratio prefers are judged by what static
///          codes lose behind them, together with the start alone, and the best is lengthened by what still spikes.
/// Oracle   reference::find_prefix (tests/reference/prefix_search.hpp).
[[nodiscard]] inline result<prefix_search> find_prefix(const engine& source, token_ids ids,
                                                       const prefix_options& options) {
    QUELL_EXPECTS(static_cast<bool>(source.probe), "an engine that probes");
    QUELL_EXPECTS(!options.starts.empty() && options.window > 0, "a token to begin with, and a length of sequences");
    if (ids.empty()) {
        return error{errc::not_found, "the search for a prefix needs calibration data and there is none"};
    }
    return detail::prefix_finder(source, ids, options).run();
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
