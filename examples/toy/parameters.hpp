// SPDX-License-Identifier: MIT
/// @file
/// The parameters of the trainer, and how their values start.
#pragma once

#include "quell/core/rng.hpp"
#include "quell/tuning/parameter.hpp"

namespace toy {

using quell::tuning::parameter;

/// Independent normals with this standard deviation.
template <typename T>
void fill_normal(parameter<T>& p, double deviation, quell::rng& random) {
    for (T& v : p.value.elements()) {
        v = static_cast<T>(deviation * random.normal());
    }
}

}  // namespace toy
