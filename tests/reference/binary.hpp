// SPDX-License-Identifier: MIT
/// @file
/// Oracle of rounding/binary: mean, mean distance from it, and which side a value is on, one group at a time.
#pragma once

#include "quell/core/scheme.hpp"
#include "reference/rtn.hpp"

#include <cmath>
#include <vector>

namespace reference {

struct levels {
    double scale = 0.0;
    double mean = 0.0;

    [[nodiscard]] double nearest(double v) const { return v >= mean ? mean + scale : mean - scale; }
};

inline levels binary_levels(const std::vector<double>& values, const quell::scheme& form) {
    levels found;
    if (values.empty()) {
        return found;
    }
    const auto n = static_cast<double>(values.size());
    double sum = 0.0;
    for (const double v : values) {
        sum += v;
    }
    if (form.codes == quell::code_set::sign_mean) {
        found.mean = static_cast<double>(as_stored(form.scales, sum / n));
    }
    double distance = 0.0;
    for (const double v : values) {
        distance += std::fabs(v - found.mean);
    }
    found.scale = static_cast<double>(as_stored(form.scales, distance / n));
    return found;
}

}  // namespace reference
