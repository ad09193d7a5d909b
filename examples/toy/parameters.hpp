// SPDX-License-Identifier: MIT
/// @file
/// `parameter`: a trained matrix with its gradient and its name in a checkpoint. Modules own theirs and show them to a
/// visitor; the optimizer and the checkpoint writer are such visitors.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/rng.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

namespace toy {

template <typename T>
struct parameter {
    std::string name;
    quell::matrix<T> value;
    quell::matrix<T> gradient;
    bool is_gain = false;  ///< a vector [1, cols] of norm gains: starts at one, is not decayed

    parameter(std::string tensor_name, std::size_t rows, std::size_t cols)
        : name(std::move(tensor_name)), value(rows, cols), gradient(rows, cols) {}

    void clear_gradient() { std::ranges::fill(gradient.elements(), T{0}); }
};

/// Independent normals with this standard deviation.
template <typename T>
void fill_normal(parameter<T>& p, double deviation, quell::rng& random) {
    for (T& v : p.value.elements()) {
        v = static_cast<T>(deviation * random.normal());
    }
}

}  // namespace toy
