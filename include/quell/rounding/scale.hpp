// SPDX-License-Identifier: MIT
/// @file
/// From the range of a group to its scale and zero, in the order that decides bits: the scale is rounded to its storage
/// type first, and everything after it uses the rounded one. Plain IEEE operations; no product feeds a sum.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/types.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// v = scale * (code - zero).
struct affine {
    float scale = 1.0F;
    float zero = 0.0F;  ///< an integer, but where the form has real zeros; 0 for symmetric codes
};

/// The smallest and largest value of a group, each moved to zero where it lies beyond it: zero always has a code.
struct value_range {
    float low = 0.0F;
    float high = 0.0F;
};

/// Requires values that are not empty.
[[nodiscard]] inline value_range range_with_zero(std::span<const float> values) {
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return {std::min(*low, 0.0F), std::max(*high, 0.0F)};
}

namespace detail {

struct scale_limits {
    float smallest;
    float largest;
};

[[nodiscard]] constexpr scale_limits limits_of(scale_type type) {
    switch (type) {
        case scale_type::f16: return {0x1p-24F, 65504.0F};
        case scale_type::bf16: return {0x1p-133F, 0x1.fep127F};
        default: return {std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::max()};
    }
}

[[nodiscard]] inline float to_storage(scale_type type, float v) {
    switch (type) {
        case scale_type::f16: return to_f32(to_f16(v));
        case scale_type::bf16: return to_f32(to_bf16(v));
        default: return v;
    }
}

}  // namespace detail

/// A positive scale as its storage type holds it: never 0, and never so large that scale times code is infinite.
[[nodiscard]] inline float stored_scale(const scheme& form, double scale) {
    const detail::scale_limits limits = detail::limits_of(form.scales);
    const int most_steps = 1 << (form.codes == code_set::symmetric ? form.bits - 1 : form.bits);
    const float finite = std::numeric_limits<float>::max() / static_cast<float>(most_steps);
    const double largest = static_cast<double>(std::min(limits.largest, finite));
    return std::max(detail::to_storage(form.scales, static_cast<float>(std::min(scale, largest))), limits.smallest);
}

/// Scale and zero of a group whose range is first shrunk to `ratio` of itself. An empty range gives scale 1.
///
/// Source   The uniform quantizer of QuaRot, arXiv 2404.00456. Differs: 8-bit codes are -127 ... 127 with a zero as
/// well.
[[nodiscard]] inline affine fit_range(const scheme& form, value_range range, double ratio = 1.0) {
    const code_range codes = codes_of(form);
    const double low = static_cast<double>(range.low);
    const double high = static_cast<double>(range.high);
    if (form.codes == code_set::symmetric) {
        const double largest = std::max(high, -low);
        return {largest == 0.0 ? 1.0F : stored_scale(form, largest * ratio / codes.high), 0.0F};
    }
    if (high == low) {
        return {1.0F, static_cast<float>(codes.low)};
    }
    const float scale = stored_scale(form, (high - low) * ratio / (codes.high - codes.low));
    const double steps = std::nearbyint(-low * ratio / static_cast<double>(scale));
    return {scale, static_cast<float>(std::min<double>(codes.low + steps, codes.high))};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
