// SPDX-License-Identifier: MIT
/// @file
/// Oracle of stats/: two passes in double.
#pragma once

#include <cstddef>
#include <vector>

namespace reference {

struct moment_values {
    double mean = 0.0;
    double variance = 0.0;
    double kurtosis = 0.0;
};

inline double central_moment(const std::vector<double>& v, double mean, int power) {
    double sum = 0.0;
    for (const double x : v) {
        double term = 1.0;
        for (int p = 0; p < power; ++p) {
            term *= x - mean;
        }
        sum += term;
    }
    return sum / static_cast<double>(v.size());
}

inline moment_values moments(const std::vector<double>& v) {
    double sum = 0.0;
    for (const double x : v) {
        sum += x;
    }
    const double mean = sum / static_cast<double>(v.size());
    const double variance = central_moment(v, mean, 2);
    return {mean, variance, variance > 0.0 ? central_moment(v, mean, 4) / (variance * variance) : 0.0};
}

/// sum over t of x[t][i] x[t][j], one element.
inline double gram_element(const std::vector<std::vector<float>>& x, std::size_t i, std::size_t j) {
    double sum = 0.0;
    for (const std::vector<float>& row : x) {
        sum += static_cast<double>(row[i]) * static_cast<double>(row[j]);
    }
    return sum;
}

}  // namespace reference
