// SPDX-License-Identifier: MIT
/// @file
/// The Gram matrix X^T X of the inputs of a linear, in double: the Hessian of GPTQ, the basis of QUAD, the column
/// importance of a clip search (its diagonal).
#pragma once

#include "quell/core/executor.hpp"
#include "quell/stats/collector.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace quell::stats {
inline namespace QUELL_BASELINE {

/// Sum over tokens of x x^T.
///
/// Shapes   x [tokens, C]; sum() [C, C], symmetric.
/// Cost     tokens * C^2 / 2 multiply-adds and 8 C^2 bytes.
///
/// Every element is one chain over the tokens in order, and a product of two floats is exact in double, so the bits do
/// not depend on batches, threads, instruction set or contraction. A merge adds two such chains: that rounds once more.
class gram {
public:
    void add(matrix_view<const float> x, const executor& threads = {}) {
        widen(x.cols());
        const std::size_t bands = (channels_ + band - 1) / band;
        threads.parallel_for(bands, [&](std::size_t b) { add_band(x, b * band); });
        count_ += x.rows();
    }

    void merge(const gram& other) {
        if (other.count_ == 0) {
            return;
        }
        widen(other.channels_);
        for (std::size_t i = 0; i < sum_.size(); ++i) {
            sum_[i] += other.sum_[i];
        }
        count_ += other.count_;
    }

    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] matrix_view<const double> sum() const { return {sum_.data(), channels_, channels_}; }

private:
    static constexpr std::size_t band = 8;
    static constexpr std::size_t tile = 16;

    void widen(std::size_t channels) {
        QUELL_EXPECTS(count_ == 0 || channels_ == channels, "rows of another width");
        channels_ = channels;
        sum_.resize(channels * channels, 0.0);
    }

    /// Some rows of the upper triangle and their mirror image, tile by tile: the columns of a tile stay in cache for
    /// all rows of the band, the sums in registers for all tokens.
    void add_band(matrix_view<const float> x, std::size_t first) {
        const std::size_t last = std::min(channels_, first + band);
        for (std::size_t j = first; j < channels_; j += tile) {
            for (std::size_t i = first; i < std::min(last, j + tile); ++i) {
                add_tile(x, i, std::max(i, j), std::min(channels_, j + tile));
            }
        }
    }

    void add_tile(matrix_view<const float> x, std::size_t i, std::size_t begin, std::size_t end) {
        double sums[tile] = {};
        double* stored = &sum_[i * channels_];
        std::copy(stored + begin, stored + end, sums);
        end - begin == tile ? accumulate<tile>(x, i, begin, sums) : accumulate_tail(x, i, begin, end - begin, sums);
        std::copy_n(sums, end - begin, stored + begin);
        for (std::size_t j = begin; j < end; ++j) {
            sum_[j * channels_ + i] = sums[j - begin];
        }
    }

    template <std::size_t N>
    static void accumulate(matrix_view<const float> x, std::size_t i, std::size_t j, double* sums) {
        double local[N];
        std::copy_n(sums, N, local);
        for (std::size_t t = 0; t < x.rows(); ++t) {
            const float* row = x.data() + t * x.stride();
            const double factor = static_cast<double>(row[i]);
            for (std::size_t c = 0; c < N; ++c) {
                local[c] += factor * static_cast<double>(row[j + c]);
            }
        }
        std::copy_n(local, N, sums);
    }

    static void accumulate_tail(matrix_view<const float> x, std::size_t i, std::size_t j, std::size_t n, double* sums) {
        for (std::size_t t = 0; t < x.rows(); ++t) {
            const float* row = x.data() + t * x.stride();
            for (std::size_t c = 0; c < n; ++c) {
                sums[c] += static_cast<double>(row[i]) * static_cast<double>(row[j + c]);
            }
        }
    }

    std::vector<double> sum_;
    std::size_t channels_ = 0;
    std::uint64_t count_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
