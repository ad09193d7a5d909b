// SPDX-License-Identifier: MIT
/// @file
/// A block of a float model with its weights laid open for changes, and the way back.
#pragma once

#include "quell/core/result.hpp"
#include "transformer/model.hpp"

#include <optional>
#include <span>
#include <utility>
#include <variant>

namespace toy {

struct editable_linear {
    quell::matrix<float> weight;
    quell::buffer<float> bias;
};

struct editable_block {
    quell::buffer<float> attn_norm, ffn_norm;
    editable_linear q, k, v, o;
    std::optional<editable_linear> gate;
    editable_linear up, down;
};

namespace detail {

inline editable_linear open(const quell::quant::float_linear& l) {
    return {.weight = l.weight(), .bias = quell::buffer<float>::copy_of(l.bias())};
}

inline editable_linear open(const quell::quant::linear& l) {
    return open(*std::get_if<quell::quant::float_linear>(&l));
}

inline quell::quant::linear close(const editable_linear& l, const quell::executor& threads) {
    return quell::quant::float_linear(l.weight.view(), l.bias, threads);
}

}  // namespace detail

/// Whether every linear of the block is in float: only then can it be opened.
[[nodiscard]] inline bool is_float(const transformer::block& b) {
    bool all = true;
    transformer::for_each_linear(
        b, [&](const quell::quant::linear& l) { all = all && std::holds_alternative<quell::quant::float_linear>(l); });
    return all;
}

/// The model without its blocks; embedding and head are shared with it.
[[nodiscard]] inline transformer::model frame_of(const transformer::model& m) {
    return {.shape = m.shape,
            .embedding = m.embedding,
            .head = m.head,
            .blocks = {},
            .final_norm = quell::buffer<float>::copy_of(m.final_norm),
            .rope_factors = quell::buffer<float>::copy_of(m.rope_factors)};
}

[[nodiscard]] inline editable_block open_block(const transformer::block& b) {
    QUELL_EXPECTS(is_float(b), "a block in float");
    return {.attn_norm = quell::buffer<float>::copy_of(b.attn_norm),
            .ffn_norm = quell::buffer<float>::copy_of(b.ffn_norm),
            .q = detail::open(b.q),
            .k = detail::open(b.k),
            .v = detail::open(b.v),
            .o = detail::open(b.o),
            .gate = b.gate ? std::optional(detail::open(*b.gate)) : std::nullopt,
            .up = detail::open(b.up),
            .down = detail::open(b.down)};
}

[[nodiscard]] inline transformer::block close_block(editable_block&& b, const quell::executor& threads) {
    return {.attn_norm = std::move(b.attn_norm),
            .q = detail::close(b.q, threads),
            .k = detail::close(b.k, threads),
            .v = detail::close(b.v, threads),
            .o = detail::close(b.o, threads),
            .ffn_norm = std::move(b.ffn_norm),
            .gate = b.gate ? std::optional(detail::close(*b.gate, threads)) : std::nullopt,
            .up = detail::close(b.up, threads),
            .down = detail::close(b.down, threads)};
}

}  // namespace toy
