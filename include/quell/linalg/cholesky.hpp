// SPDX-License-Identifier: MIT
/// @file
/// The factor of an inverse: upper triangular U with H^-1 = U^T U, which is what GPTQ walks along. One Cholesky
/// factorization in reversed order, then one triangular inverse; H^-1 itself is never formed.
///
/// Every element of every factor is one chain of rounded products (ordered_product.hpp), so the bits are the same on
/// every machine and for any number of threads.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/linalg/ordered_product.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace quell::linalg {
inline namespace QUELL_BASELINE {

namespace detail {

inline constexpr std::size_t factor_block = 64;

/// Cuts 0 ... n into ranges of factor_block and gives them to the threads: f(begin, end).
template <typename F>
void for_ranges(std::size_t n, const executor& threads, const F& f) {
    threads.parallel_for((n + factor_block - 1) / factor_block,
                         [&](std::size_t task) { f(task * factor_block, std::min(n, (task + 1) * factor_block)); });
}

/// row := row L^-T, the columns of L from the first to `count`.
inline void divide_by_factor(std::span<double> row, matrix_view<const double> factor, std::size_t count) {
    for (std::size_t j = 0; j < count; ++j) {
        double v = row[j];
        for (std::size_t k = 0; k < j; ++k) {
            v -= unfused(row[k] * factor(j, k));
        }
        row[j] = v / factor(j, j);
    }
}

/// The diagonal block of a factor in place. The row whose pivot is not positive, if there is one.
[[nodiscard]] inline std::optional<std::size_t> factor_diagonal(matrix_view<double> h) {
    for (std::size_t i = 0; i < h.rows(); ++i) {
        const std::span<double> row = h.row(i);
        divide_by_factor(row, h, i);
        double pivot = row[i];
        for (std::size_t k = 0; k < i; ++k) {
            pivot -= unfused(row[k] * row[k]);
        }
        if (!(pivot > 0.0) || std::isinf(pivot)) {
            row[i] = pivot;
            return i;
        }
        row[i] = std::sqrt(pivot);
    }
    return std::nullopt;
}

/// H = L L^T in place, on and below the diagonal, block column by block column. The failing row, if there is one.
[[nodiscard]] inline std::optional<std::size_t> factor_lower(matrix_view<double> h, const executor& threads) {
    const std::size_t n = h.rows();
    for (std::size_t begin = 0; begin < n; begin += factor_block) {
        const std::size_t width = std::min(factor_block, n - begin);
        const matrix<double> done = transposed<double>(h.block(begin, 0, width, begin));
        for_ranges(n - begin, threads, [&](std::size_t from, std::size_t to) {
            subtract_product(h.block(begin + from, begin, to - from, width), h.block(begin + from, 0, to - from, begin),
                             done.view());
        });
        const matrix_view<double> diagonal = h.block(begin, begin, width, width);
        if (const auto failed = factor_diagonal(diagonal)) {
            return begin + *failed;
        }
        for_ranges(n - begin - width, threads, [&](std::size_t from, std::size_t to) {
            for (std::size_t r = begin + width + from; r < begin + width + to; ++r) {
                divide_by_factor(h.row(r).subspan(begin, width), diagonal, width);
            }
        });
    }
    return std::nullopt;
}

/// Some columns of a block row of L^-1: inverse := L_II^-1 (inverse - L_I X), where X is the rows above and `factor`
/// the block row of L whose last columns are L_II.
inline void finish_inverse(matrix_view<double> inverse, matrix_view<const double> factor,
                           matrix_view<const double> above) {
    subtract_product(inverse, factor.block(0, 0, factor.rows(), above.rows()), above);
    for (std::size_t i = 0; i < inverse.rows(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            for (std::size_t j = 0; j < inverse.cols(); ++j) {
                inverse(i, j) -= unfused(factor(i, above.rows() + k) * inverse(k, j));
            }
        }
        for (double& v : inverse.row(i)) {
            v /= factor(i, above.rows() + i);
        }
    }
}

/// L := L^-1 in place, block row by block row; zeros above the diagonal.
inline void invert_lower(matrix_view<double> l, const executor& threads) {
    const std::size_t n = l.rows();
    for (std::size_t begin = 0; begin < n; begin += factor_block) {
        const std::size_t height = std::min(factor_block, n - begin);
        const matrix<double> factor = matrix<double>::copy_of(l.block(begin, 0, height, begin + height));
        for (std::size_t i = begin; i < begin + height; ++i) {
            std::fill_n(l.row(i).begin(), n, 0.0);
            l(i, i) = 1.0;
        }
        for_ranges(begin + height, threads, [&](std::size_t from, std::size_t to) {
            const std::size_t rows_above = begin - std::min(begin, from);  // X is zero above its diagonal
            const std::size_t first = begin - rows_above;
            finish_inverse(l.block(begin, from, height, to - from),
                           factor.view().block(0, first, height, rows_above + height),
                           l.block(first, from, rows_above, to - from));
        });
    }
}

/// Rows and columns in opposite order.
inline void reverse(matrix_view<double> h) {
    const std::size_t n = h.rows();
    for (std::size_t r = 0; r < n / 2; ++r) {
        std::swap_ranges(h.row(r).begin(), h.row(r).end(), h.row(n - 1 - r).begin());
    }
    for (std::size_t r = 0; r < n; ++r) {
        std::reverse(h.row(r).begin(), h.row(r).end());
    }
}

}  // namespace detail

/// U, upper triangular with a positive diagonal, such that H^-1 = U^T U; made in the memory of H.
///
/// Shapes   h [n, n], symmetric: only what is on and above its diagonal is read; U [n, n] with zeros below.
/// Errors   errc::not_positive_definite, naming the pivot; errc::bad_shape.
/// Cost     n^3 / 3 multiply-subtracts.
/// Oracle   reference::inverse_factor (tests/reference/inverse_factor.hpp), bit for bit; U^T U H = I.
[[nodiscard]] inline result<matrix<double>> inverse_factor(matrix<double> h, const executor& threads = {}) {
    const std::size_t n = h.rows();
    if (h.cols() != n) {
        return error{errc::bad_shape, std::to_string(n) + " x " + std::to_string(h.cols()) + " is not square"};
    }
    detail::reverse(h.view());
    if (const auto failed = detail::factor_lower(h.view(), threads)) {
        return error{errc::not_positive_definite, "not positive definite: pivot " + std::to_string(n - 1 - *failed) +
                                                      " is " + std::to_string(h(*failed, *failed))};
    }
    detail::invert_lower(h.view(), threads);
    detail::reverse(h.view());
    return h;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::linalg
