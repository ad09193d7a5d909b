// SPDX-License-Identifier: MIT
/// @file
/// Oracle for the 16-bit floats: their values by the definition of IEEE 754, and rounding to them done in double, where
/// every step is exact.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace reference {

struct small_float {
    int fraction_bits;
    int min_exponent;  ///< of the smallest normal number; the largest exponent is 1 - min_exponent
};

inline constexpr small_float half{.fraction_bits = 10, .min_exponent = -14};
inline constexpr small_float brain{.fraction_bits = 7, .min_exponent = -126};

/// The value that 16 bits stand for.
inline double value_of_bits(const small_float& format, std::uint16_t bits) {
    const int fraction = bits & ((1 << format.fraction_bits) - 1);
    const int exponent = (bits & 0x7fff) >> format.fraction_bits;
    const int all_ones = 0x7fff >> format.fraction_bits;
    const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
    if (exponent == all_ones) {
        return fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * HUGE_VAL;
    }
    const int significand = exponent == 0 ? fraction : fraction + (1 << format.fraction_bits);
    const int power = exponent == 0 ? format.min_exponent : exponent - 1 + format.min_exponent;
    return sign * std::ldexp(significand, power - format.fraction_bits);
}

/// `v` rounded to the nearest value of the format, ties to even; past the largest value: infinity.
inline double rounded(const small_float& format, float v) {
    if (!std::isfinite(v) || v == 0.0F) {
        return v;
    }
    const int exponent = std::ilogb(v) < format.min_exponent ? format.min_exponent : std::ilogb(v);
    const double quantum = std::ldexp(1.0, exponent - format.fraction_bits);
    const double value = std::nearbyint(v / quantum) * quantum;
    const double limit = std::ldexp(1.0, 2 - format.min_exponent);
    return std::abs(value) >= limit ? std::copysign(HUGE_VAL, v) : value;
}

}  // namespace reference
