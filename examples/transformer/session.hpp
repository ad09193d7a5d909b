// SPDX-License-Identifier: MIT
/// @file
/// `session`: one text running through a model. It holds the keys and values of the tokens so far; `prefill` appends
/// tokens, many at once or one at a time, and `logits` turns hidden states into scores for the next token.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/quant/forward.hpp"
#include "transformer/attention.hpp"
#include "transformer/feed_forward.hpp"
#include "transformer/kv_cache.hpp"
#include "transformer/model.hpp"
#include "transformer/norm.hpp"
#include "transformer/rope.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

namespace transformer {

/// Sees the activations that enter the linears; `input` is an index into make_graph(config).inputs.
using observer = std::function<void(std::size_t input, quell::matrix_view<const float> x)>;

/// Scores of every token of the vocabulary: out [rows, vocab] from hidden states [rows, width].
inline void head_logits(const model& network, quell::matrix_view<const float> hidden, quell::matrix_view<float> out,
                        const quell::executor& threads) {
    quell::buffer<std::byte> workspace(quell::quant::workspace_bytes(*network.head, hidden.rows()));
    quell::quant::forward(*network.head, hidden, out, workspace, threads);
}

class session {
public:
    /// Room for `capacity` tokens behind the model's own prefix, or behind another one. The model must outlive the
    /// session.
    session(const model& network, const quell::executor& threads, std::size_t capacity)
        : session(network, threads, capacity, network.prefix) {}
    session(const model& network, const quell::executor& threads, std::size_t capacity, const prefix_ptr& prefix)
        : network_(network),
          threads_(threads),
          prefix_tokens_(prefix ? prefix->tokens() : 0),
          cache_(network.shape, prefix_tokens_ + capacity, prefix_tokens_),
          rope_(network.shape, network.rope_factors, prefix_tokens_ + capacity),
          mixing_(network.shape.kv_bits == 32 ? 0 : network.shape.head_size),
          attention_(network.shape, cache_, threads.concurrency()) {
        if (prefix) {
            pin(*prefix);
        }
    }

    /// Appends tokens. The same ids give the same bits however they are divided into calls, as long as no linear has a
    /// scale for a whole batch. Allocates only when a call has more tokens than every call before it.
    /// Errors   errc::bad_value: an id outside the vocabulary, no room left, or activations that are not finite.
    quell::result<void> prefill(std::span<const std::int32_t> ids) {
        QUELL_TRY_VOID(check(ids));
        reserve(ids.size());
        last_rows_ = ids.size();
        for (std::size_t first = 0; first < ids.size(); first += rows_at_once) {
            const std::size_t rows = std::min(rows_at_once, ids.size() - first);
            run_chunk(ids.subspan(first, rows), hidden_.view().block(first, 0, rows, hidden_.cols()));
            position_ += rows;
        }
        return check_finite();
    }

    /// The states [tokens of the last call, width] behind the final norm.
    [[nodiscard]] quell::matrix_view<const float> hidden() const {
        return hidden_.view().block(0, 0, last_rows_, hidden_.cols());
    }

    /// head_logits with the session's threads, and without allocating where it can.
    void logits(quell::matrix_view<const float> hidden_rows, quell::matrix_view<float> out) {
        grow(workspace_, quell::quant::workspace_bytes(*network_.head, hidden_rows.rows()));
        quell::quant::forward(*network_.head, hidden_rows, out, workspace_, threads_);
    }

    /// Tokens of the text so far, and room for tokens of a text; the prefix does not count.
    [[nodiscard]] std::size_t position() const { return position_; }
    [[nodiscard]] std::size_t capacity() const { return cache_.capacity() - prefix_tokens_; }
    [[nodiscard]] std::size_t vocab() const { return network_.shape.vocab; }
    void reset() { position_ = last_rows_ = 0; }

    /// Part of the network, for trials: the blocks first ... last - 1, with `instead` in the place of the first one.
    /// The residual stream in front of them becomes the one behind them, and `out` receives it behind the next norm.
    /// Nothing is appended to the session.
    ///
    /// Shapes   both [at most 512 tokens, width].
    void run_blocks(std::size_t first, std::size_t last, quell::matrix_view<float> stream,
                    quell::matrix_view<float> out, const block* instead = nullptr) {
        begin_trial(stream.rows(), first, instead);
        pass(first, last, stream, out);
        trial_ = nullptr;
    }

    enum class half : std::uint8_t { attention, feed_forward };

    /// Half of a block, for trials, or of the one that stands `instead` in its place: the residual stream takes what
    /// it adds.
    void run_half(std::size_t layer, half which, quell::matrix_view<float> stream, const block* instead = nullptr) {
        const quell::matrix_view<float> delta = begin_trial(stream.rows(), layer, instead);
        compute(layer, which, stream, delta);
        for_row_ranges(threads_, stream.rows(), [&](std::size_t first, std::size_t last) {
            for (std::size_t r = first; r < last; ++r) {
                std::transform(stream.row(r).begin(), stream.row(r).end(), delta.row(r).begin(), stream.row(r).begin(),
                               std::plus<>());
            }
        });
        trial_ = nullptr;
    }

    /// The same as far as one of the inputs of make_graph(config), which its observer sees.
    void run_to(std::size_t input, quell::matrix_view<const float> stream, const block* instead = nullptr) {
        const std::size_t layer = input / inputs_per_block;
        stop_ = input;
        compute(layer, half_of(input), stream, begin_trial(stream.rows(), layer, instead));
        stop_.reset();
        trial_ = nullptr;
    }

    [[nodiscard]] static half half_of(std::size_t input) {
        return input % inputs_per_block < inputs_per_block / 2 ? half::attention : half::feed_forward;
    }
    [[nodiscard]] static bool is_last_of_half(std::size_t input) {
        return input % (inputs_per_block / 2) == inputs_per_block / 2 - 1;
    }

    /// The rows of the embedding, where the residual stream starts.
    void embed(std::span<const std::int32_t> ids, quell::matrix_view<float> stream) const {
        for_row_ranges(threads_, ids.size(), [&](std::size_t first, std::size_t last) {
            for (std::size_t t = first; t < last; ++t) {
                const auto row = static_cast<std::size_t>(ids[t]);
                std::visit([&](const auto& table) { table.copy_row(row, stream.row(t)); }, *network_.embedding);
            }
        });
    }

    void observe(observer o) { observer_ = std::move(o); }

    /// Changes what enters the linears, behind the observer.
    void rewrite(std::function<void(std::size_t input, quell::matrix_view<float> x)> change) {
        rewriter_ = std::move(change);
    }

    /// Keys and values of the text so far, as the prefix of other texts. `ids`: its tokens.
    /// Requires a session without a prefix, whose cache is in floats.
    [[nodiscard]] prefix_cache to_prefix(std::span<const std::int32_t> ids) const {
        QUELL_EXPECTS(prefix_tokens_ == 0 && ids.size() == position_, "the tokens of the whole text");
        const config& c = network_.shape;
        prefix_cache made{.ids = {ids.begin(), ids.end()},
                          .keys = {c.layers * position_, c.kv_width()},
                          .values = {c.layers * position_, c.kv_width()}};
        for_each_pinned_head(position_, [&](std::size_t row, std::size_t layer, std::size_t head, std::size_t token) {
            cache_.copy(layer, head, token, made.keys.row(row).subspan(head * c.head_size, c.head_size),
                        made.values.row(row).subspan(head * c.head_size, c.head_size));
        });
        return made;
    }

private:
    static constexpr std::size_t rows_at_once = 512;  ///< bounds the memory for activations, changes no bit
    static constexpr std::size_t inputs_per_block = 4;

    /// The activations between the linears; each is [rows, its width].
    struct activations {
        quell::matrix<float> stream, normed, delta, q, k, v, attended, gate, up;
    };

    /// f(row of a prefix_cache, layer, head, token)
    template <typename F>
    void for_each_pinned_head(std::size_t tokens, F f) const {
        for (std::size_t row = 0; row < network_.shape.layers * tokens; ++row) {
            for (std::size_t head = 0; head < network_.shape.kv_heads; ++head) {
                f(row, row / tokens, head, row % tokens);
            }
        }
    }

    void pin(const prefix_cache& prefix) {
        const config& c = network_.shape;
        QUELL_EXPECTS(prefix.keys.rows() == c.layers * prefix.tokens() && prefix.keys.cols() == c.kv_width(),
                      "a prefix of this model");
        quell::matrix<float> keys = quell::matrix<float>::copy_of(prefix.keys.view());
        if (!mixing_.empty()) {
            mix_heads(mixing_, keys.view(), threads_);
        }
        for_each_pinned_head(prefix.tokens(), [&](std::size_t row, std::size_t layer, std::size_t head, std::size_t t) {
            cache_.pin(layer, head, t, keys.row(row).subspan(head * c.head_size, c.head_size),
                       prefix.values.row(row).subspan(head * c.head_size, c.head_size));
        });
    }

    [[nodiscard]] quell::result<void> check(std::span<const std::int32_t> ids) const {
        const std::size_t vocab = network_.shape.vocab;
        if (ids.empty()) {
            return quell::error{quell::errc::bad_value, "no tokens to run"};
        }
        if (ids.size() > capacity() - position_) {
            return quell::error{quell::errc::bad_value, std::to_string(position_) + " + " + std::to_string(ids.size()) +
                                                            " tokens do not fit a session of " +
                                                            std::to_string(capacity())};
        }
        for (std::size_t i = 0; i < ids.size(); ++i) {
            if (ids[i] < 0 || static_cast<std::size_t>(ids[i]) >= vocab) {
                return quell::error{quell::errc::bad_value, "token " + std::to_string(i) + " has the id " +
                                                                std::to_string(ids[i]) + ", outside a vocabulary of " +
                                                                std::to_string(vocab)};
            }
        }
        return {};
    }

    [[nodiscard]] quell::result<void> check_finite() const {
        for (std::size_t t = 0; t < last_rows_; ++t) {
            if (!std::isfinite(sum_of_squares(hidden_.row(t)))) {
                return quell::error{
                    quell::errc::bad_value,
                    "the activations of token " + std::to_string(position_ - last_rows_ + t) + " are not finite"};
            }
        }
        return {};
    }

    template <typename T>
    static void grow(quell::buffer<T>& b, std::size_t size) {
        if (b.size() < size) {
            b = quell::buffer<T>(size);
        }
    }

    void reserve(std::size_t tokens) {
        const config& c = network_.shape;
        if (tokens > hidden_.rows()) {
            hidden_ = {tokens, c.width};
        }
        const std::size_t rows = std::min(tokens, rows_at_once);
        if (rows <= act_.stream.rows()) {
            return;
        }
        act_ = {};
        act_ = {.stream = {rows, c.width},
                .normed = {rows, c.width},
                .delta = {rows, c.width},
                .q = {rows, c.query_width()},
                .k = {rows, c.kv_width()},
                .v = {rows, c.kv_width()},
                .attended = {rows, c.query_width()},
                .gate = {c.act == activation::swiglu ? rows : 0, c.ff_width},
                .up = {rows, c.ff_width}};
        for (const block& b : network_.blocks) {
            make_room_for(b, rows);
        }
    }

    void make_room_for(const block& b, std::size_t rows) {
        for_each_linear(
            b, [&](const quell::quant::linear& l) { grow(workspace_, quell::quant::workspace_bytes(l, rows)); });
    }

    /// Runs tokens at position_ ... through all blocks; `out` receives their states behind the final norm.
    void run_chunk(std::span<const std::int32_t> ids, quell::matrix_view<float> out) {
        const quell::matrix_view<float> stream = first_rows(act_.stream, ids.size());
        embed(ids, stream);
        pass(0, network_.blocks.size(), stream, out);
    }

    /// The blocks first ... end - 1; `out` receives their states behind the norm in front of the next block.
    void pass(std::size_t first, std::size_t end, quell::matrix_view<float> stream, quell::matrix_view<float> out) {
        const float eps = network_.shape.norm_eps;
        const quell::matrix_view<float> normed = first_rows(act_.normed, stream.rows());
        const quell::matrix_view<float> delta = first_rows(act_.delta, stream.rows());
        rms_norm(stream, block_at(first).attn_norm, eps, normed, threads_);
        for (std::size_t l = first; l < end; ++l) {
            attend(l, normed, delta);
            add_rms_norm(stream, delta, block_at(l).ffn_norm, eps, normed, threads_);
            feed_forward(l, normed, delta);
            const bool last = l + 1 == network_.blocks.size();
            add_rms_norm(stream, delta, last ? network_.final_norm : network_.blocks[l + 1].attn_norm, eps,
                         l + 1 == end ? out : normed, threads_);
        }
    }

    /// Room for what a half adds to the stream.
    quell::matrix_view<float> begin_trial(std::size_t rows, std::size_t layer, const block* instead) {
        QUELL_EXPECTS(rows <= std::min(rows_at_once, capacity() - position_), "rows that fit");
        reserve(rows);
        if (instead != nullptr) {
            make_room_for(*instead, rows);
        }
        trial_ = instead;
        trial_layer_ = layer;
        return first_rows(act_.delta, rows);
    }

    void compute(std::size_t layer, half which, quell::matrix_view<const float> stream,
                 quell::matrix_view<float> delta) {
        const quell::matrix_view<float> normed = first_rows(act_.normed, stream.rows());
        const bool attends = which == half::attention;
        const block& b = block_at(layer);
        rms_norm(stream, attends ? b.attn_norm : b.ffn_norm, network_.shape.norm_eps, normed, threads_);
        attends ? attend(layer, normed, delta) : feed_forward(layer, normed, delta);
    }

    [[nodiscard]] const block& block_at(std::size_t layer) const {
        return trial_ != nullptr && layer == trial_layer_ ? *trial_ : network_.blocks[layer];
    }

    /// delta = o(attention(q, k, v)) of normed x.
    void attend(std::size_t layer, quell::matrix_view<float> x, quell::matrix_view<float> delta) {
        const block& b = block_at(layer);
        const quell::matrix_view<float> q = first_rows(act_.q, x.rows());
        const quell::matrix_view<float> k = first_rows(act_.k, x.rows());
        const quell::matrix_view<float> v = first_rows(act_.v, x.rows());
        const quell::matrix_view<float> attended = first_rows(act_.attended, x.rows());
        if (!enter(inputs_per_block * layer, x)) {
            return;
        }
        const quell::quant::linear_call calls[] = {{&b.q, q}, {&b.k, k}, {&b.v, v}};
        quell::quant::forward_shared(calls, x, workspace_, threads_);
        const std::size_t position = prefix_tokens_ + position_;
        rotate_and_store(network_.shape, rope_, layer, position, q, k, v, mixing_, cache_, threads_);
        attention_.run(cache_, layer, position, q, attended, threads_);
        if (enter(inputs_per_block * layer + 1, attended)) {
            quell::quant::forward(b.o, attended, delta, workspace_, threads_);
        }
    }

    /// delta = down(activation(gate, up)) of normed x.
    void feed_forward(std::size_t layer, quell::matrix_view<float> x, quell::matrix_view<float> delta) {
        const block& b = block_at(layer);
        const quell::matrix_view<float> up = first_rows(act_.up, x.rows());
        if (!enter(inputs_per_block * layer + 2, x)) {
            return;
        }
        if (b.gate) {
            const quell::matrix_view<float> gate = first_rows(act_.gate, x.rows());
            const quell::quant::linear_call calls[] = {{&*b.gate, gate}, {&b.up, up}};
            quell::quant::forward_shared(calls, x, workspace_, threads_);
            gate_with_silu(gate, up, threads_);
        } else {
            quell::quant::forward(b.up, x, up, workspace_, threads_);
            apply_gelu(up, network_.shape.gelu, threads_);
        }
        if (enter(inputs_per_block * layer + 3, up)) {
            quell::quant::forward(b.down, up, delta, workspace_, threads_);
        }
    }

    /// In front of the linears that read this input; whether the run goes on behind it.
    [[nodiscard]] bool enter(std::size_t input, quell::matrix_view<float> x) const {
        if (observer_) {
            observer_(input, x);
        }
        if (rewriter_ && stop_ != input) {
            rewriter_(input, x);
        }
        return stop_ != input;
    }

    static quell::matrix_view<float> first_rows(quell::matrix<float>& m, std::size_t rows) {
        return m.view().block(0, 0, rows, m.cols());
    }

    const model& network_;
    quell::executor threads_;
    std::size_t prefix_tokens_;
    kv_cache cache_;
    rope_table rope_;
    quell::transforms::hadamard mixing_;  ///< of heads, where the cache holds codes; or empty
    attention attention_;
    activations act_;
    quell::matrix<float> hidden_;
    quell::buffer<std::byte> workspace_;
    observer observer_;
    std::function<void(std::size_t, quell::matrix_view<float>)> rewriter_;
    std::optional<std::size_t> stop_;  ///< the input at which a run ends
    const block* trial_ = nullptr;     ///< in the place of the block of trial_layer_
    std::size_t trial_layer_ = 0;
    std::size_t position_ = 0;
    std::size_t last_rows_ = 0;
};

/// The prefix of these tokens, none for no tokens. The model's own prefix does not stand before it.
///
/// Requires keys and values that are not kept in codes.
/// Errors   errc::bad_value: an id outside the vocabulary.
inline quell::result<prefix_ptr> make_prefix(const model& network, std::span<const std::int32_t> ids,
                                             const quell::executor& threads = {}) {
    if (ids.empty()) {
        return prefix_ptr();
    }
    session run(network, threads, ids.size(), {});
    if (const auto ran = run.prefill(ids); !ran) {
        return ran.error().in("prefix");
    }
    return std::make_shared<const prefix_cache>(run.to_prefix(ids));
}

}  // namespace transformer
