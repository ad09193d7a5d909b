// SPDX-License-Identifier: MIT
/// @file
/// Root-mean-square normalization, y = x / sqrt(mean(x^2) + eps) * gain, and the residual addition in front of it.
/// Source: arXiv 1910.07467.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/views.hpp"
#include "transformer/elementwise.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

namespace transformer {

/// Rows of work that one task takes; part of no result.
inline constexpr std::size_t rows_per_task = 16;

/// Calls f(first, last) for consecutive ranges of rows.
template <typename F>
void for_row_ranges(const quell::executor& threads, std::size_t rows, F f) {
    threads.parallel_for((rows + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
        f(task * rows_per_task, std::min(rows, (task + 1) * rows_per_task));
    });
}

inline void rms_norm_row(std::span<const float> x, std::span<const float> gain, float eps, std::span<float> y) {
    const float scale = 1.0F / std::sqrt(sum_of_squares(x) / static_cast<float>(x.size()) + eps);
    const std::size_t n = x.size();
    const float* from = x.data();
    const float* by = gain.data();
    float* to = y.data();
    for (std::size_t i = 0; i < n; ++i) {
        to[i] = from[i] * scale * by[i];
    }
}

/// y[r] = norm(x[r]).
inline void rms_norm(quell::matrix_view<const float> x, std::span<const float> gain, float eps,
                     quell::matrix_view<float> y, const quell::executor& threads) {
    for_row_ranges(threads, x.rows(), [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) {
            rms_norm_row(x.row(r), gain, eps, y.row(r));
        }
    });
}

/// x += delta, then y = norm(x): one pass over the residual stream instead of two.
inline void add_rms_norm(quell::matrix_view<float> x, quell::matrix_view<const float> delta,
                         std::span<const float> gain, float eps, quell::matrix_view<float> y,
                         const quell::executor& threads) {
    for_row_ranges(threads, x.rows(), [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) {
            float* stream = x.row(r).data();
            const float* added = delta.row(r).data();
            for (std::size_t i = 0; i < x.cols(); ++i) {
                stream[i] += added[i];
            }
            rms_norm_row(x.row(r), gain, eps, y.row(r));
        }
    });
}

}  // namespace transformer
