// SPDX-License-Identifier: MIT
/// @file
/// Oracle of transforms/: smoothing scales and products in plain double loops.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace reference {

using table = std::vector<std::vector<double>>;

/// SmoothQuant, equation 4, without repeated heads; 1 for a dead channel.
inline std::vector<double> smooth_scales(const std::vector<double>& act_absmax, const std::vector<table>& weights,
                                         double alpha) {
    std::vector<double> scales;
    for (std::size_t j = 0; j < act_absmax.size(); ++j) {
        double heaviest = 1e-5;
        for (const table& w : weights) {
            for (const std::vector<double>& row : w) {
                heaviest = std::max(heaviest, std::fabs(row[j]));
            }
        }
        const double scale = std::pow(act_absmax[j], alpha) / std::pow(heaviest, 1.0 - alpha);
        scales.push_back(act_absmax[j] > 0.0 ? std::max(scale, 1e-5) : 1.0);
    }
    return scales;
}

/// y = x W^T.
inline table multiply(const table& x, const table& w) {
    table y;
    for (const std::vector<double>& token : x) {
        y.emplace_back();
        for (const std::vector<double>& row : w) {
            double sum = 0.0;
            for (std::size_t j = 0; j < row.size(); ++j) {
                sum += token[j] * row[j];
            }
            y.back().push_back(sum);
        }
    }
    return y;
}

}  // namespace reference
