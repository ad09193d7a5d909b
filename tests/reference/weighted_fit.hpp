// SPDX-License-Identifier: MIT
/// @file
/// Oracle of rounding/weighted_fit: the weighted squared error of a group in plain double loops, and the least of it on
/// a fine grid of scales and zeros.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace reference {

struct real_codes {
    double scale = 1.0;
    double zero = 0.0;
    int low = 0;
    int high = 15;
};

inline double weighted_error(const std::vector<double>& v, const std::vector<double>& weights, const real_codes& c) {
    double sum = 0.0;
    for (std::size_t i = 0; i < v.size(); ++i) {
        const double code = std::clamp<double>(std::nearbyint(v[i] / c.scale + c.zero), c.low, c.high);
        sum += weights[i] * std::pow(v[i] - c.scale * (code - c.zero), 2);
    }
    return sum;
}

/// Over scales from half to 1.1 times that of the whole range and zeros in steps of 1 / 16.
inline double least_weighted_error(const std::vector<double>& v, const std::vector<double>& weights, int low,
                                   int high) {
    const auto [smallest, largest] = std::minmax_element(v.begin(), v.end());
    double least = std::numeric_limits<double>::infinity();
    for (int i = 50; i <= 110; ++i) {
        const double scale = (*largest - *smallest) / (high - low) * i / 100;
        const double middle = (low + high) / 2.0 - (*smallest + *largest) / 2 / scale;
        for (int j = -32; j <= 32; ++j) {
            least = std::min(least, weighted_error(v, weights, {scale, middle + j / 16.0, low, high}));
        }
    }
    return least;
}

}  // namespace reference
