// SPDX-License-Identifier: MIT
/// @file
/// Error feedback in its plain form, for weights that are rounded block of columns by block of columns: what a column
/// loses goes into those behind it, along the factor of the inverse Hessian.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/target.hpp"
#include "quell/linalg/ordered_product.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace quell::rounding {
inline namespace QUELL_BASELINE {
namespace detail {

/// Calls prepare(begin, end) for each block of `w`, all rows as compensated so far; then every weight v of it becomes
/// round(row, column, v).
///
/// Requires round() to be safe for different rows at once.
template <typename Prepare, typename Round>
void round_with_feedback(matrix<double>& w, const matrix<double>& u, std::size_t length, const executor& threads,
                         const Prepare& prepare, const Round& round) {
    constexpr std::size_t rows_per_task = 32;
    const std::size_t n = w.cols();
    matrix<double> errors(w.rows(), std::min(length, n));
    for (std::size_t begin = 0; begin < n; begin += length) {
        const std::size_t end = std::min(n, begin + length);
        prepare(begin, end);
        threads.parallel_for((w.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
            const std::size_t first = task * rows_per_task;
            const std::size_t count = std::min(rows_per_task, w.rows() - first);
            for (std::size_t r = first; r < first + count; ++r) {
                double* row = w.row(r).data();
                for (std::size_t i = begin; i < end; ++i) {
                    const double* along = u.row(i).data();
                    const double value = round(r, i, row[i]);
                    const double error = (row[i] - value) / along[i];
                    errors(r, i - begin) = error;
                    row[i] = value;
                    for (std::size_t j = i + 1; j < end; ++j) {
                        row[j] -= linalg::detail::unfused(error * along[j]);
                    }
                }
            }
            linalg::subtract_product(w.view().block(first, end, count, n - end),
                                     std::as_const(errors).view().block(first, 0, count, end - begin),
                                     u.view().block(begin, end, end - begin, n - end));
        });
    }
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
