// SPDX-License-Identifier: MIT
/// @file
/// QFeM, quantization-free modules: where a few tokens are far above all others, one scale cannot serve both, and the
/// activations keep 16 bits. The weights are rounded like all others. Which inputs these are is decided by their spike
/// ratios and by the loss of the model that comes out.
/// Source: "Mitigating Quantization Errors Due to Activation Spikes in GLU-Based LLMs", arXiv 2405.14428.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/graph.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/model/apply.hpp"
#include "quell/model/engine.hpp"
#include "quell/model/plan.hpp"
#include "quell/model/profile_set.hpp"
#include "quell/quant/make_linear.hpp"
#include "quell/report/number_text.hpp"
#include "quell/rounding/clip_search.hpp"
#include "quell/rounding/rtn.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// The spike ratio of every input of the graph; 1 where nobody looked.
[[nodiscard]] inline std::vector<double> spike_ratios(const graph& g, const profile_set& seen) {
    std::vector<double> ratios;
    for (const input_point& point : g.inputs) {
        const auto found = seen.inputs.find(point.name);
        ratios.push_back(found == seen.inputs.end() ? 1.0 : found->second.spikes.mean());
    }
    return ratios;
}

/// Whether this linear rounds its activations to codes that a spike could take from the others.
[[nodiscard]] inline bool can_be_exempt(const site_plan& decided) {
    return !decided.is_float() && decided.activations.bits < 16;
}

/// Gives all readers of the inputs with a ratio above the threshold activations of 16 bits, with the reason.
///
/// Shapes   ratios: one an input of the graph. A NaN is above every threshold.
inline void exempt_above(plan& decided, const graph& g, std::span<const double> ratios, double threshold) {
    QUELL_EXPECTS(ratios.size() == g.inputs.size(), "one ratio an input");
    for (std::size_t s = 0; s < g.sites.size(); ++s) {
        const double ratio = ratios[g.sites[s].input];
        if (can_be_exempt(decided.sites[s]) && !(ratio <= threshold)) {
            decided.sites[s].activations = {.bits = 16};
            decided.sites[s].reason = "spike ratio " + report::number_text(ratio) + ", above " +
                                      report::number_text(threshold) + ": activations of 16 bits";
        }
    }
}

struct exemption_options {
    double most_share = 0.05;    ///< of the sites may be exempt
    std::size_t least_most = 2;  ///< sites of a small model that may be so in any case
    double tolerance = 0.005;    ///< nats a token that fewer exemptions may cost
    executor threads = {};
    progress_callback progress = {};
};

/// One threshold of the search.
struct exemption_trial {
    double threshold = std::numeric_limits<double>::infinity();
    std::size_t exempt_sites = 0;
    std::optional<double> loss = {};  ///< of the model that comes out, nats a token, where it was measured
};

/// All thresholds within the limit, the highest first: each exempts the readers of one more input, or of several with
/// the same ratio, than the one before.
[[nodiscard]] inline std::vector<exemption_trial> exemption_thresholds(const plan& decided, const graph& g,
                                                                       std::span<const double> ratios,
                                                                       const exemption_options& options) {
    std::vector<double> levels;
    for (std::size_t s = 0; s < g.sites.size(); ++s) {
        if (can_be_exempt(decided.sites[s])) {
            levels.push_back(ratios[g.sites[s].input]);
        }
    }
    std::sort(levels.begin(), levels.end(), std::greater<>());
    const auto share = static_cast<std::size_t>(options.most_share * static_cast<double>(g.sites.size()));
    const std::size_t most = std::max(share, options.least_most);
    std::vector<exemption_trial> trials;
    for (std::size_t above = 0; above < levels.size() && above <= most;) {
        trials.push_back({.threshold = levels[above], .exempt_sites = above});
        while (above < levels.size() && levels[above] == trials.back().threshold) {
            ++above;
        }
    }
    return trials;
}

/// The first trial whose loss is within `tolerance` of the last one's, by bisection: more exemptions are taken never
/// to cost more.
///
/// Requires at least one trial; measure(trial): its loss.
/// Cost     the losses of 2 + log2(trials) of them at most.
template <typename Measure>
[[nodiscard]] result<std::size_t> bisect_trials(std::span<exemption_trial> trials, double tolerance, Measure measure) {
    std::size_t good = trials.size() - 1;
    QUELL_TRY(trials[good].loss, measure(trials[good]));
    const double enough = *trials[good].loss + tolerance;
    for (std::size_t bad = 0, next = 0; bad < good; next = bad + (good - bad) / 2) {
        QUELL_TRY(trials[next].loss, measure(trials[next]));
        if (*trials[next].loss <= enough) {
            good = next;
        } else {
            bad = next + 1;
        }
    }
    return good;
}

namespace detail {

/// Fills in the static scales that no transform changes, so that the engine need not calibrate again.
inline void fill_static_scales(plan& decided, const graph& g, const profile_set& seen) {
    for (std::size_t s = 0; s < g.sites.size(); ++s) {
        const input_plan& input = decided.inputs[g.sites[s].input];
        const auto found = seen.inputs.find(input.name);
        if (input.target == scale_target::none && found != seen.inputs.end()) {
            decided.sites[s].activations =
                quant::calibrated(decided.sites[s].activations, found->second.absmax, quant::input_change());
        }
    }
}

/// The engine for trials: its calibration is one row an input that has the maxima of all, which is all that static
/// scales and smoothing look at.
[[nodiscard]] inline engine trial_engine(const engine& source, const profile_set& seen) {
    engine trial = source;
    trial.calibrate = [&source, &seen](const input_observer& see) -> result<void> {
        for (std::size_t i = 0; i < source.graph.inputs.size(); ++i) {
            const auto found = seen.inputs.find(source.graph.inputs[i].name);
            if (found != seen.inputs.end()) {
                const std::span<const float> maxima = found->second.absmax.per_channel();
                see(i, {maxima.data(), 1, maxima.size()});
            }
        }
        return {};
    };
    return trial;
}

/// The plan for a trial: weights to the nearest code at once. All trials share that error.
[[nodiscard]] inline plan trial_plan(plan decided) {
    for (site_plan& site : decided.sites) {
        site.solver = {rounding::rtn{rounding::no_clip_search}};
    }
    return decided;
}

}  // namespace detail

/// Finds the highest threshold that is as good as any within the limit, and exempts what is above it.
///
/// Requires source.loss, and what apply() requires; `seen`: profiles of all inputs, collected behind the plan's prefix.
/// Errors   those of apply() and of the engine.
/// Cost     a model rounded to nearest and its loss for each of some 2 + log2(sites within the limit) trials.
/// Source   QFeM. Differs: the paper's search is not published; this one is ours. Its half-precision activations are
///          codes of 16 bits with a scale a token.
///
/// Gives the trials, of which `decided` is now the chosen one.
[[nodiscard]] inline result<std::vector<exemption_trial>> exempt_spikes(const engine& source, const profile_set& seen,
                                                                        plan& decided,
                                                                        const exemption_options& options = {}) {
    QUELL_EXPECTS(static_cast<bool>(source.loss), "an engine that measures losses");
    const std::vector<double> ratios = spike_ratios(source.graph, seen);
    detail::fill_static_scales(decided, source.graph, seen);
    std::vector<exemption_trial> trials = exemption_thresholds(decided, source.graph, ratios, options);
    if (trials.empty()) {
        return trials;
    }
    const engine replay = detail::trial_engine(source, seen);
    std::size_t done = 0;
    const auto measure = [&](const exemption_trial& t) -> result<double> {
        plan trial = detail::trial_plan(decided);
        exempt_above(trial, source.graph, ratios, t.threshold);
        QUELL_TRY(quantized_model made, apply(replay, trial, {.threads = options.threads}));
        report_progress(options.progress, "exempt", std::to_string(t.exempt_sites) + " sites", ++done, trials.size());
        return source.loss(std::move(made));
    };
    QUELL_TRY(const std::size_t chosen, bisect_trials(trials, options.tolerance, measure));
    exempt_above(decided, source.graph, ratios, trials[chosen].threshold);
    return trials;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
