// SPDX-License-Identifier: MIT
/// @file
/// `parameter`: a trained matrix with its gradient and its name in a checkpoint. Modules own theirs and show them to a
/// visitor; the optimizer and the checkpoint are such visitors.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/target.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

template <typename T>
struct parameter {
    std::string name;
    matrix<T> value;
    matrix<T> gradient;
    bool is_gain = false;  ///< a vector [1, cols] of factors around one: is not decayed
    T unit = T{1};         ///< the learning rate counts in these: the size of the values, where it is not about one

    parameter(std::string tensor_name, std::size_t rows, std::size_t cols)
        : name(std::move(tensor_name)), value(rows, cols), gradient(rows, cols) {}

    void clear_gradient() { std::ranges::fill(gradient.elements(), T{0}); }
};

/// The unit of a matrix of weights.
[[nodiscard]] inline float root_mean_square(std::span<const float> values) {
    double sum = 0.0;
    for (const float v : values) {
        sum += static_cast<double>(v) * static_cast<double>(v);
    }
    return values.empty() ? 1.0F : static_cast<float>(std::sqrt(sum / static_cast<double>(values.size())));
}

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
