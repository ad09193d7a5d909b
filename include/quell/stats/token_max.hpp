// SPDX-License-Identifier: MIT
/// @file
/// The largest magnitude of every token, in the order the tokens came: what separates a few massive tokens from
/// channels that are large for all of them.
#pragma once

#include "quell/stats/absmax.hpp"
#include "quell/stats/collector.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quell::stats {
inline namespace QUELL_BASELINE {

/// max |x_t| of every row t. Merging appends, so the earlier half has to be on the left.
class token_max {
public:
    void add(matrix_view<const float> x) {
        for (std::size_t r = 0; r < x.rows(); ++r) {
            values_.push_back(std::bit_cast<float>(detail::largest_magnitude(x.row(r))));
        }
    }

    void merge(const token_max& other) {
        values_.reserve(values_.size() + other.values_.size());
        values_.insert(values_.end(), other.values_.begin(), other.values_.end());
    }

    [[nodiscard]] std::uint64_t count() const { return values_.size(); }
    [[nodiscard]] std::span<const float> values() const { return values_; }

private:
    std::vector<float> values_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
