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
#include "quell/quant/recipes.hpp"

#include <span>
#include <utility>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// Shapes   w [out, in]; bias [out] or empty; inputs [tokens, in], rows of calibration data, empty where the recipe
///          needs none.
/// Errors   those of the make_linear that takes a composition.
[[nodiscard]] inline result<linear> make_linear(const recipe& how, matrix_view<const float> w,
                                                std::span<const float> bias = {}, matrix_view<const float> inputs = {},
                                                const executor& threads = {}) {
    QUELL_TRY_VOID(detail::check_layer(w, bias));
    if (how.is_float()) {
        return linear(float_linear(w, bias, threads));
    }
    if (how.needs_calibration() && inputs.rows() == 0) {
        return error{errc::not_found, "the recipe " + how.name + " needs rows of inputs"};
    }
    const any_transform transform = how.transforms.empty() ? any_transform{} : how.transforms.front().transforms.back();
    any_quantizer<> quantizer{.transform = transform, .solver = how.solver};
    select_collectors(quantizer.stats, transform, how.activations);
    QUELL_TRY(quantized_linear layer,
              make_linear(std::move(quantizer), {how.weights, how.activations}, w, bias, inputs, threads));
    return linear(std::move(layer));
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
