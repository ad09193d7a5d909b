// SPDX-License-Identifier: MIT
/// @file
/// Causal attention with grouped queries, forward and backward, one task per sequence and key-value head. The scores
/// are computed in blocks of query rows that stop at the diagonal, so the upper triangle costs nearly nothing.
#pragma once

#include "toy/elementary.hpp"
#include "toy/product.hpp"

#include <algorithm>
#include <cmath>

namespace toy {

/// The tokens of a batch: sequence s holds rows s * length ... (s + 1) * length - 1.
struct batch_shape {
    std::size_t sequences = 0;
    std::size_t length = 0;

    [[nodiscard]] std::size_t tokens() const { return sequences * length; }
};

template <typename T>
class attention {
public:
    attention(std::size_t heads, std::size_t kv_heads, std::size_t head_size)
        : heads_(heads),
          kv_heads_(kv_heads),
          head_size_(head_size),
          scale_(T{1} / std::sqrt(static_cast<T>(head_size))) {}

    /// q and out [tokens, heads * head_size]; k and v [tokens, kv_heads * head_size]. The views of q, k and v are kept
    /// for the backward pass.
    void forward(quell::matrix_view<const T> q, quell::matrix_view<const T> k, quell::matrix_view<const T> v,
                 quell::matrix_view<T> out, batch_shape batch, const quell::executor& threads) {
        q_ = q;
        k_ = k;
        v_ = v;
        batch_ = batch;
        if (weights_.rows() != batch.sequences * heads_ * batch.length || weights_.cols() != batch.length) {
            weights_ = quell::matrix<T>(batch.sequences * heads_ * batch.length, batch.length);
        }
        threads.parallel_for(batch.sequences * kv_heads_,
                             [&](std::size_t i) { forward_group(i / kv_heads_, i % kv_heads_, out); });
    }

    /// Adds to dq, dk and dv.
    void backward(quell::matrix_view<const T> dout, quell::matrix_view<T> dq, quell::matrix_view<T> dk,
                  quell::matrix_view<T> dv, const quell::executor& threads) {
        threads.parallel_for(batch_.sequences * kv_heads_,
                             [&](std::size_t i) { backward_group(i / kv_heads_, i % kv_heads_, dout, dq, dk, dv); });
    }

private:
    static constexpr std::size_t block = 64;

    template <typename V>
    [[nodiscard]] quell::matrix_view<V> head_of(quell::matrix_view<V> x, std::size_t sequence, std::size_t head) const {
        return x.block(sequence * batch_.length, head * head_size_, batch_.length, head_size_);
    }
    [[nodiscard]] quell::matrix_view<T> weights_of(std::size_t sequence, std::size_t head) {
        return weights_.view().block((sequence * heads_ + head) * batch_.length, 0, batch_.length, batch_.length);
    }

    void forward_group(std::size_t sequence, std::size_t kv_head, quell::matrix_view<T> out) {
        packed<T> keys;
        packed<T> values;
        keys.pack_transposed(head_of(k_, sequence, kv_head));
        values.pack(head_of(v_, sequence, kv_head));
        const std::size_t group = heads_ / kv_heads_;
        for (std::size_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
            const quell::matrix_view<T> weights = weights_of(sequence, head);
            lower_rows(head_of(q_, sequence, head), keys, weights);
            for (std::size_t t = 0; t < batch_.length; ++t) {
                softmax(weights.row(t), t);
            }
            times_lower(weights, values, head_of(out, sequence, head), into::overwrite);
        }
    }

    /// With P the weights and S the scores: dP = dO V^T, dS = P * (dP - rowsum(P * dP)) * scale, dQ = dS K,
    /// dK = dS^T Q, dV = P^T dO.
    void backward_group(std::size_t sequence, std::size_t kv_head, quell::matrix_view<const T> dout,
                        quell::matrix_view<T> dq, quell::matrix_view<T> dk, quell::matrix_view<T> dv) {
        packed<T> keys;
        packed<T> values;
        packed<T> operand;
        keys.pack(head_of(k_, sequence, kv_head));
        values.pack_transposed(head_of(v_, sequence, kv_head));
        quell::matrix<T> scores(batch_.length, batch_.length);
        quell::matrix<T> mirrored(batch_.length, batch_.length);
        const std::size_t group = heads_ / kv_heads_;
        for (std::size_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
            const quell::matrix_view<T> weights = weights_of(sequence, head);
            const quell::matrix_view<const T> dhead = head_of(dout, sequence, head);
            mirror_lower(weights, mirrored.view());
            operand.pack(dhead);
            times_upper(mirrored.view(), operand, head_of(dv, sequence, kv_head));
            lower_rows(dhead, values, scores.view());
            for (std::size_t t = 0; t < batch_.length; ++t) {
                softmax_backward(weights.row(t), scores.row(t), t);
            }
            times_lower(scores.view(), keys, head_of(dq, sequence, head), into::add);
            mirror_lower(scores.view(), mirrored.view());
            operand.pack(head_of(q_, sequence, head));
            times_upper(mirrored.view(), operand, head_of(dk, sequence, kv_head));
        }
    }

    /// The lower triangle (in blocks) of x B, with B [head_size, length].
    void lower_rows(quell::matrix_view<const T> x, const packed<T>& b, quell::matrix_view<T> y) const {
        for (std::size_t t = 0; t < batch_.length; t += block) {
            const std::size_t rows = std::min(block, batch_.length - t);
            multiply_part(
                product_part<T>{.x = x.block(t, 0, rows, x.cols()), .b = &b, .y = y.block(t, 0, rows, t + rows)});
        }
    }

    /// y = or += L B, L lower triangular and B [length, head_size].
    void times_lower(quell::matrix_view<const T> lower, const packed<T>& b, quell::matrix_view<T> y, into mode) const {
        for (std::size_t t = 0; t < batch_.length; t += block) {
            const std::size_t rows = std::min(block, batch_.length - t);
            multiply_part(product_part<T>{
                .x = lower.block(t, 0, rows, t + rows), .b = &b, .y = y.block(t, 0, rows, y.cols()), .mode = mode});
        }
    }

    /// y += U B, U upper triangular.
    void times_upper(quell::matrix_view<const T> upper, const packed<T>& b, quell::matrix_view<T> y) const {
        for (std::size_t t = 0; t < batch_.length; t += block) {
            const std::size_t rows = std::min(block, batch_.length - t);
            multiply_part(product_part<T>{.x = upper.block(t, t, rows, batch_.length - t),
                                          .b = &b,
                                          .k_begin = t,
                                          .y = y.block(t, 0, rows, y.cols()),
                                          .mode = into::add});
        }
    }

    /// upper = lower^T, in blocks; the rest of `upper` is never read.
    void mirror_lower(quell::matrix_view<const T> lower, quell::matrix_view<T> upper) const {
        for (std::size_t t = 0; t < batch_.length; t += block) {
            const std::size_t rows = std::min(block, batch_.length - t);
            transpose(lower.block(t, 0, rows, t + rows), upper.block(0, t, t + rows, rows), quell::executor{});
        }
    }

    /// Softmax over the keys 0 ... t; later ones, as far as they were computed, become 0.
    void softmax(std::span<T> row, std::size_t t) const {
        T* scores = row.data();
        const T largest = *std::max_element(scores, scores + t + 1);
        for (std::size_t i = 0; i <= t; ++i) {
            scores[i] = exponential(scale_ * (scores[i] - largest));
        }
        const T inverse = T{1} / interleaved_sum<T>(t + 1, [&](std::size_t i) { return scores[i]; });
        for (std::size_t i = 0; i <= t; ++i) {
            scores[i] *= inverse;
        }
        std::fill(row.data() + t + 1, row.data() + block_end(t), T{0});
    }

    /// Turns a row of dP into one of dS.
    void softmax_backward(std::span<const T> weights, std::span<T> row, std::size_t t) const {
        const T* p = weights.data();
        T* d = row.data();
        const T sum = interleaved_sum<T>(t + 1, [&](std::size_t i) { return p[i] * d[i]; });
        for (std::size_t i = 0; i <= t; ++i) {
            d[i] = p[i] * (d[i] - sum) * scale_;
        }
        std::fill(row.data() + t + 1, row.data() + block_end(t), T{0});
    }

    [[nodiscard]] std::size_t block_end(std::size_t t) const {
        return std::min(batch_.length, (t / block + 1) * block);
    }

    std::size_t heads_;
    std::size_t kv_heads_;
    std::size_t head_size_;
    T scale_;
    batch_shape batch_;
    quell::matrix_view<const T> q_;
    quell::matrix_view<const T> k_;
    quell::matrix_view<const T> v_;
    quell::matrix<T> weights_;  ///< [sequences * heads * length, length]
};

}  // namespace toy
