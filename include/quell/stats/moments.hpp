// SPDX-License-Identifier: MIT
/// @file
/// Mean, variance and kurtosis in one pass, per channel and over everything, merged without cancellation.
/// Kurtosis is the fourth central moment over the squared variance (3 for a normal distribution), both biased.
#pragma once

#include "quell/stats/collector.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace quell::stats {
inline namespace QUELL_BASELINE {

/// Count, mean and the sums of the second to fourth powers of the deviations from it.
///
/// Source   Pebay, "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical
///          moments", SAND2008-6212.
/// Oracle   reference::moments: two passes in double; equal within 1e-10 of the scale of each moment.
struct moment_sums {
    double n = 0.0;
    double mean = 0.0;
    double m2 = 0.0;
    double m3 = 0.0;
    double m4 = 0.0;

    [[nodiscard]] double variance() const { return n > 0.0 ? m2 / n : 0.0; }
    /// 0 where nothing varies.
    [[nodiscard]] double kurtosis() const { return m2 > 0.0 ? n * m4 / (m2 * m2) : 0.0; }

    /// The moments of `n` values v from the sums of the powers of d = v - shift, for a shift near their mean.
    [[nodiscard]] static moment_sums from_powers(double n, double shift, double d1, double d2, double d3, double d4) {
        const double delta = d1 / n;
        const double square = delta * delta;
        return {.n = n,
                .mean = shift + delta,
                .m2 = d2 - delta * d1,
                .m3 = d3 - 3.0 * delta * d2 + 2.0 * square * d1,
                .m4 = d4 - 4.0 * delta * d3 + 6.0 * square * d2 - 3.0 * square * delta * d1};
    }

    void merge(const moment_sums& b) {
        if (b.n == 0.0) {
            return;
        }
        const moment_sums a = *this;
        n = a.n + b.n;
        const double delta = b.mean - a.mean;
        const double step = delta / n;
        const double square = delta * step * a.n * b.n;
        mean = a.mean + step * b.n;
        m2 = a.m2 + b.m2 + square;
        m3 = a.m3 + b.m3 + square * step * (a.n - b.n) + 3.0 * step * (a.n * b.m2 - b.n * a.m2);
        m4 = a.m4 + b.m4 + square * step * step * (a.n * a.n - a.n * b.n + b.n * b.n) +
             6.0 * step * step * (a.n * a.n * b.m2 + b.n * b.n * a.m2) + 4.0 * step * (a.n * b.m3 - b.n * a.m3);
    }
};

/// The moments of every channel. The rows are taken in blocks of at most 64: the sums of a block are about the mean of
/// what came before (the first row, at the start), which is close to its own, and then merged.
///
/// Cost     about 12 floating-point operations a value, vectorized.
class moments {
public:
    moments() = default;
    /// What `count` rows left behind, as a file keeps it.
    moments(std::uint64_t count, std::vector<moment_sums> channels) : channels_(std::move(channels)), count_(count) {}

    void add(matrix_view<const float> x) {
        announce(x.rows(), x.cols());
        add_columns(x, 0);
    }

    void announce(std::uint64_t rows, std::size_t channels) {
        QUELL_EXPECTS(count_ == 0 || channels_.size() == channels, "rows of another width");
        channels_.resize(channels);
        count_ += rows;
    }

    void add_columns(matrix_view<const float> x, std::size_t first) {
        for (std::size_t r = 0; r < x.rows(); r += block_rows) {
            const matrix_view<const float> block = x.block(r, 0, std::min(block_rows, x.rows() - r), x.cols());
            std::size_t c = 0;
            for (; c + lanes <= x.cols(); c += lanes) {
                add_block(block, c, first + c, std::integral_constant<std::size_t, lanes>{});
            }
            if (c < x.cols()) {
                add_block(block, c, first + c, x.cols() - c);
            }
        }
    }

    void merge(const moments& other) {
        if (other.count_ == 0) {
            return;
        }
        announce(other.count_, other.channels_.size());
        for (std::size_t c = 0; c < channels_.size(); ++c) {
            channels_[c].merge(other.channels_[c]);
        }
    }

    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::size_t channels() const { return channels_.size(); }
    [[nodiscard]] const moment_sums& channel(std::size_t c) const { return channels_[c]; }
    [[nodiscard]] moment_sums overall() const {
        moment_sums all;
        for (const moment_sums& channel : channels_) {
            all.merge(channel);
        }
        return all;
    }

private:
    static constexpr std::size_t block_rows = 64;
    static constexpr std::size_t lanes = 4;  ///< as many shifts and sums of four powers as baseline registers hold

    /// `n` columns of x from column c on, for the channels from `channel` on.
    template <typename Size>
    void add_block(matrix_view<const float> x, std::size_t c, std::size_t channel, Size n) {
        double shift[lanes] = {};
        double d1[lanes] = {};
        double d2[lanes] = {};
        double d3[lanes] = {};
        double d4[lanes] = {};
        for (std::size_t j = 0; j < n; ++j) {
            const moment_sums& before = channels_[channel + j];
            shift[j] = before.n > 0.0 ? before.mean : static_cast<double>(x(0, c + j));
        }
        for (std::size_t r = 0; r < x.rows(); ++r) {
            const float* row = x.data() + r * x.stride() + c;
            for (std::size_t j = 0; j < n; ++j) {
                const double d = static_cast<double>(row[j]) - shift[j];
                const double square = d * d;
                d1[j] += d;
                d2[j] += square;
                d3[j] += square * d;
                d4[j] += square * square;
            }
        }
        const auto rows = static_cast<double>(x.rows());
        for (std::size_t j = 0; j < n; ++j) {
            channels_[channel + j].merge(moment_sums::from_powers(rows, shift[j], d1[j], d2[j], d3[j], d4[j]));
        }
    }

    std::vector<moment_sums> channels_;
    std::uint64_t count_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
