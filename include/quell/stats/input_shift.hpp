// SPDX-License-Identifier: MIT
/// @file
/// How far the inputs of a linear have moved since the layers before it were rounded, as far as a weight can make up
/// for it: the sum of (x_float - x)^T x over tokens, beside the Gram matrix of x itself.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/stats/gram.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace quell::stats {
inline namespace QUELL_BASELINE {

/// Shapes   exact, x [tokens, C]: the same tokens in the float model and in the one that is rounded so far; sum()
///          [C, C].
/// Cost     tokens * C^2 multiply-adds in float, 4 C^2 bytes and 2048 C for the differences.
/// Oracle   plain loops in double (tests/stats/input_shift_test.cpp).
///
/// Differences are summed, not two large products subtracted. The bits depend on the rows and on how they are cut into
/// calls; not on threads or instruction set.
class input_shift {
public:
    void add(matrix_view<const float> exact, matrix_view<const float> x, const executor& threads,
             gram_workspace& room) {
        QUELL_EXPECTS(exact.rows() == x.rows() && exact.cols() == x.cols(), "the same rows of both models");
        channels_ = x.cols();
        sum_.resize(channels_ * channels_, 0.0F);
        for (std::size_t first = 0; first < x.rows(); first += detail::gram_chunk) {
            const std::size_t n = std::min(detail::gram_chunk, x.rows() - first);
            const matrix_view<const float> after = x.block(first, 0, n, channels_);
            moved_.assign(exact.block(first, 0, n, channels_));
            for (std::size_t t = 0; t < n; ++t) {
                std::transform(moved_.row(t).begin(), moved_.row(t).end(), after.row(t).begin(), moved_.row(t).begin(),
                               [](float before, float now) { return before - now; });
            }
            detail::gram_product<detail::square_bands>(std::as_const(moved_).view(), after, {}, sum_.data(), room)
                .run(threads);
        }
    }

    [[nodiscard]] matrix<double> sum() const {
        matrix<double> full(channels_, channels_);
        std::copy(sum_.begin(), sum_.end(), full.elements().begin());
        return full;
    }

private:
    std::vector<float> sum_;
    matrix<float> moved_;
    std::size_t channels_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
