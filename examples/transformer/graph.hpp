// SPDX-License-Identifier: MIT
/// @file
/// What quell is told about the network: for each block its four inputs (of q, k, v; of o; of gate and up; of down) and
/// its linears, and where a scale in front of each input can be folded. Names are those of GGUF files.
#pragma once

#include "quell/core/graph.hpp"
#include "transformer/config.hpp"

#include <cstddef>
#include <string>
#include <utility>

namespace transformer {

/// Inputs of one block, in the order of the graph.
enum block_input : std::size_t { attn_in, o_in, ffn_in, down_in, inputs_per_block };

[[nodiscard]] inline std::string block_name(std::size_t layer) {
    return "blk." + std::to_string(layer) + ".";
}

namespace detail {

inline void add_inputs(quell::graph& g, const config& c, std::size_t layer) {
    using enum quell::producer_kind;
    const std::string name = block_name(layer);
    g.inputs.push_back({.name = name + "attn_in",
                        .features = c.width,
                        .kind = norm_gain,
                        .producer = name + "attn_norm",
                        .reads_residual = true});
    g.inputs.push_back({.name = name + "o_in",
                        .features = c.query_width(),
                        .kind = linear,
                        .producer = name + "attn_v",
                        .head_repeat = c.heads_per_kv_head(),
                        .head_size = c.head_size});
    g.inputs.push_back({.name = name + "ffn_in",
                        .features = c.width,
                        .kind = norm_gain,
                        .producer = name + "ffn_norm",
                        .reads_residual = true});
    const bool gated = c.act == activation::swiglu;
    g.inputs.push_back({.name = name + "down_in",
                        .features = c.ff_width,
                        .kind = gated ? product : none,
                        .producer = gated ? name + "ffn_up" : ""});
}

inline void add_site(quell::graph& g, std::size_t layer, const std::string& module, const std::string& name,
                     std::size_t out, block_input input) {
    const std::size_t index = layer * inputs_per_block + input;
    g.sites.push_back({.name = block_name(layer) + name,
                       .module = module,
                       .layer = layer,
                       .out_features = out,
                       .in_features = g.inputs[index].features,
                       .storage = block_name(layer) + name,
                       .input = index,
                       .writes_residual = input == o_in || input == down_in});
}

}  // namespace detail

/// Sites in the order of for_each_linear, block by block. The embedding and the head are not among them.
[[nodiscard]] inline quell::graph make_graph(const config& c) {
    quell::graph g;
    g.stream = {.embedding = "token_embd",
                .head = c.tied_head ? "token_embd" : "output",
                .final_norm = "output_norm",
                .width = c.width};
    for (std::size_t l = 0; l < c.layers; ++l) {
        detail::add_inputs(g, c, l);
        detail::add_site(g, l, "q", "attn_q", c.query_width(), attn_in);
        detail::add_site(g, l, "k", "attn_k", c.kv_width(), attn_in);
        detail::add_site(g, l, "v", "attn_v", c.kv_width(), attn_in);
        detail::add_site(g, l, "o", "attn_output", c.width, o_in);
        if (c.act == activation::swiglu) {
            detail::add_site(g, l, "gate", "ffn_gate", c.ff_width, ffn_in);
        }
        detail::add_site(g, l, "up", "ffn_up", c.ff_width, ffn_in);
        detail::add_site(g, l, "down", "ffn_down", c.width, down_in);
    }
    return g;
}

}  // namespace transformer
