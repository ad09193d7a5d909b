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

/// With inputs X where the float model had X + D, the V that minimizes |X V^T - (X + D) W^T|^2 + delta |V - W|^2 is
/// W + W S H^-1, S = D^T X, H = X^T X + delta I; strength says how much of the way to go.
///
/// Shapes   w [out, in]; shift [in, in]: S; known.gram [in, in]: X^T X.
/// Errors   errc::bad_shape for another shift; those of factor_hessian.
/// Cost     3 out in^2 multiply-subtracts and in^3 / 3 for the factor.
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
    const hessian_factor& f = *factor;
    const matrix<double> u_transposed = transposed<double>(f.u.view());
    matrix<float> target(w.rows(), w.cols());
    constexpr std::size_t rows_per_task = 32;
    threads.parallel_for((w.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
        const std::size_t first = task * rows_per_task;
        const std::size_t rows = std::min(rows_per_task, w.rows() - first);
        matrix<double> from(rows, w.cols());
        for (std::size_t r = 0; r < rows; ++r) {
            std::copy_n(w.row(first + r).begin(), w.cols(), from.row(r).begin());
        }
        for (const matrix_view<const double> right : {shift, u_transposed.view(), f.u.view()}) {
            matrix<double> negative(rows, w.cols());
            linalg::subtract_product(negative.view(), std::as_const(from).view(), right);
            from = std::move(negative);
        }
        for (std::size_t r = 0; r < rows; ++r) {
            std::transform(w.row(first + r).begin(), w.row(first + r).end(), from.row(r).begin(),
                           target.row(first + r).begin(), [&](float weight, double negative) {
                               const double step = linalg::detail::unfused(options.strength * negative);
                               return static_cast<float>(static_cast<double>(weight) - step);
                           });
        }
    });
    return target;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
