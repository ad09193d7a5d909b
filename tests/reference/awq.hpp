// SPDX-License-Identifier: MIT
/// @file
/// Oracle of rounding/awq: every clip ratio of one group, the loss of the outputs in plain double loops.
#pragma once

#include "reference/rtn.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace reference {

/// sum over tokens of (x . (v - v^))^2 for the values of one group, from the group's block of the Gram matrix.
inline double awq_loss(const std::vector<float>& v, const group_codes& g,
                       const std::vector<std::vector<double>>& gram) {
    std::vector<double> error;
    for (std::size_t i = 0; i < v.size(); ++i) {
        error.push_back(static_cast<double>(v[i]) - static_cast<double>(g.scale) * (g.codes[i] - g.zero));
    }
    double sum = 0.0;
    for (std::size_t i = 0; i < v.size(); ++i) {
        for (std::size_t j = 0; j < v.size(); ++j) {
            sum += error[i] * gram[i][j] * error[j];
        }
    }
    return sum;
}

/// The group rounded as if its weights had been clamped to this part of their largest magnitude.
inline group_codes awq_codes(const std::vector<float>& v, const quell::scheme& form, float part) {
    float largest = 0.0F;
    for (const float x : v) {
        largest = std::max(largest, std::fabs(x));
    }
    std::vector<float> clamped;
    for (const float x : v) {
        clamped.push_back(std::clamp(x, -largest * part, largest * part));
    }
    return round_group(clamped, form, 1.0);
}

/// The least loss over the ratios 1 - i / grid, i < candidates.
inline double awq_least_loss(const std::vector<float>& v, const quell::scheme& form,
                             const std::vector<std::vector<double>>& gram, int grid, int candidates) {
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < candidates; ++i) {
        const float part = static_cast<float>(grid - i) / static_cast<float>(grid);
        least = std::min(least, awq_loss(v, awq_codes(v, form, part), gram));
    }
    return least;
}

}  // namespace reference
