// SPDX-License-Identifier: MIT
/// @file
/// What may be said about a recipe beside its name.
#pragma once

#include "quell/core/target.hpp"
#include "quell/transforms/hadamard.hpp"

#include <cstddef>
#include <optional>

namespace quell::quant {
inline namespace QUELL_BASELINE {

struct recipe_options {
    /// How much of an outlier moves into the weights, in 0 ... 1. Where nobody says it, SmoothQuant takes the best of
    /// some for each input, and the others take one half.
    std::optional<float> alpha = {};
    std::size_t rank = 16;  ///< leading directions of the residual stream that stay in float
    transforms::rotation reach = transforms::rotation::full;  ///< of the rotation of an input
};

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
