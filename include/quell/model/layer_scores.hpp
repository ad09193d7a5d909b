// SPDX-License-Identifier: MIT
/// @file
/// One score for every linear, by which layers are compared: the kurtosis of its weight, or the sensitivity of what is
/// behind it to rounding. And which linears stand out by such scores, each module for itself.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/graph.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"
#include "quell/model/engine.hpp"
#include "quell/outliers/layer_flags.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/layer_error.hpp"
#include "quell/stats/moments.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// The kurtosis of all entries of every weight: 3 for a normal distribution.
///
/// Errors   those of fetch_weight.
[[nodiscard]] inline result<std::vector<double>> kurtosis_scores(const engine& source) {
    std::vector<double> scores;
    for (const site& s : source.graph.sites) {
        QUELL_TRY(const matrix<float> w, fetch_weight(source, s));
        stats::moments seen;
        seen.add(w.view());
        scores.push_back(seen.overall().kurtosis());
    }
    return scores;
}

/// How weights are rounded for a trial.
struct trial_rounding {
    scheme form;
    quant::any_solver solver = {};  ///< one that needs no Gram matrix
    executor threads = {};
    progress_callback progress = {};
};

/// The mean squared error of what is behind a linear when it is rounded and nothing else but what shares its input: of
/// the linears that read the next input of the same layer where there is one (of the attention's output for q, k and v,
/// of the feed-forward's for gate and up), of its own output where it writes the residual stream. Linears that share
/// their input share their score.
///
/// Requires source.replay.
/// Errors   those of fetch_weight, of the solver and of replay.
/// Cost     every block three or four times over the data of replay.
/// Source   "A Sensitivity-based Approach to Mixed-Precision Quantization", arXiv 2503.06518, with the parts of its
/// code:
///          q, k and v together, o, gate and up together, down; what is in front of a block is not rounded. Differs: o
///          has its own score behind grouped queries too.
[[nodiscard]] result<std::vector<double>> sensitivity_scores(const engine& source, const trial_rounding& how);

/// Whether each linear stands out among those of its module, taken in the order of their layers.
[[nodiscard]] inline std::vector<bool> flagged_sites(const graph& g, const std::vector<double>& scores,
                                                     const outliers::layer_flags& rule) {
    QUELL_EXPECTS(scores.size() == g.sites.size(), "one score a site");
    std::map<std::string, std::vector<std::size_t>> modules;
    for (std::size_t s = 0; s < g.sites.size(); ++s) {
        modules[g.sites[s].module].push_back(s);
    }
    std::vector<bool> flagged(g.sites.size());
    for (auto& [name, members] : modules) {
        std::stable_sort(members.begin(), members.end(),
                         [&](std::size_t a, std::size_t b) { return g.sites[a].layer < g.sites[b].layer; });
        std::vector<double> own;
        for (const std::size_t s : members) {
            own.push_back(scores[s]);
        }
        for (const std::size_t layer : rule.detect(own)) {
            flagged[members[layer]] = true;
        }
    }
    return flagged;
}

namespace detail {

/// Rows that entered one input, one after the other.
class kept_rows {
public:
    void add(matrix_view<const float> x) {
        for (std::size_t r = 0; r < x.rows(); ++r) {
            values_.insert(values_.end(), x.row(r).begin(), x.row(r).end());
        }
        cols_ = x.cols();
    }
    [[nodiscard]] matrix_view<const float> view() const {
        return {values_.data(), cols_ == 0 ? 0 : values_.size() / cols_, cols_};
    }

private:
    std::vector<float> values_;
    std::size_t cols_ = 0;
};

class sensitivity {
public:
    sensitivity(const engine& source, const trial_rounding& how)
        : source_(source), how_(how), scores_(source.graph.sites.size()) {}

    result<std::vector<double>> run() && {
        const graph& g = source_.graph;
        for (std::size_t i = 0; i < g.inputs.size(); ++i) {
            const std::vector<std::size_t> readers = g.readers_of(i);
            if (!readers.empty()) {
                QUELL_TRY(const double score, score_of(i, readers));
                for (const std::size_t s : readers) {
                    scores_[s] = score;
                }
            }
            report_progress(how_.progress, "sensitivity", g.inputs[i].name, i + 1, g.inputs.size());
        }
        return std::move(scores_);
    }

private:
    /// The input behind the linears that read input i, in the same layer; that of i itself where there is none.
    [[nodiscard]] std::size_t next_input(std::size_t i, const std::vector<std::size_t>& readers) const {
        const graph& g = source_.graph;
        const std::vector<std::size_t> next =
            i + 1 < g.inputs.size() ? g.readers_of(i + 1) : std::vector<std::size_t>();
        const bool ends =
            std::any_of(readers.begin(), readers.end(), [&](std::size_t s) { return g.sites[s].writes_residual; });
        return !ends && !next.empty() && g.sites[next[0]].layer == g.sites[readers[0]].layer ? i + 1 : i;
    }

    result<double> score_of(std::size_t i, const std::vector<std::size_t>& readers) {
        std::vector<matrix<float>> rounded;
        std::vector<trial_weight> trial;
        for (const std::size_t s : readers) {
            QUELL_TRY(const matrix<float> w, fetch_weight(source_, source_.graph.sites[s]));
            auto codes = how_.solver.solve(w.view(), how_.form, {}, how_.threads);
            if (!codes) {
                return codes.error().in(source_.graph.sites[s].name);
            }
            rounded.push_back(dequantize(*codes));
        }
        for (std::size_t r = 0; r < readers.size(); ++r) {
            trial.push_back({readers[r], std::as_const(rounded[r]).view()});
        }
        const std::size_t behind = next_input(i, readers);
        kept_rows before;
        QUELL_TRY_VOID(watch(readers, {}, behind, before));
        if (behind == i) {
            return error_of_outputs(before.view(), before.view(), readers, rounded);
        }
        kept_rows after;
        QUELL_TRY_VOID(watch(readers, trial, behind, after));
        return error_of_outputs(before.view(), after.view(), source_.graph.readers_of(behind), {});
    }

    result<void> watch(const std::vector<std::size_t>& readers, std::span<const trial_weight> trial, std::size_t input,
                       kept_rows& rows) const {
        return source_.replay(source_.graph.sites[readers[0]].layer, trial,
                              [&](std::size_t seen, matrix_view<const float> x) {
                                  if (seen == input) {
                                      rows.add(x);
                                  }
                              });
    }

    /// The mean square over all outputs of the difference that other inputs, or other weights, make.
    result<double> error_of_outputs(matrix_view<const float> x, matrix_view<const float> changed,
                                    const std::vector<std::size_t>& sites, const std::vector<matrix<float>>& rounded) {
        double squares = 0.0;
        std::size_t outputs = 0;
        for (std::size_t i = 0; i < sites.size(); ++i) {
            QUELL_TRY(const matrix<float> w, fetch_weight(source_, source_.graph.sites[sites[i]]));
            const matrix<float> exact = quant::exact_outputs(x, w.view(), how_.threads);
            const matrix<float> other =
                quant::exact_outputs(changed, rounded.empty() ? w.view() : rounded[i].view(), how_.threads);
            squares += quant::compare_outputs(exact.view(), other.view(), how_.threads).squares;
            outputs += exact.elements().size();
        }
        return outputs == 0 ? 0.0 : squares / static_cast<double>(outputs);
    }

    const engine& source_;
    const trial_rounding& how_;
    std::vector<double> scores_;
};

}  // namespace detail

inline result<std::vector<double>> sensitivity_scores(const engine& source, const trial_rounding& how) {
    QUELL_EXPECTS(static_cast<bool>(source.replay), "an engine that replays its blocks");
    return detail::sensitivity(source, how).run();
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
