// SPDX-License-Identifier: MIT
/// @file
/// Oracle of the gradient of a quantized linear: every product and every sum from its definition, in double. The
/// rounding of activations and weights passes gradients as if it were not there (straight through).
#pragma once

#include "quell/core/matrix.hpp"

#include <cstddef>
#include <vector>

namespace reference {

using table = std::vector<std::vector<double>>;

/// y = x_r C^T + v (s Q)^T with v the rounded activations, as the weight meets them, and v = x_rest A for the gradient.
struct linear_operands {
    table x;                     ///< [tokens, r]: the channels of the columns in float
    table rounded;               ///< [tokens, k]: the others, changed online and rounded
    table change;                ///< [k, k]: row c is what the unit vector of channel c becomes online
    table columns;               ///< [out, r]
    table codes;                 ///< [out, k]
    std::vector<double> scales;  ///< [out]
};

struct linear_gradient {
    table columns;               ///< dL/dC
    std::vector<double> scales;  ///< dL/ds = sum_c dW[o,c] Q[o,c] with dW = dy^T v
    table x;                     ///< dL/dx [tokens, r + k]
};

inline linear_gradient gradient_of(const linear_operands& l, const table& dy) {
    const std::size_t tokens = dy.size();
    const std::size_t out = l.scales.size();
    const std::size_t r = l.columns.empty() ? 0 : l.columns[0].size();
    const std::size_t k = l.change.size();
    linear_gradient g{table(out, std::vector<double>(r)), std::vector<double>(out),
                      table(tokens, std::vector<double>(r + k))};
    for (std::size_t o = 0; o < out; ++o) {
        for (std::size_t c = 0; c < r; ++c) {
            for (std::size_t t = 0; t < tokens; ++t) {
                g.columns[o][c] += dy[t][o] * l.x[t][c];
                g.x[t][c] += dy[t][o] * l.columns[o][c];
            }
        }
        for (std::size_t c = 0; c < k; ++c) {
            double weight_gradient = 0.0;
            for (std::size_t t = 0; t < tokens; ++t) {
                weight_gradient += dy[t][o] * l.rounded[t][c];
            }
            g.scales[o] += weight_gradient * l.codes[o][c];
        }
    }
    for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t v = 0; v < k; ++v) {
            double dv = 0.0;
            for (std::size_t o = 0; o < out; ++o) {
                dv += dy[t][o] * l.scales[o] * l.codes[o][v];
            }
            for (std::size_t c = 0; c < k; ++c) {
                g.x[t][r + c] += dv * l.change[c][v];
            }
        }
    }
    return g;
}

}  // namespace reference
