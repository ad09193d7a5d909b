// SPDX-License-Identifier: MIT
/// @file
/// Compares a hand-written gradient with central differences in double.
#pragma once

#include "quell/core/rng.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace toy_test {

inline void fill(std::span<double> values, std::uint64_t seed) {
    quell::rng random(seed);
    for (double& v : values) {
        v = random.normal();
    }
}

/// sum of values * weights: a scalar whose gradient is `weights`.
inline double weighted_sum(std::span<const double> values, std::span<const double> weights) {
    double sum = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        sum += values[i] * weights[i];
    }
    return sum;
}

/// `loss()` as a function of `values` must have this gradient; `loss` leaves everything else as it was. Looks at every
/// n-th value only where `every` is n. The differences are of fourth order.
template <typename Loss>
void expect_gradient(std::span<double> values, std::span<const double> gradient, Loss loss, const std::string& what,
                     std::size_t every = 1) {
    constexpr double step = 2e-5;
    ASSERT_EQ(values.size(), gradient.size()) << what;
    for (std::size_t i = 0; i < values.size(); i += every) {
        const double kept = values[i];
        const auto slope = [&](double distance) {
            values[i] = kept + distance;
            const double above = loss();
            values[i] = kept - distance;
            const double below = loss();
            values[i] = kept;
            return (above - below) / (2.0 * distance);
        };
        const double expected = (4.0 * slope(step) - slope(2.0 * step)) / 3.0;
        EXPECT_NEAR(gradient[i], expected, 1e-7 * (1.0 + std::abs(expected))) << what << " element " << i;
    }
}

}  // namespace toy_test
