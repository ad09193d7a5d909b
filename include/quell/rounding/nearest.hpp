// SPDX-License-Identifier: MIT
/// @file
/// Rounding of a run of weights to codes, and the price of the error this makes. Blocks have a fixed length so that
/// every compiler vectorizes them at its lowest level; a run is padded with zeros, which cost nothing.
///
/// The bits do not depend on the compiler or on contraction: codes come from one division, and where a product has to
/// be added, its last bit is cleared first, which no compiler may skip.
#pragma once

#include "quell/core/target.hpp"
#include "quell/rounding/scale.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

namespace detail {

inline constexpr std::size_t block = 32;

[[nodiscard]] constexpr std::size_t padded(std::size_t n) {
    return (n + block - 1) / block * block;
}

/// By value and without a branch: std::max would take the address of a constant, which keeps g++ from vectorizing.
[[nodiscard]] QUELL_ALWAYS_INLINE float at_least(float v, float floor) {
    return v < floor ? floor : v;
}
[[nodiscard]] QUELL_ALWAYS_INLINE float at_most(float v, float ceiling) {
    return v > ceiling ? ceiling : v;
}

/// nearbyint for |v| < 2^22 without the instruction that baseline x86 lacks.
[[nodiscard]] QUELL_ALWAYS_INLINE float round_half_even(float v) {
    constexpr float shift = 0x1.8p23F;
    return (v + shift) - shift;
}

/// A rounded product that no compiler can merge with the addition that follows.
[[nodiscard]] QUELL_ALWAYS_INLINE float unfused(float product) {
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(product) & 0xfffffffeU);
}

/// The codes less the zero that a group may take.
struct steps_range {
    float low;
    float high;
};

[[nodiscard]] inline steps_range steps_of(const scheme& form, const affine& a) {
    const code_range codes = codes_of(form);
    return {static_cast<float>(codes.low) - a.zero, static_cast<float>(codes.high) - a.zero};
}

[[nodiscard]] QUELL_ALWAYS_INLINE float clamp_to(float v, steps_range steps) {
    return at_most(at_least(v, steps.low), steps.high);
}

/// t^2.4 for t >= 0, within a relative 1.4e-4, or 6e-6 on the average over t.
///
/// Source   y = t^0.4 solves y^5 = t^2: a first guess from the bits of t, within 4.2 %, then one step of Halley.
[[nodiscard]] QUELL_ALWAYS_INLINE float power_2_4(float t) {
    constexpr std::int32_t guess_offset = 0x26163e39;
    constexpr auto tiny = std::bit_cast<std::int32_t>(0x1p-40F);  // the fifth power of its guess does not underflow
    const std::int32_t bits = std::max(std::bit_cast<std::int32_t>(t), tiny);
    const float base = std::bit_cast<float>(bits);
    const float square = unfused(base * base);
    const float guess = std::bit_cast<float>(static_cast<std::int32_t>(static_cast<float>(bits) * 0.4F) + guess_offset);
    const float guess_2 = guess * guess;
    const float fifth = unfused(guess_2 * guess_2 * guess);
    const float sum = square + fifth;
    return square * (guess * ((sum + sum + square) / (sum + sum + fifth)));
}

/// What an error of t at position i of the run costs.
struct power_cost {
    QUELL_ALWAYS_INLINE float operator()(float t, std::size_t /*i*/) const { return power_2_4(t); }
};
struct square_cost {
    QUELL_ALWAYS_INLINE float operator()(float t, std::size_t /*i*/) const { return t * t; }
};
struct weighted_square_cost {
    const float* weights;
    QUELL_ALWAYS_INLINE float operator()(float t, std::size_t i) const { return weights[i] * (t * t); }
};

/// A trial scale as a multiple of the unit in which values and errors are given, and the codes it may use.
struct trial {
    float scale;
    steps_range steps;
};

inline constexpr std::size_t lanes = block / 4;

/// The costs of one block, folded four to one and added to `sums`. Multiplies by 1 / scale: unlike in a code, a tie
/// costs the same on both sides. Two loops, because a branch on a limit that happens to be a constant keeps g++ from
/// vectorizing what follows it.
template <typename Cost>
QUELL_ALWAYS_INLINE void add_block(const float* values, std::size_t begin, const trial& t, const Cost& cost,
                                   double* sums) {
    const float inverse = 1.0F / t.scale;
    float exact[block];
    float clamped[block];
    float costs[block];
    for (std::size_t i = 0; i < block; ++i) {
        exact[i] = unfused(values[begin + i] * inverse);
        clamped[i] = clamp_to(exact[i], t.steps);
    }
    for (std::size_t i = 0; i < block; ++i) {
        const float distance = std::fabs(exact[i] - round_half_even(clamped[i]));
        costs[i] = unfused(cost(distance * t.scale, begin + i));
    }
    for (std::size_t i = 0; i < lanes; ++i) {
        const float left = costs[i] + costs[i + lanes];
        const float right = costs[i + 2 * lanes] + costs[i + 3 * lanes];
        sums[i] += static_cast<double>(left + right);
    }
}

/// The cost of rounding values[0 ... n), n a multiple of `block`. Stops early, with a partial sum that is not below
/// `enough`.
template <typename Cost>
[[nodiscard]] double rounding_cost(const float* values, std::size_t n, const trial& t, const Cost& cost,
                                   double enough) {
    constexpr std::size_t stretch = 8 * block;
    double sums[lanes] = {};
    double total = 0.0;
    for (std::size_t begin = 0; begin < n && total < enough; begin += stretch) {
        const std::size_t end = std::min(n, begin + stretch);
        for (std::size_t b = begin; b < end; b += block) {
            add_block(values, b, t, cost, sums);
        }
        total = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
    }
    return total;
}

}  // namespace detail

namespace detail {

/// nearbyint(v / scale) within the codes less their zero: v is about scale times this.
[[nodiscard]] QUELL_ALWAYS_INLINE float nearest_step(float v, float scale, steps_range steps) {
    return round_half_even(clamp_to(v / scale, steps));
}

}  // namespace detail

/// codes = clamp(nearbyint(v / scale) + zero).
inline void round_to_codes(std::span<const float> values, const scheme& form, const affine& a,
                           std::span<std::int8_t> codes) {
    QUELL_EXPECTS(values.size() == codes.size(), "one code for every value");
    const detail::steps_range steps = detail::steps_of(form, a);
    const auto zero = static_cast<std::int32_t>(a.zero);
    const float* from = values.data();
    std::int8_t* to = codes.data();
    for (std::size_t i = 0; i < values.size(); ++i) {
        to[i] =
            static_cast<std::int8_t>(static_cast<std::int32_t>(detail::nearest_step(from[i], a.scale, steps)) + zero);
    }
}

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
