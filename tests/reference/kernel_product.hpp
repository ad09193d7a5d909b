// SPDX-License-Identifier: MIT
/// @file
/// The products of the kernels as plain loops: exact sums of integer codes in 64 bits, and the float orders that the
/// kernels' contract fixes.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace reference {

[[nodiscard]] inline std::int64_t integer_dot(std::span<const std::int8_t> a, std::span<const std::int8_t> w) {
    std::int64_t sum = 0;
    for (std::size_t k = 0; k < w.size(); ++k) {
        sum += std::int64_t{a[k]} * w[k];
    }
    return sum;
}

/// Group after group fma(float(sum), weight scale, acc); then the activation's scale and the bias in one fma.
[[nodiscard]] inline float scaled_dot(std::span<const std::int8_t> a, std::span<const std::int8_t> w,
                                      std::span<const float> w_scales, std::size_t group, float a_scale, float bias) {
    float acc = 0.0F;
    for (std::size_t g = 0; g < w_scales.size(); ++g) {
        const std::size_t begin = g * group;
        const std::size_t length = begin + group < w.size() ? group : w.size() - begin;
        const auto sum = static_cast<float>(integer_dot(a.subspan(begin, length), w.subspan(begin, length)));
        acc = std::fma(sum, w_scales[g], acc);
    }
    return std::fma(acc, a_scale, bias);
}

/// k ascending, one fma each.
[[nodiscard]] inline float float_dot(std::span<const float> x, std::span<const float> w) {
    float acc = 0.0F;
    for (std::size_t k = 0; k < w.size(); ++k) {
        acc = std::fma(x[k], w[k], acc);
    }
    return acc;
}

}  // namespace reference
