// SPDX-License-Identifier: MIT
/// @file
/// Functions of one number and sums that a compiler can vectorize: in float as short branch-free formulas, since a
/// third of the training time went into calls of libm; in double, in which gradients are checked, straight from libm.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

namespace toy {

inline double exponential(double x) {
    return std::exp(x);
}

/// Relative error below 3e-7 for x in [-87, 88]; held at the ends beyond.
inline float exponential(float x) {
    constexpr float to_integer = 0x1.8p23F;  // adding it leaves no fraction bits
    constexpr float ln2_high = 0x1.62e4p-1F;
    constexpr float ln2_low = 0x1.7f7d1cp-20F;
    x = std::min(std::max(x, -87.0F), 88.0F);
    const float shifted = x * std::numbers::log2e_v<float> + to_integer;
    const float n = shifted - to_integer;
    const float r = (x - n * ln2_high) - n * ln2_low;
    float p = 1.0F / 5040.0F;
    p = p * r + 1.0F / 720.0F;
    p = p * r + 1.0F / 120.0F;
    p = p * r + 1.0F / 24.0F;
    p = p * r + 1.0F / 6.0F;
    p = p * r + 0.5F;
    p = p * r + 1.0F;
    p = p * r + 1.0F;
    const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) + 127U) << 23U;
    return p * std::bit_cast<float>(exponent);
}

inline double error_function(double x) {
    return std::erf(x);
}

/// Absolute error below 1e-6. Source: Abramowitz and Stegun, 7.1.26.
inline float error_function(float x) {
    const float magnitude = std::abs(x);
    const float t = 1.0F / (1.0F + 0.3275911F * magnitude);
    float p = 1.061405429F;
    p = p * t - 1.453152027F;
    p = p * t + 1.421413741F;
    p = p * t - 0.284496736F;
    p = p * t + 0.254829592F;
    return std::copysign(1.0F - p * t * exponential(-magnitude * magnitude), x);
}

template <typename T>
[[nodiscard]] T sigmoid(T x) {
    return T{1} / (T{1} + exponential(-x));
}

/// The distribution function of the standard normal.
template <typename T>
[[nodiscard]] T normal_cdf(T x) {
    return T{0.5} * (T{1} + error_function(x * (std::numbers::sqrt2_v<T> / T{2})));
}

/// sum of term(i) for i < n, in 16 interleaved sums that are added in order.
template <typename T, typename F>
[[nodiscard]] T interleaved_sum(std::size_t n, F term) {
    constexpr std::size_t lanes = 16;
    std::array<T, lanes> sums{};
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        for (std::size_t l = 0; l < lanes; ++l) {
            sums[l] += term(i + l);
        }
    }
    T all{0};
    for (; i < n; ++i) {
        all += term(i);
    }
    for (const T s : sums) {
        all += s;
    }
    return all;
}

}  // namespace toy
