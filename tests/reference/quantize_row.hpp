// SPDX-License-Identifier: MIT
/// @file
/// Activations to codes, one element at a time, as the specification words it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace reference {

struct row_codes {
    float scale = 1.0F;
    std::vector<int> codes;
    int zero = 0;
};

namespace detail {

/// The codes of values that are scaled already, moved by a zero; what is not a number has the value 0.
[[nodiscard]] inline int code_of(float scaled, int zero, float low, float high) {
    const double moved = std::isnan(scaled) ? zero : std::nearbyint(double{scaled}) + zero;
    return static_cast<int>(std::clamp<double>(moved, low, high));
}

}  // namespace detail

/// 8 or 7 bits from the smallest to the largest value, with 0 between them.
[[nodiscard]] inline row_codes quantize_row_with_zero(std::span<const float> x, std::span<const float> channel_scale,
                                                      int bits, float clip) {
    const float low = bits == 8 ? -127.0F : 0.0F;
    const float steps = bits == 8 ? 254.0F : 127.0F;
    std::vector<float> v(x.begin(), x.end());
    float top = 0.0F;
    float bottom = 0.0F;
    for (std::size_t k = 0; k < v.size(); ++k) {
        v[k] = channel_scale.empty() ? v[k] : v[k] * channel_scale[k];
        top = std::isfinite(v[k]) ? std::max(top, v[k]) : top;
        bottom = std::isfinite(v[k]) ? std::min(bottom, v[k]) : bottom;
    }
    const auto clipped = [clip](float end) { return static_cast<float>(double{clip} * double{end}); };
    const float half = 0.5F * clipped(top) - 0.5F * clipped(bottom);
    row_codes row{.scale = half > 0.0F ? std::max(half / (0.5F * steps), 0x1p-126F) : 1.0F, .codes = {}};
    row.zero = static_cast<int>(std::min(std::nearbyint(low - clipped(bottom) / row.scale), 127.0F));
    const float inverse = 1.0F / row.scale;
    for (const float value : v) {
        row.codes.push_back(detail::code_of(value * inverse, row.zero, low, 127.0F));
    }
    return row;
}

[[nodiscard]] inline row_codes quantize_row(std::span<const float> x, std::span<const float> channel_scale, int bits,
                                            float clip, float static_scale) {
    std::vector<float> v(x.begin(), x.end());
    float absmax = 0.0F;
    for (std::size_t k = 0; k < v.size(); ++k) {
        v[k] = channel_scale.empty() ? v[k] : v[k] * channel_scale[k];
        absmax = std::isfinite(v[k]) ? std::max(absmax, std::fabs(v[k])) : absmax;
    }
    const float low = bits == 8 ? -127.0F : -8.0F;
    const float high = bits == 8 ? 127.0F : 7.0F;
    row_codes row;
    if (static_scale > 0.0F) {
        row.scale = static_scale;
    } else if (absmax > 0.0F) {
        row.scale = std::max(clip * absmax / high, 0x1p-126F);
    }
    const float inverse = 1.0F / row.scale;
    for (const float value : v) {
        row.codes.push_back(detail::code_of(value * inverse, 0, low, high));
    }
    return row;
}

}  // namespace reference
