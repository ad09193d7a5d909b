// SPDX-License-Identifier: MIT
/// @file
/// `online_input`: what a linear does to its input at run time before the input meets the weight.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/quant/check_vector.hpp"
#include "quell/transforms/folding.hpp"
#include "quell/transforms/hadamard.hpp"

#include <algorithm>
#include <cstddef>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// v = H (x * scale), each part optional.
struct online_input {
    buffer<float> scale{};            ///< [in], or empty
    transforms::hadamard rotation{};  ///< of in channels, or empty

    [[nodiscard]] static online_input copy_of(const online_input& other) {
        return {.scale = buffer<float>::copy_of(other.scale), .rotation = other.rotation};
    }

    [[nodiscard]] bool empty() const { return scale.empty() && rotation.empty(); }
    /// What a file stores of it: the signs of H follow from its size.
    [[nodiscard]] std::size_t stored_bytes() const { return scale.size_bytes(); }

    /// A weight that reads v becomes the one that reads x.
    void undo(matrix_view<float> weight) const {
        if (!rotation.empty()) {
            rotation.undo(weight);
        }
        if (!scale.empty()) {
            transforms::scale_columns(weight, scale);
        }
    }

    friend bool operator==(const online_input& a, const online_input& b) {
        return a.rotation.shape() == b.rotation.shape() &&
               std::equal(a.scale.begin(), a.scale.end(), b.scale.begin(), b.scale.end());
    }
};

/// Errors   errc::bad_shape; errc::bad_value for a scale that is not finite, with its index.
[[nodiscard]] inline result<void> check(const online_input& online, std::size_t in_features) {
    QUELL_TRY_VOID(check_vector(online.scale, in_features, "channel scale"));
    if (!online.rotation.empty() && online.rotation.size() != in_features) {
        return error{errc::bad_shape, "rotation of " + std::to_string(online.rotation.size()) +
                                          " channels, the weight asks for " + std::to_string(in_features)};
    }
    return {};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
