// SPDX-License-Identifier: MIT
/// @file
/// One weight and a recipe become one linear: all that an engine needs that replaces a single layer. Whole models go
/// through model/apply.hpp, which can fold scales into what stands before the layer.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/forward.hpp"
#include "quell/quant/recipes.hpp"
#include "quell/stats/finite.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// What the activations of a changed input are multiplied by where the change is not folded: 1 / divisor.
[[nodiscard]] inline buffer<float> online_scale(const input_change& change) {
    buffer<float> scale = buffer<float>::copy_of(change.divisors);
    for (float& v : scale) {
        v = 1.0F / v;
    }
    return scale;
}

/// The scheme with the static scale that `seen` asks for, if it still needs one.
///
/// Units    scale = clip * absmax of the changed input / largest code.
/// Requires absmax selected in `seen` where the scheme needs calibration.
[[nodiscard]] inline activation_scheme calibrated(activation_scheme form, const any_stats& seen,
                                                  const input_change& change) {
    if (!form.needs_calibration()) {
        return form;
    }
    const std::span<const float> maxima = seen.get<stats::absmax>().per_channel();
    float largest = 0.0F;
    for (std::size_t j = 0; j < maxima.size(); ++j) {
        largest = std::max(largest, change.empty() ? maxima[j] : maxima[j] / change.divisors[j]);
    }
    const float codes = form.bits == 8 ? 127.0F : 7.0F;
    form.static_scale = largest > 0.0F ? std::max(form.clip * largest / codes, 0x1p-126F) : 1.0F;
    return form;
}

/// Switches on the collectors that a transform and an activation scheme read.
inline void select_collectors(any_stats& seen, const any_transform& transform, const activation_scheme& activations) {
    transform.select(seen);
    if (activations.needs_calibration()) {
        seen.select<stats::absmax>();
    }
}

/// Shapes   w [out, in]; bias [out] or empty; inputs [tokens, in], rows of calibration data, empty where the recipe
///          needs none.
/// Errors   errc::bad_value for NaN or infinity, by row and column; errc::bad_shape; errc::not_found without the
///          calibration rows that the recipe needs.
[[nodiscard]] inline result<linear> make_linear(const recipe& how, matrix_view<const float> w,
                                                std::span<const float> bias = {}, matrix_view<const float> inputs = {},
                                                const executor& threads = {}) {
    if (auto finite = stats::check_finite(w); !finite) {
        return finite.error().in("weight");
    }
    if (!bias.empty() && bias.size() != w.rows()) {
        return error{errc::bad_shape, "bias has " + std::to_string(bias.size()) + " entries, the weight asks for " +
                                          std::to_string(w.rows())};
    }
    if (how.is_float()) {
        return linear(float_linear(w, bias, threads));
    }
    any_quantizer<> quantizer{.transform = how.transform, .solver = how.solver};
    select_collectors(quantizer.stats, how.transform, how.activations);
    if (how.needs_calibration()) {
        if (inputs.rows() == 0) {
            return error{errc::not_found, "the recipe " + how.name + " needs rows of inputs"};
        }
        if (inputs.cols() != w.cols()) {
            return error{errc::bad_shape, "inputs have " + std::to_string(inputs.cols()) + " columns, the weight has " +
                                              std::to_string(w.cols())};
        }
        if (auto finite = stats::check_finite(inputs); !finite) {
            return finite.error().in("inputs");
        }
        quantizer.collect(inputs);
    }
    matrix<float> changed = matrix<float>::copy_of(w);
    const matrix_view<float> view = changed.view();
    const input_change change = quantizer.reshape({&view, 1});
    QUELL_TRY(packing::packed_matrix packed, quantizer.round(view, how.weights, threads));
    const activation_scheme activations = calibrated(how.activations, quantizer.stats, change);
    QUELL_TRY(quantized_linear layer,
              quantized_linear::make(std::move(packed), activations, bias, online_scale(change)));
    return linear(std::move(layer));
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
