// SPDX-License-Identifier: MIT
/// @file
/// The toy transformer that can be trained: forward, loss and backward over a batch of byte sequences.
#pragma once

#include "toy/block.hpp"
#include "toy/cross_entropy.hpp"
#include "toy/embedding.hpp"

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace toy {

/// `inputs` and `targets` hold batch.tokens() bytes; targets[t] follows inputs[t].
struct training_batch {
    batch_shape size;
    std::span<const std::uint8_t> inputs;
    std::span<const std::uint8_t> targets;
};

template <typename T, linear_module<T> Linear = linear<T>>
class network {
public:
    /// `make(name, out, in)` gives the linears.
    template <typename MakeLinear>
    network(const shape& s, quell::rng& random, MakeLinear make)
        : shape_(s),
          positions_(s.head_size(), s.context, s.rope_base),
          embedding_("model.embed_tokens.weight", s.vocab, s.width, embedding_deviation, random),
          norm_("model.norm.weight", s.width, s.norm_eps) {
        blocks_.reserve(s.layers);
        for (std::size_t layer = 0; layer < s.layers; ++layer) {
            blocks_.emplace_back(s, layer, make);
        }
    }

    [[nodiscard]] const shape& sizes() const { return shape_; }

    /// logits [tokens, vocab], valid until the next call.
    quell::matrix_view<T> forward(std::span<const std::uint8_t> ids, batch_shape batch,
                                  const quell::executor& threads) {
        QUELL_EXPECTS(batch.length <= shape_.context && ids.size() == batch.tokens(), "sizes of a batch");
        reserve(batch.tokens());
        embedding_.forward(ids, x_.view());
        for (auto& b : blocks_) {
            b.forward(x_.view(), positions_, batch, threads);
        }
        norm_.forward(x_.view(), hidden_.view(), threads);
        embedding_.head(hidden_.view(), logits_.view(), threads);
        return logits_.view();
    }

    /// Mean loss in nats a token; adds to the gradients of all parameters.
    double forward_backward(const training_batch& batch, const quell::executor& threads) {
        const quell::matrix_view<T> logits = forward(batch.inputs, batch.size, threads);
        const double loss = cross_entropy(logits, batch.targets, threads);
        quell::matrix<T> dx(batch.size.tokens(), shape_.width);
        embedding_.head_backward(logits, hidden_.view(), threads);
        norm_.backward(hidden_.view(), dx.view(), threads);
        block_gradients<T> scratch(shape_, batch.size.tokens());
        for (std::size_t b = blocks_.size(); b > 0; --b) {
            blocks_[b - 1].backward(dx.view(), positions_, batch.size, scratch, observer_, threads);
        }
        embedding_.backward(batch.inputs, dx.view(), threads);
        return loss;
    }

    void observe(gradient_observer<T> observer) { observer_ = std::move(observer); }

    template <typename F>
    void for_each_parameter(F f) {
        embedding_.for_each_parameter(f);
        for (auto& b : blocks_) {
            b.for_each_parameter(f);
        }
        norm_.for_each_parameter(f);
    }

private:
    static constexpr double embedding_deviation = 0.05;

    void reserve(std::size_t tokens) {
        if (x_.rows() != tokens) {
            x_ = quell::matrix<T>(tokens, shape_.width);
            hidden_ = quell::matrix<T>(tokens, shape_.width);
            logits_ = quell::matrix<T>(tokens, shape_.vocab);
        }
    }

    shape shape_;
    rope<T> positions_;
    tied_embedding<T> embedding_;
    std::vector<block<T, Linear>> blocks_;
    rms_norm<T> norm_;
    gradient_observer<T> observer_;
    quell::matrix<T> x_, hidden_, logits_;
};

/// A network of plain linears with random weights: normals of variance 1 / in, those that write the residual stream
/// smaller by the square root of how many do.
template <typename T>
[[nodiscard]] network<T> make_network(const shape& s, std::uint64_t seed) {
    quell::rng random(seed);
    const double writers = std::sqrt(2.0 * static_cast<double>(s.layers));
    return network<T>(s, random, [&](const std::string& name, std::size_t out, std::size_t in) {
        const bool writes = name.find("o_proj") != std::string::npos || name.find("down_proj") != std::string::npos;
        const double deviation = 1.0 / std::sqrt(static_cast<double>(in));
        return linear<T>(name, out, in, writes ? deviation / writers : deviation, random);
    });
}

}  // namespace toy
