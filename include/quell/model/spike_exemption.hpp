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
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
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
    double most_share = 0.05;       ///< of the sites may be exempt, rounded up
    double tolerance = 0.005;       ///< nats a token that fewer exemptions may cost
    std::size_t most_trials = 16;   ///< thresholds whose loss is measured, the highest first
    executor threads = {};
    progress_callback progress = {};
};

/// One threshold of the search.
struct exemption_trial {
    double threshold = std::numeric_limits<double>::infinity();
    std::size_t exempt_sites = 0;
    double loss = 0.0;  ///< of the model that comes out, nats a token
};

/// The thresholds that are worth a trial, the highest first: each lets one more input through than the one before.
/// Loss is not measured yet.
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
    const auto most = static_cast<std::size_t>(std::ceil(options.most_share * static_cast<double>(g.sites.size())));
    std::vector<exemption_trial> trials;
    for (std::size_t above = 0; above < levels.size() && above <= most && trials.size() < options.most_trials;) {
        trials.push_back({.threshold = levels[above], .exempt_sites = above});
        while (above < levels.size() && levels[above] == trials.back().threshold) {
            ++above;
        }
    }
    return trials;
}

/// The trial with the fewest exemptions whose loss is within `tolerance` of the best; trials.size() where there is
/// none.
[[nodiscard]] inline std::size_t choose_trial(std::span<const exemption_trial> trials, double tolerance) {
    double best = std::numeric_limits<double>::infinity();
    for (const exemption_trial& t : trials) {
        best = std::min(best, t.loss);
    }
    std::size_t chosen = 0;
    while (chosen < trials.size() && !(trials[chosen].loss <= best + tolerance)) {
        ++chosen;
    }
    return chosen;
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
/// Cost     a model rounded to nearest and its loss for every trial.
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
    for (std::size_t t = 0; t < trials.size(); ++t) {
        plan trial = detail::trial_plan(decided);
        exempt_above(trial, source.graph, ratios, trials[t].threshold);
        QUELL_TRY(quantized_model made, apply(source, trial, {.threads = options.threads}));
        QUELL_TRY(trials[t].loss, source.loss(std::move(made)));
        report_progress(options.progress, "exempt", report::number_text(trials[t].threshold), t + 1, trials.size());
    }
    if (const std::size_t chosen = choose_trial(trials, options.tolerance); chosen < trials.size()) {
        exempt_above(decided, source.graph, ratios, trials[chosen].threshold);
    }
    return trials;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
