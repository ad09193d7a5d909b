// SPDX-License-Identifier: MIT
/// @file
/// Quantiles of the magnitudes in a stream, in bounded memory: how many values fell into each of fixed buckets. A
/// bucket is what the exponent and the leading bits of the mantissa say, so it is found by a shift, and the relative
/// error is the same at every size. Nothing depends on the order of the data, so merging is exact.
#pragma once

#include "quell/core/target.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace quell::stats {
inline namespace QUELL_BASELINE {

/// Counts over buckets of |v|.
///
/// Errors   a NaN or an infinity is counted in the buckets on top; their quantiles are NaN.
/// Cost     64 KiB once anything was added; an add is one increment.
/// Oracle   reference::lower_quantile on the sorted values, within `relative_error`.
class quantile_sketch {
public:
    static constexpr unsigned mantissa_bits = 5;
    static constexpr std::size_t buckets = std::size_t{256} << mantissa_bits;
    /// Of a quantile that is a normal number; one below 2^-126 is off by less than 2^-131.
    static constexpr double relative_error = 0.5 / (1U << mantissa_bits);

    quantile_sketch() = default;
    /// Shapes   counts [buckets], or none.
    explicit quantile_sketch(std::vector<std::uint64_t> counts) : counts_(std::move(counts)) {
        QUELL_EXPECTS(counts_.empty() || counts_.size() == buckets, "a count for every bucket");
        for (const std::uint64_t n : counts_) {
            count_ += n;
        }
    }

    void add(std::span<const float> values) {
        counts_.resize(buckets);
        std::uint64_t* counts = counts_.data();
        for (const float v : values) {
            ++counts[(std::bit_cast<std::uint32_t>(v) & 0x7fffffffU) >> shift];
        }
        count_ += values.size();
    }

    void merge(const quantile_sketch& other) {
        counts_.resize(std::max(counts_.size(), other.counts_.size()));
        for (std::size_t b = 0; b < other.counts_.size(); ++b) {
            counts_[b] += other.counts_[b];
        }
        count_ += other.count_;
    }

    /// Values, not rows.
    [[nodiscard]] std::uint64_t count() const { return count_; }
    /// Empty before any value.
    [[nodiscard]] std::span<const std::uint64_t> counts() const { return counts_; }

    /// The value of rank floor(q (count - 1)) in ascending order, 0 the first: for q = 1/2 the lower median. 0 before
    /// any value.
    [[nodiscard]] float quantile(double q) const {
        QUELL_EXPECTS(q >= 0.0 && q <= 1.0, "a quantile between 0 and 1");
        const auto rank = static_cast<std::uint64_t>(q * static_cast<double>(count_ == 0 ? 0 : count_ - 1));
        std::uint64_t before = 0;
        for (std::size_t b = 0; b < counts_.size(); ++b) {
            before += counts_[b];
            if (before > rank) {
                return middle_of(b);
            }
        }
        return 0.0F;
    }

    /// The smallest magnitude that falls into the bucket.
    [[nodiscard]] static float lower_edge(std::size_t bucket) {
        return std::bit_cast<float>(static_cast<std::uint32_t>(bucket) << shift);
    }

private:
    static constexpr unsigned shift = 23 - mantissa_bits;

    /// Subnormal numbers stand for zero, the most frequent of them.
    static float middle_of(std::size_t bucket) {
        const auto first = static_cast<std::uint32_t>(bucket) << shift;
        return bucket >> mantissa_bits == 0 ? lower_edge(bucket) : std::bit_cast<float>(first | 1U << (shift - 1));
    }

    std::vector<std::uint64_t> counts_;
    std::uint64_t count_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
