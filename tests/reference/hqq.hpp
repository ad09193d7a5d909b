// SPDX-License-Identifier: MIT
/// @file
/// Oracle of rounding/hqq: one group at a time in plain double loops with std::pow, zeros as they come, never stored.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace reference {

struct code_limits {
    int low = 0;
    int high = 15;
};

/// The code of w / s + z.
inline double code_at(double step, double zero, const code_limits& codes) {
    return std::clamp<double>(std::nearbyint(step + zero), codes.low, codes.high);
}

/// Sum of |error in steps|^0.7.
inline double hqq_cost(const std::vector<double>& steps, double zero, const code_limits& codes) {
    double sum = 0.0;
    for (const double step : steps) {
        sum += std::pow(std::fabs(step - (code_at(step, zero, codes) - zero)), 0.7);
    }
    return sum;
}

/// One step of half-quadratic splitting from `zero` on.
inline double hqq_step(const std::vector<double>& steps, double zero, double beta, const code_limits& codes) {
    double sum = 0.0;
    for (const double step : steps) {
        const double code = code_at(step, zero, codes);
        const double error = step - (code - zero);
        const double kept = std::max(std::fabs(error) - std::pow(std::fabs(error), -0.3) / beta, 0.0);
        sum += code - (step - (error == 0.0 ? 0.0 : std::copysign(kept, error)));
    }
    return sum / static_cast<double>(steps.size());
}

/// The best zero met from the better of `start` and its nearest integer on, until the cost no longer falls.
inline double hqq_zero(const std::vector<double>& steps, double start, const code_limits& codes, int iterations = 20) {
    double best = start;
    if (hqq_cost(steps, std::nearbyint(start), codes) < hqq_cost(steps, start, codes)) {
        best = std::nearbyint(start);
    }
    double beta = 10.0;
    for (int i = 0; i < iterations; ++i, beta *= 1.01) {
        const double next = hqq_step(steps, best, beta, codes);
        if (!(hqq_cost(steps, next, codes) < hqq_cost(steps, best, codes))) {
            break;
        }
        best = next;
    }
    return best;
}

}  // namespace reference
