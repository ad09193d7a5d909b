// SPDX-License-Identifier: MIT
/// @file
/// The check that stands before every algorithm: no NaN and no infinity, or an error that says where.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/views.hpp"
#include "quell/stats/absmax.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>

namespace quell::stats {
inline namespace QUELL_BASELINE {

[[nodiscard]] inline bool all_finite(std::span<const float> values) {
    return detail::largest_magnitude(values) < 0x7f800000U;
}

/// Errors   errc::bad_value naming the first row, its first column and the value.
[[nodiscard]] inline result<void> check_finite(matrix_view<const float> x) {
    for (std::size_t r = 0; r < x.rows(); ++r) {
        const std::span<const float> row = x.row(r);
        if (all_finite(row)) {
            continue;
        }
        const auto bad = std::find_if(row.begin(), row.end(), [](float v) { return !std::isfinite(v); });
        const std::string value = std::isnan(*bad) ? "NaN" : *bad > 0.0F ? "infinity" : "-infinity";
        return error{errc::bad_value, "row " + std::to_string(r) + ", column " + std::to_string(bad - row.begin()) +
                                          " is " + value + ", not a finite number"};
    }
    return {};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
