// SPDX-License-Identifier: MIT
/// @file
/// The learning rate of every step: linear warm-up, then half a cosine (Loshchilov and Hutter, arXiv 1608.03983,
/// without restarts).
#pragma once

#include "quell/core/target.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

/// Rises to `peak` over `warm_up` steps, a tenth of all at most, and falls to `peak` * `floor` at the end.
struct cosine_schedule {
    double peak = 1e-3;
    double floor = 0.02;
    std::size_t warm_up = 50;
    std::size_t steps = 1000;

    [[nodiscard]] double rate(std::size_t step) const {
        const auto now = static_cast<double>(step);
        const double warm = std::min(static_cast<double>(warm_up), static_cast<double>(steps) / 10.0);
        if (now < warm) {
            return peak * std::min(1.0, (now + 1.0) / warm);
        }
        const double done = (now - warm) / std::max(1.0, static_cast<double>(steps) - warm);
        return peak * (floor + (1.0 - floor) * 0.5 * (1.0 + std::cos(std::numbers::pi * std::min(done, 1.0))));
    }
};

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
