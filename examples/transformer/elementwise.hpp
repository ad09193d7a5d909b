// SPDX-License-Identifier: MIT
/// @file
/// The functions that a transformer applies to single numbers: exp, SiLU, GELU; and sums over a row. They stand in
/// the hot loop, so they are plain arithmetic that a compiler turns into vector code, and sums run in a fixed order.
/// Not for arguments where a relative error of 1e-6 matters.
#pragma once

#include "quell/core/target.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace transformer {

/// `x` limited to -87 ... 87; NaN stays. Comparisons of floats keep gcc from vectorizing (they might trap), those of
/// their bits do not.
[[nodiscard]] QUELL_ALWAYS_INLINE float limited_to_87(float x) {
    constexpr std::int32_t infinity = 0x7f800000;
    constexpr auto limit = std::bit_cast<std::int32_t>(87.0F);
    const auto bits = std::bit_cast<std::int32_t>(x);
    const std::int32_t magnitude = bits & 0x7fffffff;
    const std::int32_t beyond = -static_cast<std::int32_t>((magnitude > limit) & (magnitude <= infinity));
    const std::int32_t kept = (magnitude & ~beyond) | (limit & beyond);
    return std::bit_cast<float>(kept | (bits ^ magnitude));
}

/// e^x with a relative error below 1e-6 for |x| <= 87; e^87 = 6e37 and its inverse beyond; NaN stays NaN.
/// Source   x = n ln 2 + r with |r| <= ln 2 / 2; 2^n times the polynomial 1 + r + ... of degree 5 whose largest
/// relative
///          error on that interval is least, 1.1e-7 (fitted by reweighted least squares).
[[nodiscard]] QUELL_ALWAYS_INLINE float exp_approx(float x) {
    constexpr float log2_e = 1.442695041F;
    constexpr float ln2_high = 0.693359375F;  // ten bits, so that n * ln2_high is exact
    constexpr float ln2_low = -2.12194440e-4F;
    constexpr float round_to_integer = 0x1.8p23F;  // adding it leaves the integer in the low bits
    const float limited = limited_to_87(x);
    const float shifted = limited * log2_e + round_to_integer;
    const float n = shifted - round_to_integer;
    const float r = (limited - n * ln2_high) - n * ln2_low;
    float p = 8.31250101e-3F;
    p = p * r + 4.18903306e-2F;
    p = p * r + 0.166671157F;
    p = p * r + 0.499992311F;
    p = p * r + 1.0F;
    p = p * r + 1.0F;
    const std::uint32_t power = (std::bit_cast<std::uint32_t>(shifted) << 23U) + std::bit_cast<std::uint32_t>(1.0F);
    return p * std::bit_cast<float>(power);
}

[[nodiscard]] QUELL_ALWAYS_INLINE float silu(float x) {
    return x / (1.0F + exp_approx(-x));
}

/// GELU by the error function: what "gelu" means in a Hugging Face configuration.
[[nodiscard]] inline float gelu_erf(float x) {
    return 0.5F * x * (1.0F + std::erf(x * 0.707106781F));
}

/// GELU by the hyperbolic tangent ("gelu_new", "gelu_pytorch_tanh"); (1 + tanh u) / 2 = 1 / (1 + e^-2u).
[[nodiscard]] QUELL_ALWAYS_INLINE float gelu_tanh(float x) {
    constexpr float twice_sqrt_2_over_pi = 1.595769122F;
    return x / (1.0F + exp_approx(-twice_sqrt_2_over_pi * (x + 0.044715F * x * x * x)));
}

/// How many running results a reduction keeps: enough for one wide register, and part of the order of the sum.
inline constexpr std::size_t reduction_lanes = 16;

/// The bits of a float as an integer of the same order, which gcc compares in vectors; its own inverse.
[[nodiscard]] QUELL_ALWAYS_INLINE std::int32_t ordered_bits(std::int32_t bits) {
    return bits ^ ((bits >> 31) & 0x7fffffff);
}

[[nodiscard]] inline float largest(std::span<const float> row) {
    std::int32_t lanes[reduction_lanes];
    std::fill_n(lanes, reduction_lanes, ordered_bits(std::bit_cast<std::int32_t>(row[0])));
    const std::size_t whole = row.size() / reduction_lanes * reduction_lanes;
    for (std::size_t i = 0; i < whole; i += reduction_lanes) {
        for (std::size_t j = 0; j < reduction_lanes; ++j) {
            lanes[j] = std::max(lanes[j], ordered_bits(std::bit_cast<std::int32_t>(row[i + j])));
        }
    }
    for (std::size_t i = whole; i < row.size(); ++i) {
        lanes[0] = std::max(lanes[0], ordered_bits(std::bit_cast<std::int32_t>(row[i])));
    }
    return std::bit_cast<float>(ordered_bits(*std::max_element(lanes, lanes + reduction_lanes)));
}

[[nodiscard]] inline float sum_of(std::span<const float> row) {
    float lanes[reduction_lanes] = {};
    const std::size_t whole = row.size() / reduction_lanes * reduction_lanes;
    for (std::size_t i = 0; i < whole; i += reduction_lanes) {
        for (std::size_t j = 0; j < reduction_lanes; ++j) {
            lanes[j] += row[i + j];
        }
    }
    for (std::size_t i = whole; i < row.size(); ++i) {
        lanes[i - whole] += row[i];
    }
    for (std::size_t half = reduction_lanes / 2; half > 0; half /= 2) {
        for (std::size_t j = 0; j < half; ++j) {
            lanes[j] += lanes[j + half];
        }
    }
    return lanes[0];
}

[[nodiscard]] inline float sum_of_squares(std::span<const float> row) {
    float lanes[reduction_lanes] = {};
    const std::size_t whole = row.size() / reduction_lanes * reduction_lanes;
    for (std::size_t i = 0; i < whole; i += reduction_lanes) {
        for (std::size_t j = 0; j < reduction_lanes; ++j) {
            lanes[j] += row[i + j] * row[i + j];
        }
    }
    for (std::size_t i = whole; i < row.size(); ++i) {
        lanes[i - whole] += row[i] * row[i];
    }
    return sum_of({lanes, reduction_lanes});
}

/// row <- exp(scale * (row - its largest element)), in place, and the sum of that: softmax before the division, which
/// costs less where fewer numbers are left. row must not be empty.
[[nodiscard]] inline float softmax_numerators(std::span<float> row, float scale) {
    const float peak = largest(row);
    for (float& v : row) {
        v = exp_approx((v - peak) * scale);
    }
    return sum_of(row);
}

}  // namespace transformer
