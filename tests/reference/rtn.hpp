// SPDX-License-Identifier: MIT
/// @file
/// Oracle of rounding/rtn: one group at a time, in plain double loops with std::pow and every clip ratio tried.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/types.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace reference {

struct group_codes {
    float scale = 1.0F;
    int zero = 0;
    std::vector<int> codes;
};

struct price {
    double power = 2.4;
    std::vector<double> weights;  ///< empty: all 1

    [[nodiscard]] double of(double error, std::size_t i) const {
        return std::pow(std::fabs(error), power) * (weights.empty() ? 1.0 : weights[i]);
    }
};

inline float as_stored(quell::scale_type type, double scale) {
    const auto narrow = static_cast<float>(scale);
    switch (type) {
        case quell::scale_type::f16: return quell::to_f32(quell::to_f16(narrow));
        case quell::scale_type::bf16: return quell::to_f32(quell::to_bf16(narrow));
        default: return narrow;
    }
}

inline group_codes round_group(const std::vector<float>& v, const quell::scheme& form, double ratio) {
    double low = 0.0;
    double high = 0.0;
    for (const float x : v) {
        low = std::min(low, static_cast<double>(x));
        high = std::max(high, static_cast<double>(x));
    }
    const bool symmetric = form.codes == quell::code_set::symmetric;
    const int lowest = form.bits == 8 ? -127 : symmetric ? -(1 << (form.bits - 1)) : 0;
    const int highest = form.bits == 8 ? 127 : symmetric ? (1 << (form.bits - 1)) - 1 : (1 << form.bits) - 1;
    group_codes g;
    if (low == 0.0 && high == 0.0) {
        g.zero = symmetric ? 0 : lowest;
    } else if (symmetric) {
        g.scale = as_stored(form.scales, std::max(-low, high) * ratio / highest);
    } else {
        g.scale = as_stored(form.scales, (high - low) * ratio / (highest - lowest));
        g.zero =
            std::min(highest, lowest + static_cast<int>(std::nearbyint(-low * ratio / static_cast<double>(g.scale))));
    }
    for (const float x : v) {
        const int code = static_cast<int>(std::nearbyint(x / g.scale)) + g.zero;
        g.codes.push_back(std::clamp(code, lowest, highest));
    }
    return g;
}

inline double cost_of(const std::vector<float>& v, const group_codes& g, const price& p) {
    double sum = 0.0;
    for (std::size_t i = 0; i < v.size(); ++i) {
        const double value = static_cast<double>(g.scale) * (g.codes[i] - g.zero);
        sum += p.of(static_cast<double>(v[i]) - value, i);
    }
    return sum;
}

/// The cheapest of the ratios 1 - i / grid, i < candidates.
inline group_codes find_clip(const std::vector<float>& v, const quell::scheme& form, const price& p, int grid,
                             int candidates) {
    group_codes best;
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < candidates; ++i) {
        const group_codes g = round_group(v, form, static_cast<double>(grid - i) / grid);
        const double cost = cost_of(v, g, p);
        if (cost < least) {
            least = cost;
            best = g;
        }
    }
    return best;
}

}  // namespace reference
