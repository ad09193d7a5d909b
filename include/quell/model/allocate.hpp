// SPDX-License-Identifier: MIT
/// @file
/// From a recipe that spreads bits over the linears to a plan that says what each one gets and why. apply() then
/// carries it out like any other plan, and it can be stored and edited like any other.
#pragma once

#include "quell/alloc/boost_ladder.hpp"
#include "quell/alloc/knapsack.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/target.hpp"
#include "quell/model/allocate_model.hpp"
#include "quell/model/engine.hpp"
#include "quell/model/layer_scores.hpp"
#include "quell/model/make_plan.hpp"
#include "quell/model/measure.hpp"
#include "quell/model/plan.hpp"
#include "quell/outliers/layer_flags.hpp"
#include "quell/packing/layout.hpp"
#include "quell/quant/allocation_rule.hpp"
#include "quell/quant/recipe.hpp"
#include "quell/quant/recipe_parts.hpp"
#include "quell/report/number_text.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// The plan of any recipe: of one that allocates, after it has looked at the model.
///
/// Requires source.weight; source.replay where the rule is about sensitivity; source.calibrate, source.divergence and
///          source.table where it is about the whole model.
/// Errors   those of make_plan(graph, recipe), of fetch_weight, of the solver, and of the engine; errc::bad_value where
///          the smallest forms exceed the budget.
/// Cost     boosts: one look at every weight, and for sensitivity some runs of every layer; MXQ: every weight rounded
///          to each form of the ladder; a whole model: two passes of calibration, every weight rounded about three
///          times, and one divergence a linear. The result is the same for any executor.
[[nodiscard]] result<plan> make_plan(const engine& source, const quant::recipe& recipe,
                                     const allocate_options& options = {});

namespace detail {

/// "2.51" for a form of the ladder.
[[nodiscard]] inline std::string ladder_label(std::size_t r) {
    return std::string(alloc::boost_ladder[r].label);
}

/// The layers that stand out by each of the two scores of the boosts.
class boost_scores {
public:
    boost_scores(const engine& source, const quant::recipe& recipe, const allocate_options& options)
        : source_(source), recipe_(recipe), options_(options) {}

    [[nodiscard]] result<std::vector<double>> of(quant::allocation_goal goal) const {
        if (goal == quant::allocation_goal::boost_heavy_tails) {
            return kurtosis_scores(source_);
        }
        return sensitivity_scores(source_, {.form = recipe_.weights,
                                            .solver = recipe_.solver,
                                            .threads = options_.threads,
                                            .progress = options_.progress});
    }

    /// At most `most` layers of each module; all of them for 0.
    [[nodiscard]] std::vector<bool> flags(quant::allocation_goal goal, const std::vector<double>& scores,
                                          std::size_t most) const {
        const bool is_kurtosis = goal == quant::allocation_goal::boost_heavy_tails;
        return flagged_sites(
            source_.graph, scores,
            {.step = is_kurtosis ? outliers::score_step::difference : outliers::score_step::ratio, .most = most});
    }

private:
    const engine& source_;
    const quant::recipe& recipe_;
    const allocate_options& options_;
};

/// As many sites of each module as `taken` has, drawn from those that are not `excluded`, or as many as there are.
[[nodiscard]] inline std::vector<bool> draw_sites(const graph& g, const std::vector<bool>& taken,
                                                  const std::vector<bool>& excluded, std::uint64_t seed) {
    std::map<std::string, std::vector<std::size_t>> free;
    std::map<std::string, std::size_t> wanted;
    for (std::size_t s = 0; s < g.sites.size(); ++s) {
        wanted[g.sites[s].module] += taken[s] ? 1U : 0U;
        if (!excluded[s]) {
            free[g.sites[s].module].push_back(s);
        }
    }
    rng draw(seed);
    std::vector<bool> drawn(g.sites.size());
    for (auto& [module, sites] : free) {
        for (std::size_t n = wanted[module]; n > 0 && !sites.empty(); --n) {
            const auto at = sites.begin() + static_cast<std::ptrdiff_t>(draw.below(sites.size()));
            drawn[*at] = true;
            sites.erase(at);
        }
    }
    return drawn;
}

/// Layers that stand out take a form some steps up the ladder.
[[nodiscard]] inline result<plan> boosted_plan(const engine& source, const quant::recipe& recipe,
                                               const allocate_options& options) {
    using enum quant::allocation_goal;
    const quant::allocation_rule& rule = *recipe.allocation;
    QUELL_TRY(plan decided, make_plan(source.graph, recipe));
    const boost_scores looks(source, recipe, options);
    QUELL_TRY(const std::vector<double> scores, looks.of(rule.goal));
    std::vector<bool> flagged = looks.flags(rule.goal, scores, rule.most);
    if (rule.goal == boost_random) {
        QUELL_TRY(const std::vector<double> kurtosis, looks.of(boost_heavy_tails));
        std::vector<bool> excluded = looks.flags(boost_heavy_tails, kurtosis, 0);
        const std::vector<bool> sensitive = looks.flags(boost_sensitive, scores, 0);
        for (std::size_t s = 0; s < excluded.size(); ++s) {
            excluded[s] = excluded[s] || sensitive[s];
        }
        flagged = draw_sites(source.graph, flagged, excluded, rule.seed);
    }
    const std::size_t up = alloc::boosted(rule.base, rule.stop);
    const std::string how = rule.goal == boost_random        ? "drawn at random"
                            : rule.goal == boost_heavy_tails ? "its kurtosis stands out"
                                                             : "its sensitivity stands out";
    for (std::size_t s = 0; s < decided.sites.size(); ++s) {
        site_plan& site = decided.sites[s];
        site.score = scores[s];
        site.flagged = flagged[s] && !site.is_float();
        if (site.flagged) {
            site.weights = quant::ladder_form(alloc::boost_ladder[up]);
            site.reason = how + ": " + ladder_label(up) + " bits instead of " + ladder_label(rule.base);
        }
    }
    return decided;
}

/// What each form of the ladder costs a linear and takes of the budget, as MXQ counts.
[[nodiscard]] inline result<alloc::menu> ladder_menu(const engine& source, const site& where, const site_plan& decided,
                                                     const allocate_options& options) {
    QUELL_TRY(const matrix<float> w, fetch_weight(source, where));
    alloc::menu menu;
    for (const alloc::rung& r : alloc::boost_ladder) {
        const scheme form = quant::ladder_form(r);
        auto codes = decided.solver.solve(w.view(), form, {}, options.threads);
        if (!codes) {
            return codes.error().in(where.name);
        }
        const double error = std::sqrt(measure_rounding(w.view(), *codes, {}, options.threads).error.error_squares);
        menu.push_back({.cost = error, .bytes = packing::stored_bytes(form, w.rows(), w.cols())});
    }
    return menu;
}

/// Source   MXQ, "Mixed-precision quantization" (ICAART 2025), equations 1 to 3: the least sum of |W - W^| over the
///          linears within a budget of their bytes. Differs: bytes are those stored; exact, where the paper gives a
///          general solver some seconds.
[[nodiscard]] inline result<plan> least_error_plan(const engine& source, const quant::recipe& recipe,
                                                   const allocate_options& options) {
    QUELL_TRY(plan decided, make_plan(source.graph, recipe));
    std::vector<std::size_t> sites;
    std::vector<alloc::menu> menus;
    std::size_t parameters = 0;
    for (std::size_t s = 0; s < decided.sites.size(); ++s) {
        const site& where = source.graph.sites[s];
        if (!decided.sites[s].is_float()) {
            QUELL_TRY(alloc::menu menu, ladder_menu(source, where, decided.sites[s], options));
            menus.push_back(std::move(menu));
            sites.push_back(s);
            parameters += where.out_features * where.in_features;
        }
        report_progress(options.progress, "allocate", where.name, s + 1, decided.sites.size());
    }
    const double bytes = recipe.allocation->bits * static_cast<double>(parameters) / 8.0;
    auto best = alloc::allocate(menus, {.bytes = static_cast<std::uint64_t>(bytes)});
    if (!best) {
        return best.error().in(recipe.name);
    }
    for (std::size_t i = 0; i < sites.size(); ++i) {
        const alloc::option& chosen = menus[i][best->chosen[i]];
        site_plan& site = decided.sites[sites[i]];
        site.weights = quant::ladder_form(alloc::boost_ladder[best->chosen[i]]);
        site.score = chosen.cost;
        site.reason = ladder_label(best->chosen[i]) + " bits: an error of " + report::number_text(chosen.cost, 4) +
                      " in " + std::to_string(chosen.bytes) + " bytes";
    }
    return decided;
}

}  // namespace detail

inline result<plan> make_plan(const engine& source, const quant::recipe& recipe, const allocate_options& options) {
    if (!recipe.allocation) {
        return make_plan(source.graph, recipe);
    }
    QUELL_EXPECTS(static_cast<bool>(source.weight), "an engine that gives its weights");
    if (recipe.allocation->goal == quant::allocation_goal::whole_model) {
        QUELL_EXPECTS(source.divergence && !source.graph.stream.empty(),
                      "an engine that tries weights and names its head");
        return detail::least_divergence_plan(source, recipe, options);
    }
    return recipe.allocation->boosts() ? detail::boosted_plan(source, recipe, options)
                                       : detail::least_error_plan(source, recipe, options);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
