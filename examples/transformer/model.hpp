// SPDX-License-Identifier: MIT
/// @file
/// `model`: a LLaMA-family network, which is a configuration and its weights. Each linear is float or quantized;
/// nothing else here knows which.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/views.hpp"
#include "quell/io/safetensors.hpp"
#include "quell/quant/linear.hpp"
#include "transformer/config.hpp"
#include "transformer/prefix_cache.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

namespace transformer {

/// One block: x += o(attention(norm(x))), then x += down(activation(norm(x))).
struct block {
    quell::buffer<float> attn_norm;
    quell::quant::linear q, k, v, o;
    quell::buffer<float> ffn_norm;
    std::optional<quell::quant::linear> gate;  ///< only with activation::swiglu
    quell::quant::linear up, down;
};

struct model {
    config shape;
    std::shared_ptr<const quell::io::safetensors_file> mapped_from =
        {};  ///< where packed weights lie, of a packed file
    std::shared_ptr<const quell::quant::linear> embedding;
    std::shared_ptr<const quell::quant::linear> head;  ///< the same object where the two are tied
    std::vector<block> blocks;
    quell::buffer<float> final_norm;
    quell::buffer<float> rope_factors;  ///< divisors of the frequencies [head_size / 2], or empty
    prefix_ptr prefix = {};             ///< stands in front of every text
};

/// Calls f(linear) for every linear of a block, in the order in which they run.
template <typename Block, typename F>
void for_each_linear(Block& b, F f) {
    f(b.q);
    f(b.k);
    f(b.v);
    f(b.o);
    if (b.gate) {
        f(*b.gate);
    }
    f(b.up);
    f(b.down);
}

}  // namespace transformer
