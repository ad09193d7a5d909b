// SPDX-License-Identifier: MIT
/// @file
/// Takes the weights of a model off the grid of a file that was quantized before, without changing the function: every
/// channel between two layers is scaled by a random factor and its readers by the inverse. A weight from a 4-bit file
/// lies on 16 values a group, which would flatter every 4-bit rounding of it.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/rng.hpp"
#include "quell/transforms/folding.hpp"
#include "toy/editable_block.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>

namespace toy {

namespace detail {

/// 2^u, u uniform in -1/2 ... 1/2.
inline quell::buffer<float> random_factors(std::size_t n, quell::rng& random) {
    quell::buffer<float> factors(n);
    for (float& factor : factors) {
        factor = static_cast<float>(std::exp2(random.uniform(-0.5, 0.5)));
    }
    return factors;
}

inline void regrid_norm(quell::buffer<float>& gain, std::initializer_list<editable_linear*> readers,
                        quell::rng& random) {
    const quell::buffer<float> factors = random_factors(gain.size(), random);
    quell::transforms::divide(gain, factors);
    for (editable_linear* reader : readers) {
        if (reader != nullptr) {
            quell::transforms::scale_columns(reader->weight.view(), factors);
        }
    }
}

/// `heads` says which output of `from` each input of `to` repeats.
inline void regrid_pair(editable_linear& from, editable_linear& to, const quell::transforms::head_layout& heads,
                        quell::rng& random) {
    const quell::buffer<float> factors = random_factors(from.weight.rows(), random);
    quell::buffer<float> read(to.weight.cols());
    for (std::size_t j = 0; j < read.size(); ++j) {
        read[j] = factors[heads.producer_channel(j)];
    }
    quell::transforms::divide_rows(from.weight.view(), factors);
    if (!from.bias.empty()) {
        quell::transforms::divide(from.bias, factors);
    }
    quell::transforms::scale_columns(to.weight.view(), read);
}

}  // namespace detail

/// A copy of the model, off the grid; embedding and head are shared with it.
///
/// Errors   errc::unsupported when a linear is not in float.
[[nodiscard]] inline quell::result<transformer::model> regrid(const transformer::model& m, std::uint64_t seed,
                                                              const quell::executor& threads = {}) {
    if (!std::ranges::all_of(m.blocks, is_float)) {
        return quell::error{quell::errc::unsupported, "only a float model can be taken off its grid"};
    }
    quell::rng random(seed, 2);
    transformer::model moved = frame_of(m);
    for (const transformer::block& block : m.blocks) {
        editable_block b = open_block(block);
        detail::regrid_norm(b.attn_norm, {&b.q, &b.k, &b.v}, random);
        detail::regrid_norm(b.ffn_norm, {b.gate ? &*b.gate : nullptr, &b.up}, random);
        if (b.gate) {  // otherwise the activation function stands between the two
            detail::regrid_pair(b.up, b.down, {}, random);
        }
        detail::regrid_pair(b.v, b.o, {m.shape.heads_per_kv_head(), m.shape.head_size}, random);
        moved.blocks.push_back(close_block(std::move(b), threads));
    }
    return moved;
}

}  // namespace toy
