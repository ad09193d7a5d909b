// SPDX-License-Identifier: MIT
/// @file
/// What a linear makes of rows.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/quant/forward.hpp"

#include <cstddef>
#include <vector>

inline quell::matrix<float> outputs_of(const quell::quant::linear& layer, const quell::matrix<float>& x) {
    quell::matrix<float> y(x.rows(), quell::quant::out_features(layer));
    std::vector<std::byte> workspace(quell::quant::workspace_bytes(layer, x.rows()));
    quell::quant::forward(layer, x.view(), y.view(), workspace);
    return y;
}
