// SPDX-License-Identifier: MIT
/// @file
/// A `model` out of a checkpoint: which tensor plays which role under the names of GGUF and of Hugging Face.
#pragma once

#include "quell/core/result.hpp"
#include "transformer/checkpoint.hpp"
#include "transformer/config.hpp"
#include "transformer/model.hpp"
#include "transformer/rope.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace transformer {

/// Names without ".weight"; those of a block follow its prefix and number.
struct tensor_names {
    const char *embedding, *final_norm, *head, *block;
    const char *attn_norm, *q, *k, *v, *o;
    const char *ffn_norm, *gate, *up, *down;
};

inline constexpr tensor_names gguf_names = {.embedding = "token_embd",
                                            .final_norm = "output_norm",
                                            .head = "output",
                                            .block = "blk.",
                                            .attn_norm = "attn_norm",
                                            .q = "attn_q",
                                            .k = "attn_k",
                                            .v = "attn_v",
                                            .o = "attn_output",
                                            .ffn_norm = "ffn_norm",
                                            .gate = "ffn_gate",
                                            .up = "ffn_up",
                                            .down = "ffn_down"};

inline constexpr tensor_names hugging_face_names = {.embedding = "model.embed_tokens",
                                                    .final_norm = "model.norm",
                                                    .head = "lm_head",
                                                    .block = "model.layers.",
                                                    .attn_norm = "input_layernorm",
                                                    .q = "self_attn.q_proj",
                                                    .k = "self_attn.k_proj",
                                                    .v = "self_attn.v_proj",
                                                    .o = "self_attn.o_proj",
                                                    .ffn_norm = "post_attention_layernorm",
                                                    .gate = "mlp.gate_proj",
                                                    .up = "mlp.up_proj",
                                                    .down = "mlp.down_proj"};

namespace detail {

inline quell::result<void> require_biases(const checkpoint& from, const std::string& prefix, const tensor_names& names,
                                          const std::string& file) {
    for (const char* name : {names.q, names.k, names.v}) {
        if (!from.has(prefix + name + ".bias")) {
            return quell::io::failure(quell::errc::not_found, file, "tensor ",
                                      quell::io::quoted(prefix + name + ".bias"), " is missing");
        }
    }
    return {};
}

inline quell::result<block> build_block(const config& c, std::size_t layer, checkpoint& from, const tensor_names& names,
                                        const std::string& file) {
    const std::string prefix = names.block + std::to_string(layer) + ".";
    if (c.qkv_bias) {
        QUELL_TRY_VOID(require_biases(from, prefix, names, file));
    }
    QUELL_TRY(auto attn_norm, from.vector(prefix + names.attn_norm + ".weight", c.width));
    QUELL_TRY(auto q, from.linear(prefix + names.q, c.query_width(), c.width));
    QUELL_TRY(auto k, from.linear(prefix + names.k, c.kv_width(), c.width));
    QUELL_TRY(auto v, from.linear(prefix + names.v, c.kv_width(), c.width));
    QUELL_TRY(auto o, from.linear(prefix + names.o, c.width, c.query_width()));
    QUELL_TRY(auto ffn_norm, from.vector(prefix + names.ffn_norm + ".weight", c.width));
    std::optional<quell::quant::linear> gate;
    if (c.act == activation::swiglu) {
        QUELL_TRY(gate, from.linear(prefix + names.gate, c.ff_width, c.width));
    }
    QUELL_TRY(auto up, from.linear(prefix + names.up, c.ff_width, c.width));
    QUELL_TRY(auto down, from.linear(prefix + names.down, c.width, c.ff_width));
    from.ignore(prefix + "self_attn.rotary_emb.inv_freq");  // old files store what the configuration says anyway
    return block{.attn_norm = std::move(attn_norm),
                 .q = std::move(q),
                 .k = std::move(k),
                 .v = std::move(v),
                 .o = std::move(o),
                 .ffn_norm = std::move(ffn_norm),
                 .gate = std::move(gate),
                 .up = std::move(up),
                 .down = std::move(down)};
}

}  // namespace detail

/// Every tensor must have the shape that the configuration implies, and every tensor of the file must have a role.
/// Memory   one matrix in float at a time beside the packed ones; the embedding, the largest, comes first.
inline quell::result<model> build_model(const config& c, checkpoint& from, const tensor_names& names,
                                        const std::string& file) {
    model m;
    m.shape = c;
    QUELL_TRY(auto embedding, from.linear(names.embedding, c.vocab, c.width));
    m.embedding = std::make_shared<const quell::quant::linear>(std::move(embedding));
    m.head = m.embedding;
    if (c.tied_head) {
        from.ignore(std::string(names.head) + ".weight");
    } else {
        QUELL_TRY(auto head, from.linear(names.head, c.vocab, c.width));
        m.head = std::make_shared<const quell::quant::linear>(std::move(head));
    }
    from.release_scratch();
    m.rope_factors = rope_factors(c);
    if (from.has("rope_freqs.weight")) {
        QUELL_TRY(m.rope_factors, from.vector("rope_freqs.weight", c.head_size / 2));
        const auto bad = std::ranges::find_if(m.rope_factors, [](float f) { return !(f > 0.0F); });
        if (bad != m.rope_factors.end()) {
            return quell::io::failure(quell::errc::bad_value, file, "tensor \"rope_freqs.weight\" holds ",
                                      std::to_string(*bad), " at element ", bad - m.rope_factors.begin());
        }
    }
    m.blocks.reserve(c.layers);
    for (std::size_t l = 0; l < c.layers; ++l) {
        QUELL_TRY(auto b, detail::build_block(c, l, from, names, file));
        m.blocks.push_back(std::move(b));
    }
    QUELL_TRY(m.final_norm, from.vector(std::string(names.final_norm) + ".weight", c.width));
    QUELL_TRY_VOID(from.check_all_used());
    return m;
}

}  // namespace transformer
