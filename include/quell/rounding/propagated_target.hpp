// SPDX-License-Identifier: MIT
/// @file
/// The weight that a solver should aim at where the inputs have moved because the layers before it are rounded: the one
/// that brings the outputs back to those of the float model.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/linalg/ordered_product.hpp"
#include "quell/rounding/hessian.hpp"
#include "quell/rounding/solver.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// What solvers learn of the inputs of a linear.
enum class calibration_inputs : std::uint8_t {
    full_precision,  ///< those of the float model (FIAS)
    propagated,      ///< those behind the layers rounded so far; the weight aims at the outputs of the float model
};

struct calibration_rule {
    calibration_inputs inputs = calibration_inputs::full_precision;
    double strength = 1.0;  ///< of propagation: 0: the weight as it is; 1: the minimum, which fits the calibration text
    double damping = 0.01;  ///< of propagation, as hessian_options has it; pulls to the weight as it is

    [[nodiscard]] bool is_propagated() const { return inputs == calibration_inputs::propagated; }
};

namespace detail {

/// Some columns of a matrix, without the rows above first_row and below the last that are zero there.
struct column_band {
    std::size_t first_row;
    matrix<double> values;
};

/// -A B, of which columns(first, count) gives parts.
template <typename Columns>
[[nodiscard]] matrix<double> negative_product(matrix_view<const double> a, const Columns& columns,
                                              const executor& threads) {
    constexpr std::size_t columns_per_task = 32;
    matrix<double> c(a.rows(), a.cols());
    threads.parallel_for((c.cols() + columns_per_task - 1) / columns_per_task, [&](std::size_t task) {
        const std::size_t first = task * columns_per_task;
        const std::size_t count = std::min(columns_per_task, c.cols() - first);
        const column_band b = columns(first, count);
        linalg::subtract_product(c.view().block(0, first, a.rows(), count),
                                 a.block(0, b.first_row, a.rows(), b.values.rows()), b.values.view());
    });
    return c;
}

/// -W S U^T U.
[[nodiscard]] inline matrix<double> negative_step(matrix_view<const float> w, matrix_view<const double> shift,
                                                  matrix_view<const double> u, const executor& threads) {
    const std::size_t n = w.cols();
    const auto of_shift = [&](std::size_t j, std::size_t count) {
        return column_band{0, matrix<double>::copy_of(shift.block(0, j, n, count))};
    };
    const auto of_u_transposed = [&](std::size_t j, std::size_t count) {
        return column_band{j, transposed<double>(u.block(j, j, count, n - j))};
    };
    const auto of_u = [&](std::size_t j, std::size_t count) {
        return column_band{0, matrix<double>::copy_of(u.block(0, j, j + count, count))};
    };
    matrix<double> step(w.rows(), n);
    for (std::size_t r = 0; r < w.rows(); ++r) {
        std::copy(w.row(r).begin(), w.row(r).end(), step.row(r).begin());
    }
    step = negative_product(std::as_const(step).view(), of_shift, threads);
    step = negative_product(std::as_const(step).view(), of_u_transposed, threads);
    return negative_product(std::as_const(step).view(), of_u, threads);
}

}  // namespace detail

/// With inputs X where the float model had X + D, the V that minimizes |X V^T - (X + D) W^T|^2 + delta |V - W|^2 is
/// W + W S H^-1, S = D^T X, H = X^T X + delta I; strength says how much of the way to go.
///
/// Shapes   w [out, in]; shift [in, in]: S; known.gram [in, in]: X^T X.
/// Errors   errc::bad_shape for another shift; those of factor_hessian.
/// Cost     2 out in^2 multiply-subtracts and in^3 / 3 for the factor; 2 out in doubles.
/// Source   Quantization error propagation, arXiv 2504.09629, and GPTAQ, arXiv 2504.02692.
/// Oracle   reference::propagated_target (tests/reference/propagated_target.hpp).
[[nodiscard]] inline result<matrix<float>> propagated_target(matrix_view<const float> w,
                                                             matrix_view<const double> shift,
                                                             const input_knowledge& known,
                                                             const calibration_rule& options,
                                                             const executor& threads = {}) {
    if (shift.rows() != w.cols() || shift.cols() != w.cols()) {
        return error{errc::bad_shape, "a shift of " + std::to_string(shift.rows()) + " x " +
                                          std::to_string(shift.cols()) + " for " + std::to_string(w.cols()) +
                                          " columns"};
    }
    QUELL_TRY(const std::shared_ptr<const hessian_factor> factor,
              factor_hessian(known, w.cols(), {.damping = options.damping}, threads));
    const matrix<double> negative = detail::negative_step(w, shift, factor->u.view(), threads);
    matrix<float> target(w.rows(), w.cols());
    for (std::size_t r = 0; r < w.rows(); ++r) {
        std::transform(w.row(r).begin(), w.row(r).end(), negative.row(r).begin(), target.row(r).begin(),
                       [&](float weight, double step) {
                           return static_cast<float>(static_cast<double>(weight) -
                                                     linalg::detail::unfused(options.strength * step));
                       });
    }
    return target;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
