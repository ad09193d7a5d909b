// SPDX-License-Identifier: MIT
/// @file
/// Largest magnitudes: per channel (smoothing, static scales) and per token (spikes, dynamic scales). Both are exact
/// under any split of the data. A NaN is larger than everything here, so it is never lost.
#pragma once

#include "quell/stats/collector.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace quell::stats {
inline namespace QUELL_BASELINE {

namespace detail {

/// The larger of two magnitudes; as integers they order like the numbers, with infinity and then NaN on top.
QUELL_ALWAYS_INLINE std::uint32_t larger_magnitude(std::uint32_t magnitude, float v) {
    return std::max(magnitude, std::bit_cast<std::uint32_t>(v) & 0x7fffffffU);
}

[[nodiscard]] inline std::uint32_t largest_magnitude(std::span<const float> values) {
    std::uint32_t largest = 0;
    for (const float v : values) {
        largest = larger_magnitude(largest, v);
    }
    return largest;
}

}  // namespace detail

/// max |x_j| over all rows.
class absmax {
public:
    absmax() = default;
    /// What `count` rows left behind, as a file keeps it.
    absmax(std::uint64_t count, std::vector<float> maxima) : maxima_(std::move(maxima)), count_(count) {}

    void add(matrix_view<const float> x) {
        announce(x.rows(), x.cols());
        add_columns(x, 0);
    }

    void announce(std::uint64_t rows, std::size_t channels) {
        QUELL_EXPECTS(count_ == 0 || maxima_.size() == channels, "rows of another width");
        maxima_.resize(channels, 0.0F);
        count_ += rows;
    }

    void add_columns(matrix_view<const float> x, std::size_t first) {
        for (std::size_t r = 0; r < x.rows(); ++r) {
            fold(x.row(r), maxima_.data() + first);
        }
    }

    void merge(const absmax& other) {
        if (other.count_ != 0) {
            announce(other.count_, other.maxima_.size());
            fold(other.maxima_, maxima_.data());
        }
    }

    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::span<const float> per_channel() const { return maxima_; }
    [[nodiscard]] float overall() const { return std::bit_cast<float>(detail::largest_magnitude(maxima_)); }

private:
    static void fold(std::span<const float> row, float* maxima) {
        const float* values = row.data();
        for (std::size_t c = 0; c < row.size(); ++c) {
            const auto magnitude = std::bit_cast<std::uint32_t>(maxima[c]);
            maxima[c] = std::bit_cast<float>(detail::larger_magnitude(magnitude, values[c]));
        }
    }

    std::vector<float> maxima_;
    std::uint64_t count_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
