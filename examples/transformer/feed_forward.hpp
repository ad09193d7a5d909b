// SPDX-License-Identifier: MIT
/// @file
/// What stands between the linears of a feed-forward block: silu(gate) * up, or gelu(up). Source: arXiv 2002.05202.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/views.hpp"
#include "transformer/config.hpp"
#include "transformer/elementwise.hpp"
#include "transformer/norm.hpp"

#include <cstddef>

namespace transformer {

/// up <- silu(gate) * up, both [tokens, ff_width].
inline void gate_with_silu(quell::matrix_view<const float> gate, quell::matrix_view<float> up,
                           const quell::executor& threads) {
    for_row_ranges(threads, up.rows(), [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) {
            const float* g = gate.row(r).data();
            float* u = up.row(r).data();
            for (std::size_t i = 0; i < up.cols(); ++i) {
                u[i] *= silu(g[i]);
            }
        }
    });
}

/// up <- gelu(up) [tokens, ff_width].
inline void apply_gelu(quell::matrix_view<float> up, gelu_form form, const quell::executor& threads) {
    for_row_ranges(threads, up.rows(), [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) {
            for (float& u : up.row(r)) {
                u = form == gelu_form::tanh ? gelu_tanh(u) : gelu_erf(u);
            }
        }
    });
}

}  // namespace transformer
