// SPDX-License-Identifier: MIT
/// @file
/// Causal grouped-query attention, softmax(q K^T / sqrt(head_size)) V, each query head with the keys and values of its
/// group. A task takes one head and a block of query rows and computes scores up to the last token of the block only,
/// so that most of the upper triangle costs nothing; of a single token it takes all heads of a group.
/// Source: arXiv 1706.03762; groups: arXiv 2305.13245.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/dispatch.hpp"
#include "quell/kernels/hadamard.hpp"
#include "quell/kernels/table.hpp"
#include "quell/transforms/hadamard.hpp"
#include "transformer/config.hpp"
#include "transformer/elementwise.hpp"
#include "transformer/kv_cache.hpp"
#include "transformer/norm.hpp"
#include "transformer/rope.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <span>

namespace transformer {

/// Mixes the channels of every head by a Hadamard matrix. Done to queries and keys alike it leaves all scores as they
/// are, and keys without outliers for codes. Source: QuaRot, arXiv 2404.00456, its rotation R3.
///
/// Shapes   heads [tokens, a multiple of rotation.size()], without gaps between rows.
inline void mix_heads(const quell::transforms::hadamard& rotation, quell::matrix_view<float> heads,
                      const quell::executor& threads) {
    const std::size_t per_row = heads.cols() / rotation.size();
    const quell::kernels::hadamard_args args{.x = heads.data(),
                                             .ldx = rotation.size(),
                                             .rows = heads.rows() * per_row,
                                             .shape = rotation.shape(),
                                             .signs = rotation.signs().data(),
                                             .y = heads.data(),
                                             .ldy = rotation.size()};
    for_row_ranges(threads, heads.rows(), [&](std::size_t first, std::size_t last) {
        quell::buffer<float> scratch(rotation.shape().scratch_floats());
        quell::kernels::hadamard_args own = args;
        own.scratch = scratch.data();
        quell::kernels::best().hadamard_rows(own, first * per_row, last * per_row);
    });
}

/// Rotates the queries [tokens, query_width] in place, rotates the keys [tokens, kv_width] in place and stores them
/// with the values [tokens, kv_width] in the cache, the first token at `position`. Where the cache holds codes, both
/// are mixed first.
inline void rotate_and_store(const config& c, const rope_table& rope, std::size_t layer, std::size_t position,
                             quell::matrix_view<float> q, quell::matrix_view<float> k,
                             quell::matrix_view<const float> v, const quell::transforms::hadamard& mixing,
                             kv_cache& cache, const quell::executor& threads) {
    const auto head_of = [&](auto rows, std::size_t t, std::size_t h) {
        return rows.row(t).subspan(h * c.head_size, c.head_size);
    };
    for_row_ranges(threads, q.rows(), [&](std::size_t first, std::size_t last) {
        for (std::size_t t = first; t < last; ++t) {
            for (std::size_t h = 0; h < c.heads; ++h) {
                rope.rotate(head_of(q, t, h), position + t);
            }
            for (std::size_t h = 0; h < c.kv_heads; ++h) {
                rope.rotate(head_of(k, t, h), position + t);
            }
        }
    });
    if (!mixing.empty()) {
        mix_heads(mixing, q, threads);
        mix_heads(mixing, k, threads);
    }
    for_row_ranges(threads, q.rows(), [&](std::size_t first, std::size_t last) {
        for (std::size_t t = first; t < last; ++t) {
            for (std::size_t h = 0; h < c.kv_heads; ++h) {
                cache.store(layer, h, position + t, head_of(k, t, h), head_of(v, t, h));
            }
        }
    });
}

class attention {
public:
    /// Scratch for each thread: the scores of one block, and a head of keys or values where the cache holds codes.
    attention(const config& c, const kv_cache& cache, std::size_t threads)
        : shape_(c),
          workers_(threads),
          score_stride_((cache.capacity() + kv_cache::panel_width - 1) / kv_cache::panel_width * kv_cache::panel_width),
          scores_(threads * rows_per_block * score_stride_),
          head_floats_(cache.scratch_floats()),
          heads_(threads * head_floats_) {}

    /// Shapes   q and out [tokens, query_width]; the cache holds position + tokens tokens of this layer.
    /// Cost     2 tokens (position + tokens / 2) query_width multiply-adds; the bits depend neither on the number of
    ///          threads nor on how a text is divided into calls.
    void run(const kv_cache& cache, std::size_t layer, std::size_t position, quell::matrix_view<const float> q,
             quell::matrix_view<float> out, const quell::executor& threads) {
        const bool by_group = q.rows() == 1 && shape_.heads_per_kv_head() <= rows_per_block;
        const std::size_t blocks = (q.rows() + rows_per_block - 1) / rows_per_block;
        const std::size_t per_block = by_group ? shape_.kv_heads : shape_.heads;
        const std::size_t tasks = blocks * per_block;
        const std::size_t workers = std::min(tasks, workers_);
        std::atomic<std::size_t> next = 0;
        threads.parallel_for(workers, [&](std::size_t worker) {
            const scratch own{scores_.data() + worker * rows_per_block * score_stride_,
                              heads_.data() + worker * head_floats_};
            for (std::size_t task = next++; task < tasks; task = next++) {
                const std::size_t head = task % per_block;
                const std::size_t first = (blocks - 1 - task / per_block) * rows_per_block;  // the largest first
                const query_rows rows = by_group ? heads_of_group(q, out, head) : rows_of_head(q, out, head, first);
                run_block(cache, layer, position + first, rows, own);
            }
        });
    }

private:
    static constexpr std::size_t rows_per_block = 48;

    struct scratch {
        float* scores;
        float* head;
    };

    /// Queries that meet the same keys and values: of one head, some tokens; of one token, the heads of a group, so
    /// that a step of decoding reads the cache once.
    struct query_rows {
        std::size_t kv_head;
        std::size_t count;
        std::size_t tokens;  ///< further tokens that a row sees, compared with the row before
        const float* q;
        std::size_t ldq;
        float* out;
        std::size_t ldo;
    };

    [[nodiscard]] query_rows rows_of_head(quell::matrix_view<const float> q, quell::matrix_view<float> out,
                                          std::size_t head, std::size_t first) const {
        const std::size_t at = head * shape_.head_size;
        return {.kv_head = head / shape_.heads_per_kv_head(),
                .count = std::min(rows_per_block, q.rows() - first),
                .tokens = 1,
                .q = q.row(first).data() + at,
                .ldq = q.stride(),
                .out = out.row(first).data() + at,
                .ldo = out.stride()};
    }

    [[nodiscard]] query_rows heads_of_group(quell::matrix_view<const float> q, quell::matrix_view<float> out,
                                            std::size_t kv_head) const {
        const std::size_t at = kv_head * shape_.heads_per_kv_head() * shape_.head_size;
        return {.kv_head = kv_head,
                .count = shape_.heads_per_kv_head(),
                .tokens = 0,
                .q = q.data() + at,
                .ldq = shape_.head_size,
                .out = out.data() + at,
                .ldo = shape_.head_size};
    }

    /// The first of these rows is that of the token at `position`.
    void run_block(const kv_cache& cache, std::size_t layer, std::size_t position, const query_rows& rows,
                   const scratch& own) const {
        const std::size_t size = shape_.head_size;
        const std::size_t tokens = position + 1 + (rows.count - 1) * rows.tokens;
        multiply({.x = rows.q,
                  .ldx = rows.ldq,
                  .m = rows.count,
                  .panels = cache.keys(layer, rows.kv_head, tokens, own.head),
                  .panel_stride = cache.key_panel_stride(),
                  .n = tokens,
                  .k = size,
                  .bias = nullptr,
                  .y = own.scores,
                  .ldy = score_stride_,
                  .accumulate = false});
        float sums[rows_per_block];
        for (std::size_t r = 0; r < rows.count; ++r) {
            float* row = own.scores + r * score_stride_;
            const std::size_t seen = position + 1 + r * rows.tokens;
            sums[r] = softmax_numerators({row, seen}, 1.0F / std::sqrt(static_cast<float>(size)));
            std::fill(row + seen, row + tokens, 0.0F);
        }
        multiply({.x = own.scores,
                  .ldx = score_stride_,
                  .m = rows.count,
                  .panels = cache.values(layer, rows.kv_head, tokens, own.head),
                  .panel_stride = cache.value_panel_stride(),
                  .n = size,
                  .k = tokens,
                  .bias = nullptr,
                  .y = rows.out,
                  .ldy = rows.ldo,
                  .accumulate = false});
        for (std::size_t r = 0; r < rows.count; ++r) {
            for (float& v : std::span(rows.out + r * rows.ldo, size)) {
                v *= 1.0F / sums[r];
            }
        }
    }

    static void multiply(const quell::kernels::gemm_f32_args& args) {
        const std::size_t panels = (args.n + kv_cache::panel_width - 1) / kv_cache::panel_width;
        quell::kernels::best().gemm_f32(args, 0, panels);
    }

    config shape_;
    std::size_t workers_;
    std::size_t score_stride_;
    quell::buffer<float> scores_;
    std::size_t head_floats_;
    quell::buffer<float> heads_;
};

}  // namespace transformer
