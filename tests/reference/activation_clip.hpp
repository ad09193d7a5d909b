// SPDX-License-Identifier: MIT
/// @file
/// Oracle of rounding/activation_clip: activations rounded as the kernels do it, errors in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace reference {

/// The mean over rows of |x - x^|^2 / |x|^2 at one clip ratio.
inline double activation_clip_error(const std::vector<std::vector<float>>& rows, int bits, float ratio) {
    const int high = (1 << (bits - 1)) - 1;
    const int low = bits == 8 ? -127 : -(1 << (bits - 1));
    double sum = 0.0;
    for (const std::vector<float>& row : rows) {
        float largest = 0.0F;
        double energy = 0.0;
        for (const float v : row) {
            largest = std::max(largest, std::fabs(v));
            energy += static_cast<double>(v) * static_cast<double>(v);
        }
        if (energy == 0.0) {
            continue;
        }
        const float scale = ratio * largest / static_cast<float>(high);
        double lost = 0.0;
        for (const float v : row) {
            const int code = std::clamp(static_cast<int>(std::nearbyint(v * (1.0F / scale))), low, high);
            const double error = static_cast<double>(v) - static_cast<double>(scale) * code;
            lost += error * error;
        }
        sum += lost / energy;
    }
    return sum / static_cast<double>(rows.size());
}

}  // namespace reference
