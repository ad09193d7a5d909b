// SPDX-License-Identifier: MIT
/// @file
/// How large each channel is over all tokens: its L2 norm (the difficulty of a tensor is read from these), its mean
/// magnitude (AWQ) and its mean square (importance of the columns of a weight).
#pragma once

#include "quell/stats/collector.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace quell::stats {
inline namespace QUELL_BASELINE {

/// Sums of |x_j| and of x_j^2 over the tokens, in double.
///
/// Oracle   reference::channel_sums: the same bits.
///
/// Each sum is one chain over the tokens in order, and the square of a float is exact in double: the bits do not depend
/// on batches, threads, instruction set or contraction. A merge adds two such chains: that rounds once more.
class channel_magnitude {
public:
    channel_magnitude() = default;
    /// What `count` rows left behind, as a file keeps it.
    /// Shapes   both [channels].
    channel_magnitude(std::uint64_t count, std::vector<double> magnitudes, std::vector<double> squares)
        : magnitudes_(std::move(magnitudes)), squares_(std::move(squares)), count_(count) {
        QUELL_EXPECTS(magnitudes_.size() == squares_.size(), "two sums a channel");
    }

    void add(matrix_view<const float> x) {
        announce(x.rows(), x.cols());
        add_columns(x, 0);
    }

    void announce(std::uint64_t rows, std::size_t channels) {
        QUELL_EXPECTS(count_ == 0 || squares_.size() == channels, "rows of another width");
        magnitudes_.resize(channels, 0.0);
        squares_.resize(channels, 0.0);
        count_ += rows;
    }

    void add_columns(matrix_view<const float> x, std::size_t first) {
        std::size_t c = 0;
        for (; c + lanes <= x.cols(); c += lanes) {
            accumulate(x, c, first + c, std::integral_constant<std::size_t, lanes>{});
        }
        if (c < x.cols()) {
            accumulate(x, c, first + c, x.cols() - c);
        }
    }

    void merge(const channel_magnitude& other) {
        if (other.count_ == 0) {
            return;
        }
        announce(other.count_, other.squares_.size());
        for (std::size_t c = 0; c < squares_.size(); ++c) {
            magnitudes_[c] += other.magnitudes_[c];
            squares_[c] += other.squares_[c];
        }
    }

    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::size_t channels() const { return squares_.size(); }
    [[nodiscard]] std::span<const double> sums_of_magnitudes() const { return magnitudes_; }
    [[nodiscard]] std::span<const double> sums_of_squares() const { return squares_; }

    /// sqrt(sum x_j^2) of every channel: grows with the number of tokens.
    [[nodiscard]] std::vector<double> norms() const {
        std::vector<double> roots(squares_.size());
        std::transform(squares_.begin(), squares_.end(), roots.begin(), [](double s) { return std::sqrt(s); });
        return roots;
    }
    /// Mean |x_j| of every channel; 0 before any row.
    [[nodiscard]] std::vector<double> mean_magnitudes() const { return means_of(magnitudes_); }
    /// Mean x_j^2 of every channel; 0 before any row.
    [[nodiscard]] std::vector<double> mean_squares() const { return means_of(squares_); }

private:
    static constexpr std::size_t lanes = 8;  ///< as many sums of both kinds as baseline registers hold

    [[nodiscard]] std::vector<double> means_of(const std::vector<double>& sums) const {
        const double n = static_cast<double>(std::max<std::uint64_t>(count_, 1));
        std::vector<double> means(sums.size());
        std::transform(sums.begin(), sums.end(), means.begin(), [n](double s) { return s / n; });
        return means;
    }

    /// `n` columns of x from column c on, for the channels from `channel` on; the sums stay in registers for all rows.
    template <typename Size>
    void accumulate(matrix_view<const float> x, std::size_t c, std::size_t channel, Size n) {
        double magnitudes[lanes] = {};
        double squares[lanes] = {};
        std::copy_n(&magnitudes_[channel], n, magnitudes);
        std::copy_n(&squares_[channel], n, squares);
        for (std::size_t r = 0; r < x.rows(); ++r) {
            const float* row = x.data() + r * x.stride() + c;
            for (std::size_t j = 0; j < n; ++j) {
                const auto v = static_cast<double>(row[j]);
                magnitudes[j] += std::fabs(v);
                squares[j] += v * v;
            }
        }
        std::copy_n(magnitudes, n, &magnitudes_[channel]);
        std::copy_n(squares, n, &squares_[channel]);
    }

    std::vector<double> magnitudes_;
    std::vector<double> squares_;
    std::uint64_t count_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
