// SPDX-License-Identifier: MIT
/// @file
/// Scales and zeros of 8 bits (`scale_type::codes8`). The scales of a row are 1 ... 255 times its unit, a power of two,
/// so that their values tell the unit; real zeros are 8 bits as well, in fixed steps over the range of the codes.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"

#include <algorithm>
#include <cmath>

namespace quell {
inline namespace QUELL_BASELINE {

inline constexpr int most_scale_steps = 255;

/// The unit of a row whose largest scale this is: 128 to 255 of it, where f16 reaches so far.
///
/// Requires largest > 0, finite.
[[nodiscard]] inline float scale_unit(float largest) {
    return std::ldexp(1.0F, std::clamp(std::ilogb(largest) - 7, -24, 8));
}

/// The nearest scale that a row of this unit can have.
[[nodiscard]] inline float scale_in_units(float scale, float unit) {
    return unit * std::clamp(std::nearbyint(scale / unit), 1.0F, static_cast<float>(most_scale_steps));
}

/// The zeros first + step i for i = 0 ... 255.
struct zero_steps {
    float first;
    float step;

    /// The number of the nearest one.
    [[nodiscard]] int nearest(float zero) const {
        return static_cast<int>(std::clamp(std::nearbyint((zero - first) / step), 0.0F, 255.0F));
    }
    [[nodiscard]] float value(int i) const { return first + step * static_cast<float>(i); }
};

/// With fewer than 8 bits from 0 to almost 2^bits in steps of 2^(bits - 8); with 8 bits the integers -128 ... 127.
[[nodiscard]] inline zero_steps zero_steps_of(int bits) {
    return bits == 8 ? zero_steps{-128.0F, 1.0F} : zero_steps{0.0F, std::ldexp(1.0F, bits - 8)};
}

}  // namespace QUELL_BASELINE
}  // namespace quell
