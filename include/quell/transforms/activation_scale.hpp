// SPDX-License-Identifier: MIT
/// @file
/// Scales of input channels from the activations alone: channels that are large on average get finer weights.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/target.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace quell::transforms {
inline namespace QUELL_BASELINE {

/// s_j = max(a_j^alpha, 1e-4) over the geometric mean of the largest and the smallest.
///
/// Shapes   magnitudes [in], the mean of |x_j|; the result [in].
/// Requires finite magnitudes.
/// Source   AWQ, arXiv 2306.00978, and its code. Differs: a channel that was never active gets scale 1.
[[nodiscard]] inline buffer<float> activation_scales(std::span<const double> magnitudes, double alpha) {
    constexpr double smallest = 1e-4;
    double low = std::numeric_limits<double>::infinity();
    double high = 0.0;
    const auto scale = [&](double a) { return std::max(std::pow(a, alpha), smallest); };
    for (const double a : magnitudes) {
        if (a > 0.0) {
            low = std::min(low, scale(a));
            high = std::max(high, scale(a));
        }
    }
    buffer<float> scales(magnitudes.size());
    for (std::size_t j = 0; j < scales.size(); ++j) {
        const double a = magnitudes[j];
        scales[j] = a > 0.0 ? static_cast<float>(scale(a) / std::sqrt(low * high)) : 1.0F;
    }
    return scales;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::transforms
