// SPDX-License-Identifier: MIT
/// @file
/// Activations as a linear meets them, back in float: what calibration behind rounded activations runs with.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/dispatch.hpp"
#include "quell/kernels/panels.hpp"
#include "quell/kernels/table.hpp"
#include "quell/quant/activation_scheme.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace quell::quant {
inline namespace QUELL_BASELINE {

namespace detail {

/// The scheme for these rows: one that takes a scale for all rows of a call takes that of the largest magnitude.
[[nodiscard]] inline activation_scheme settled(activation_scheme form, matrix_view<const float> x) {
    if (form.at_run_time) {
        float largest = 0.0F;
        for (std::size_t r = 0; r < x.rows(); ++r) {
            for (const float v : x.row(r)) {
                largest = std::max(largest, std::fabs(v));
            }
        }
        form.static_scale = form.scale_for(largest);
    }
    return form;
}

/// One row by the kernel that quantizes activations.
///
/// Shapes   codes [padded_k(x.size())].
inline void round_row(std::span<float> x, const activation_scheme& form, std::span<std::int8_t> codes) {
    float scale = 1.0F;
    std::int32_t zero = 0;
    kernels::best().quantize_rows({.x = x.data(),
                                   .ldx = x.size(),
                                   .rows = 1,
                                   .cols = x.size(),
                                   .bits = form.bits,
                                   .clip = form.clip,
                                   .static_scale = form.static_scale,
                                   .codes = codes.data(),
                                   .stride = codes.size(),
                                   .scales = &scale,
                                   .zeros = form.zero_point ? &zero : nullptr},
                                  0, 1);
    std::transform(x.begin(), x.end(), codes.begin(), x.begin(),
                   [=](float, std::int8_t code) { return static_cast<float>(code - zero) * scale; });
}

}  // namespace detail

/// Every value becomes that of its code.
///
/// Shapes   x [tokens, in].
/// Requires 4 or 8 bits, or more, which leave x as it is; a clip and a static scale that are known.
/// Oracle   plain loops (tests/quant/round_activations_test.cpp).
inline void round_activations(matrix_view<float> x, const activation_scheme& form, const executor& threads = {}) {
    if (form.bits > 8 || x.cols() == 0) {
        return;
    }
    QUELL_EXPECTS(!form.needs_calibration(), "a scheme that is calibrated");
    const activation_scheme known = detail::settled(form, x);
    constexpr std::size_t rows_per_task = 16;
    threads.parallel_for((x.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
        buffer<std::int8_t> codes(kernels::padded_k(x.cols()));
        const std::size_t end = std::min(x.rows(), (task + 1) * rows_per_task);
        for (std::size_t r = task * rows_per_task; r < end; ++r) {
            detail::round_row(x.row(r), known, codes);
        }
    });
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
