// SPDX-License-Identifier: MIT
/// @file
/// Oracle of quant/head_codes.hpp: one head of one token at 8 or 4 bits, in doubles.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace reference {

/// What the codes of x stand for: an asymmetric grid over `clip` of the range, 0 on it.
inline std::vector<double> head_codes(std::span<const float> x, int bits, double clip) {
    double low = 0.0;
    double high = 0.0;
    for (const float v : x) {
        low = std::min(low, double{v});
        high = std::max(high, double{v});
    }
    const double largest = std::pow(2.0, bits) - 1.0;
    const double scale = (high - low) * clip / largest;
    std::vector<double> values(x.size(), 0.0);
    for (std::size_t i = 0; i < x.size() && scale > 0.0; ++i) {
        const double zero = std::nearbyint(-low * clip / scale);
        const double code = std::clamp(std::nearbyint(double{x[i]} / scale) + zero, 0.0, largest);
        values[i] = scale * (code - zero);
    }
    return values;
}

}  // namespace reference
