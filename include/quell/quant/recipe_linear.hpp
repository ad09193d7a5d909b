// SPDX-License-Identifier: MIT
/// @file
/// One weight and a recipe become one linear: make_linear for those who choose by name. It knows every policy, those
/// that need a library of their own too; an engine that wants none composes by type (make_linear.hpp).
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/forward.hpp"
#include "quell/quant/make_linear.hpp"
#include "quell/quant/recipe.hpp"
#include "quell/quant/rounded_weight.hpp"
#include "quell/quant/transform_choice.hpp"

#include <span>
#include <vector>

namespace quell::quant {
inline namespace QUELL_BASELINE {

namespace detail {

/// The transform that the first rule of a recipe asks for; of several the best on these inputs.
[[nodiscard]] inline result<any_transform> transform_for(const recipe& how, matrix_view<const float> w,
                                                         matrix_view<const float> inputs, const executor& threads) {
    if (how.transforms.empty()) {
        return any_transform{};
    }
    const std::vector<any_transform>& candidates = how.transforms.front().transforms;
    if (candidates.size() == 1) {
        return candidates.front();
    }
    QUELL_TRY_VOID(check_inputs(inputs, w));
    any_stats seen;
    for (const any_transform& candidate : candidates) {
        candidate.select(seen);
    }
    seen.add(inputs);
    return choose_transform(candidates, {seen, inputs, {&w, 1}}, rounding_of(how.weights, how.activations), threads);
}

}  // namespace detail

/// Shapes   w [out, in]; bias [out] or empty; inputs [tokens, in], rows of calibration data, empty where the recipe
///          needs none.
/// Errors   those of the make_linear that takes a composition; errc::unsupported for a recipe that allocates bits.
[[nodiscard]] inline result<linear> make_linear(const recipe& how, matrix_view<const float> w,
                                                std::span<const float> bias = {}, matrix_view<const float> inputs = {},
                                                const executor& threads = {}) {
    QUELL_TRY_VOID(detail::check_layer(w, bias));
    if (how.allocation) {
        return error{errc::unsupported, "the recipe " + how.name + " spreads bits over the linears of a whole model"};
    }
    if (how.is_float()) {
        return linear(float_linear(w, bias, threads));
    }
    if (how.needs_calibration() && inputs.rows() == 0) {
        return error{errc::not_found, "the recipe " + how.name + " needs rows of inputs"};
    }
    QUELL_TRY(const any_transform transform, detail::transform_for(how, w, inputs, threads));
    any_quantizer<> quantizer{.transform = transform, .solver = how.solver};
    select_collectors(quantizer.stats, transform, how.activations);
    how.solver.select(quantizer.stats);
    QUELL_TRY(const detail::layer_problem problem,
              detail::prepare_layer(quantizer, how.activations, w, inputs, threads));
    QUELL_TRY(const rounded_weight rounded, how.solver.round(problem.w.view(), how.weights, problem.known(), threads));
    return linear_of(rounded, {problem.activations, bias, online_part(problem.change), {}}, threads);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
