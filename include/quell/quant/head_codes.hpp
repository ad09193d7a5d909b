// SPDX-License-Identifier: MIT
/// @file
/// Keys and values in codes: what a cache holds of one head of one token, an integer a channel with a scale and a
/// minimum of its own.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/target.hpp"
#include "quell/rounding/scale.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// How keys and values are kept.
struct head_scheme {
    int bits = 32;      ///< 8, 4, or 32: float
    float clip = 1.0F;  ///< the codes span this part of the range

    [[nodiscard]] bool is_float() const { return bits == 32; }
};

/// Four bits gain from cutting off the largest values, eight lose.
[[nodiscard]] constexpr head_scheme head_scheme_of(int bits) {
    return {.bits = bits, .clip = bits == 4 ? 0.95F : 1.0F};
}

/// v = scale * code + minimum, codes from 0 to 2^bits - 1.
struct head_range {
    float scale = 1.0F;
    float minimum = 0.0F;
};

/// The codes of one head of one token; 0 has a code of its own. Not finite values make a range that is not finite.
///
/// Shapes   x and codes [head_size].
/// Requires 8 or 4 bits; clip in (0, 1].
/// Source   The asymmetric quantizer of QuaRot, arXiv 2404.00456, with its clip of 0.95.
/// Oracle   reference::head_codes (tests/reference/head_codes.hpp).
[[nodiscard]] inline head_range quantize_head(const head_scheme& form, std::span<const float> x,
                                              std::span<std::uint8_t> codes) {
    QUELL_EXPECTS(x.size() == codes.size() && (form.bits == 8 || form.bits == 4), "a code of 8 or 4 bits a channel");
    float low = 0.0F;
    float high = 0.0F;
    for (const float v : x) {
        low = std::min(low, v);
        high = std::max(high, v);
    }
    const auto largest = static_cast<float>((1 << form.bits) - 1);
    const float scale = std::max((high - low) * form.clip / largest, 0x1p-126F);
    const float zero = std::nearbyint(-low * form.clip / scale);
    const float inverse = 1.0F / scale;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const float code = std::nearbyint(x[i] * inverse) + zero;
        codes[i] = static_cast<std::uint8_t>(std::clamp(code, 0.0F, largest));
    }
    return {scale, -zero * scale};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
