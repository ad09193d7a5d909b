// SPDX-License-Identifier: MIT
/// @file
/// The product of a quantized linear from its definition: activations become codes as the specification says, both
/// operands are dequantized, and the sum is taken in double.
#pragma once

#include "quell/core/quantized.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace reference {

struct activation_rule {
    int bits = 8;
    float clip = 1.0F;
    float static_scale = 0.0F;
    std::span<const float> channel_scale = {};
};

/// One row of activations after quantization, dequantized.
inline std::vector<double> rounded_row(std::span<const float> x, const activation_rule& rule) {
    std::vector<float> v(x.begin(), x.end());
    float absmax = 0.0F;
    for (std::size_t k = 0; k < v.size(); ++k) {
        v[k] *= rule.channel_scale.empty() ? 1.0F : rule.channel_scale[k];
        absmax = std::max(absmax, std::abs(v[k]));
    }
    const float high = rule.bits == 16 ? 32385.0F : rule.bits == 8 ? 127.0F : 7.0F;
    const float low = rule.bits == 4 ? -8.0F : -high;
    const float dynamic = absmax == 0.0F ? 1.0F : rule.clip * absmax / high;
    const float scale = rule.static_scale > 0.0F ? rule.static_scale : dynamic;
    const float inverse = 1.0F / scale;
    std::vector<double> rounded;
    for (const float value : v) {
        rounded.push_back(double{std::clamp(std::nearbyint(value * inverse), low, high)} * double{scale});
    }
    return rounded;
}

struct product {
    double value = 0.0;
    double magnitude = 0.0;  ///< sum of the magnitudes of the terms, bias included: what a float error scales with
};

inline product quantized_product(std::span<const double> a, const quell::quantized& w, std::size_t row, float bias) {
    const std::size_t group = quell::group_length(w.form, w.in_features());
    product sum{double{bias}, std::abs(double{bias})};
    for (std::size_t k = 0; k < a.size(); ++k) {
        const double term = a[k] * double{w.scales(row, k / group)} * double{static_cast<float>(w.codes(row, k))};
        sum.value += term;
        sum.magnitude += std::abs(term);
    }
    return sum;
}

}  // namespace reference
