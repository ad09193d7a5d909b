// SPDX-License-Identifier: MIT
/// @file
/// The check that biases and channel scales go through before a linear takes them.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/target.hpp"

#include <cmath>
#include <cstddef>
#include <span>
#include <string>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// Shapes   values [length], or empty.
/// Errors   errc::bad_shape; errc::bad_value for NaN or infinity, with its index. `what` names the values.
[[nodiscard]] inline result<void> check_vector(std::span<const float> values, std::size_t length, const char* what) {
    if (!values.empty() && values.size() != length) {
        return error{errc::bad_shape, std::string(what) + " has " + std::to_string(values.size()) +
                                          " entries, the weight asks for " + std::to_string(length)};
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!std::isfinite(values[i])) {
            return error{errc::bad_value,
                         std::string(what) + ", entry " + std::to_string(i) + ": " + std::to_string(values[i])};
        }
    }
    return {};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
