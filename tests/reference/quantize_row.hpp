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
};

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
        const float scaled = value * inverse;
        row.codes.push_back(std::isnan(scaled) ? 0 : static_cast<int>(std::clamp(std::nearbyint(scaled), low, high)));
    }
    return row;
}

}  // namespace reference
