// SPDX-License-Identifier: MIT
/// @file
/// Mean, variance and kurtosis in one pass, per channel and over everything, merged without cancellation.
/// Kurtosis is the fourth central moment over the squared variance (3 for a normal distribution), both biased.
#pragma once

#include "quell/stats/collector.hpp"

#include <cstddef>
#include <cstdint>
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

    void add(double v) {
        const double before = n;
        n += 1.0;
        const double delta = v - mean;
        const double step = delta / n;
        const double square = delta * step * before;
        mean += step;
        m4 += square * step * step * (n * n - 3.0 * n + 3.0) + 6.0 * step * step * m2 - 4.0 * step * m3;
        m3 += square * step * (n - 2.0) - 3.0 * step * m2;
        m2 += square;
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

class moments {
public:
    void add(matrix_view<const float> x) {
        widen(x.cols());
        for (std::size_t r = 0; r < x.rows(); ++r) {
            const float* row = x.row(r).data();
            for (std::size_t c = 0; c < x.cols(); ++c) {
                channels_[c].add(static_cast<double>(row[c]));
            }
        }
        count_ += x.rows();
    }

    void merge(const moments& other) {
        if (other.count_ == 0) {
            return;
        }
        widen(other.channels_.size());
        for (std::size_t c = 0; c < channels_.size(); ++c) {
            channels_[c].merge(other.channels_[c]);
        }
        count_ += other.count_;
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
    void widen(std::size_t channels) {
        QUELL_EXPECTS(count_ == 0 || channels_.size() == channels, "rows of another width");
        channels_.resize(channels);
    }

    std::vector<moment_sums> channels_;
    std::uint64_t count_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
