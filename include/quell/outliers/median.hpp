// SPDX-License-Identifier: MIT
/// @file
/// The median that all rules of this folder use: the lower one of the two in the middle, an element of the data.
#pragma once

#include "quell/core/target.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace quell::outliers {
inline namespace QUELL_BASELINE {

/// Of magnitudes: numbers without a sign. A NaN is larger than all; 0 for no numbers.
///
/// Oracle   reference::lower_quantile.
template <typename Float>
[[nodiscard]] Float lower_median(std::vector<Float> magnitudes) {
    using bits = std::conditional_t<sizeof(Float) == 4, std::uint32_t, std::uint64_t>;
    if (magnitudes.empty()) {
        return Float{};
    }
    const auto middle = magnitudes.begin() + static_cast<std::ptrdiff_t>((magnitudes.size() - 1) / 2);
    std::nth_element(magnitudes.begin(), middle, magnitudes.end(),
                     [](Float a, Float b) { return std::bit_cast<bits>(a) < std::bit_cast<bits>(b); });
    return *middle;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::outliers
