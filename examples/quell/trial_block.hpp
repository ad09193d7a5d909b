// SPDX-License-Identifier: MIT
/// @file
/// A block of the float model with other weights for some of its linears.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/model/engine.hpp"
#include "quell/quant/forward.hpp"
#include "quell/quant/linear_arrays.hpp"
#include "transformer/adapter.hpp"
#include "transformer/graph.hpp"
#include "transformer/model.hpp"

#include <cstddef>
#include <optional>
#include <span>

namespace program {

/// Nothing where there are no such weights. Must not outlive the model and what stands for other linears.
[[nodiscard]] inline std::optional<transformer::block> trial_block(const transformer::model& network, std::size_t layer,
                                                                   std::span<const quell::model::trial_weight> instead,
                                                                   const quell::executor& threads) {
    if (instead.empty()) {
        return std::nullopt;
    }
    const quell::graph g = transformer::make_graph(network.shape);
    const transformer::block& own = network.blocks[layer];
    const auto as_it_is = [](const quell::quant::linear& l) -> quell::quant::linear {
        return *quell::quant::map_linear(quell::quant::arrays_of(l));
    };
    const auto linear = [&](const quell::quant::linear& l) -> quell::quant::linear {
        for (const quell::model::trial_weight& t : instead) {
            if (transformer::detail::linear_of(network, g.sites[t.site]) == &l) {
                if (t.quantized != nullptr) {
                    return as_it_is(*t.quantized);
                }
                return quell::quant::float_linear(t.w, quell::quant::bias(l), threads);
            }
        }
        return as_it_is(l);
    };
    return transformer::block{.attn_norm = quell::buffer<float>::copy_of(own.attn_norm),
                              .q = linear(own.q),
                              .k = linear(own.k),
                              .v = linear(own.v),
                              .o = linear(own.o),
                              .ffn_norm = quell::buffer<float>::copy_of(own.ffn_norm),
                              .gate = own.gate ? std::optional<quell::quant::linear>(linear(*own.gate)) : std::nullopt,
                              .up = linear(own.up),
                              .down = linear(own.down)};
}

}  // namespace program
