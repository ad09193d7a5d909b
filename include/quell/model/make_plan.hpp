// SPDX-License-Identifier: MIT
/// @file
/// From a recipe and a graph to the plan: which transform each input takes and where its scales go, and what each
/// linear becomes.
#pragma once

#include "quell/core/graph.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/model/plan.hpp"
#include "quell/model/plan_check.hpp"
#include "quell/quant/recipe.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

namespace detail {

/// As the recipe says, or float with the reason why not.
[[nodiscard]] inline site_plan plan_site(const site& s, const quant::recipe& recipe) {
    site_plan asked{
        .name = s.name, .weights = recipe.weights, .activations = recipe.activations, .solver = recipe.solver};
    if (recipe.is_float() || s.module == "head") {  // the head stays in float unless a plan says otherwise
        return {.name = s.name};
    }
    if (s.writes_residual && recipe.writer_activations) {
        asked.activations = *recipe.writer_activations;
    }
    const auto possible = check_site(s, asked);
    return possible ? asked : site_plan{.name = s.name, .fallback = possible.error().message};
}

[[nodiscard]] inline bool is_chosen(quant::input_choice choice, const input_point& point) {
    switch (choice) {
        case quant::input_choice::norm_fed: return point.kind == producer_kind::norm_gain;
        case quant::input_choice::product_fed: return point.kind == producer_kind::product;
        default: return true;
    }
}

/// Where the scales of a transform cost least.
inline void place_scales(const graph& g, std::size_t index, input_plan& decided) {
    decided.folded_into = g.inputs[index].producer;
    decided.target = scale_target::gain;
    decided.reason = fold_obstacle(g, index);
    if (decided.reason.empty()) {
        return;
    }
    decided.target = scale_target::producer;
    if (producer_obstacle(g, index).empty()) {
        decided.reason.clear();
        return;
    }
    if (g.inputs[index].kind == producer_kind::product) {
        decided.reason = producer_obstacle(g, index);
    }
    decided.target = scale_target::online;
    decided.folded_into.clear();
}

[[nodiscard]] inline input_plan plan_input(const graph& g, std::size_t index, const quant::recipe& recipe,
                                           const std::vector<site_plan>& sites) {
    input_plan decided{.name = g.inputs[index].name};
    if (recipe.rotates_stream && g.inputs[index].reads_residual) {
        decided.transform = {quant::rotate{}};
        decided.target = scale_target::stream;
        return decided;
    }
    bool any_quantized = false;
    for (const std::size_t reader : g.readers_of(index)) {
        any_quantized = any_quantized || !sites[reader].is_float();
    }
    const auto rule = std::find_if(recipe.transforms.begin(), recipe.transforms.end(),
                                   [&](const auto& r) { return is_chosen(r.inputs, g.inputs[index]); });
    if (!any_quantized || rule == recipe.transforms.end()) {
        return decided;
    }
    decided.transform = rule->transforms.front();
    decided.candidates = rule->transforms.size() > 1 ? rule->transforms : decided.candidates;
    place_scales(g, index, decided);
    settle(decided);
    return decided;
}

}  // namespace detail

/// Errors   those of check(graph); errc::unsupported where the recipe rotates a stream that cannot be. What no kernel
/// can
///          do is no error but a fallback to float, with its reason.
[[nodiscard]] inline result<plan> make_plan(const graph& g, const quant::recipe& recipe) {
    QUELL_TRY_VOID(check(g));
    plan decided{.recipe = recipe.name, .tuning = recipe.tuning, .calibration = recipe.calibration};
    if (recipe.rotates_stream) {
        if (const std::string obstacle = rotation_obstacle(g); !obstacle.empty()) {
            return error{errc::unsupported, recipe.name + ": the residual stream cannot be rotated: " + obstacle};
        }
        decided.stream = recipe.split_rank == 0 ? stream_basis::rotated : stream_basis::split;
        decided.split_rank = recipe.split_rank;
    }
    for (const site& s : g.sites) {
        decided.sites.push_back(detail::plan_site(s, recipe));
    }
    for (std::size_t i = 0; i < g.inputs.size(); ++i) {
        decided.inputs.push_back(detail::plan_input(g, i, recipe, decided.sites));
    }
    return decided;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
