// SPDX-License-Identifier: MIT
/// @file
/// Running linears: the activations are quantized once for all linears that read them, then one parallel loop goes over
/// the panels of all. No allocation: the workspace is the caller's. The split into tiles depends on sizes and threads,
/// the results on neither.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/dispatch.hpp"
#include "quell/kernels/panels.hpp"
#include "quell/kernels/table.hpp"
#include "quell/quant/float_linear.hpp"
#include "quell/quant/quantized_linear.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

namespace quell::quant {
inline namespace QUELL_BASELINE {

using linear = std::variant<float_linear, quantized_linear>;

[[nodiscard]] inline std::size_t out_features(const linear& layer) {
    return std::visit([](const auto& l) { return l.out_features(); }, layer);
}
[[nodiscard]] inline std::size_t in_features(const linear& layer) {
    return std::visit([](const auto& l) { return l.in_features(); }, layer);
}
[[nodiscard]] inline std::size_t bytes(const linear& layer) {
    return std::visit([](const auto& l) { return l.bytes(); }, layer);
}
[[nodiscard]] inline matrix<float> weight(const linear& layer) {
    return std::visit([](const auto& l) { return l.weight(); }, layer);
}
[[nodiscard]] inline std::span<const float> bias(const linear& layer) {
    return std::visit([](const auto& l) { return l.bias(); }, layer);
}

/// One of several linears that read the same activations.
struct linear_call {
    const linear* layer = nullptr;
    matrix_view<float> y;
};

namespace detail {

/// Where the codes, scales and sums of `rows` activation rows lie in the workspace.
struct activation_block {
    std::size_t stride;
    std::size_t scales_at;
    std::size_t sums_at;
    std::size_t bytes;  ///< with room to align the start

    activation_block(const kernels::panel_shape& shape, std::size_t rows)
        : stride(kernels::padded_k(shape.k)),
          scales_at(rows * stride),
          sums_at(kernels::round_up(scales_at + rows * sizeof(float), 64)),
          bytes(sums_at + rows * shape.groups() * sizeof(std::int32_t) + 63) {}
};

inline std::byte* aligned(std::byte* memory) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    return memory + (kernels::round_up(address, 64) - address);
}

/// Whether both take the same codes, scales and sums of the same x.
inline bool share_activations(const linear& a, const linear& b) {
    const auto* p = std::get_if<quantized_linear>(&a);
    const auto* q = std::get_if<quantized_linear>(&b);
    if (p == nullptr || q == nullptr) {
        return p == q;
    }
    const std::span<const float> s = p->channel_scale();
    const std::span<const float> t = q->channel_scale();
    return p->activations() == q->activations() &&
           p->packed().panels().shape.group == q->packed().panels().shape.group &&
           std::equal(s.begin(), s.end(), t.begin(), t.end());
}

/// Work is cut so that threads of unequal speed end together: several tiles a thread, handed out one at a time, each
/// with its activation rows in the second-level cache.
struct tiling {
    std::size_t rows;
    std::size_t panels;

    static constexpr std::size_t tiles_per_thread = 4;
    static constexpr std::size_t most_panels = 8;
    static constexpr std::size_t least_rows = 32;
    static constexpr std::size_t cached_bytes = std::size_t{1} << 19U;

    tiling(std::size_t total_panels, std::size_t m, std::size_t row_bytes, std::size_t row_step, std::size_t threads) {
        const std::size_t wanted = tiles_per_thread * threads;
        const std::size_t step = kernels::round_up(least_rows, row_step);
        panels = std::clamp<std::size_t>(total_panels / wanted, 1, most_panels);
        rows = std::max(cached_bytes / std::max<std::size_t>(row_bytes, 1) / step, std::size_t{1}) * step;
        while (threads > 1 && rows > step && (total_panels / panels) * ((m + rows - 1) / rows) < wanted) {
            rows = kernels::round_up(rows / 2, step);
        }
        rows = std::max<std::size_t>(std::min(rows, m), 1);
    }
    [[nodiscard]] std::size_t row_tiles(std::size_t m) const { return (m + rows - 1) / rows; }
    [[nodiscard]] std::size_t panel_tiles(std::size_t n) const { return (n + panels - 1) / panels; }
};

/// Below these sizes waking other threads costs more than the work.
inline constexpr std::size_t parallel_products = std::size_t{1} << 17U;
inline constexpr std::size_t parallel_elements = std::size_t{1} << 15U;

/// The activations of one shared input as the kernels take them.
struct prepared_activations {
    matrix_view<const float> x;
    const std::int8_t* codes = nullptr;
    std::size_t stride = 0;
    const float* scales = nullptr;
    const std::int32_t* sums = nullptr;
    std::size_t groups = 0;
};

inline prepared_activations prepare(const quantized_linear& layer, matrix_view<const float> x,
                                    std::span<std::byte> workspace, const executor& threads) {
    const kernels::panel_shape& shape = layer.packed().panels().shape;
    const activation_block block(shape, x.rows());
    QUELL_EXPECTS(workspace.size() >= block.bytes, "a workspace of workspace_bytes()");
    std::byte* memory = aligned(workspace.data());
    const kernels::quantize_args args{
        .x = x.data(),
        .ldx = x.stride(),
        .rows = x.rows(),
        .cols = x.cols(),
        .bits = layer.activations().bits,
        .clip = layer.activations().clip,
        .static_scale = layer.activations().static_scale,
        .channel_scale = layer.channel_scale().data(),
        .group = shape.group,
        .codes = reinterpret_cast<std::int8_t*>(memory),
        .stride = block.stride,
        .scales = reinterpret_cast<float*>(memory + block.scales_at),
        .sums = reinterpret_cast<std::int32_t*>(memory + block.sums_at),
    };
    const auto quantize_rows = kernels::best().quantize_rows;
    if (x.rows() < 2 || x.rows() * x.cols() < parallel_elements || threads.concurrency() == 1) {
        quantize_rows(args, 0, x.rows());
    } else {
        const std::size_t step =
            std::max<std::size_t>(x.rows() / (tiling::tiles_per_thread * threads.concurrency()), 1);
        threads.parallel_for((x.rows() + step - 1) / step,
                             [&](std::size_t i) { quantize_rows(args, i * step, std::min((i + 1) * step, x.rows())); });
    }
    return {x, args.codes, args.stride, args.scales, args.sums, shape.groups()};
}

struct tile {
    std::size_t row;
    std::size_t rows;
    std::size_t panel_begin;
    std::size_t panel_end;
};

inline void multiply(const float_linear& layer, const prepared_activations& a, matrix_view<float> y, const tile& t) {
    const kernels::panel_view w = layer.panels();
    const kernels::gemm_f32_args args{
        .x = a.x.data() + t.row * a.x.stride(),
        .ldx = a.x.stride(),
        .m = t.rows,
        .panels = reinterpret_cast<const float*>(w.data),
        .panel_stride = w.shape.panel_bytes() / sizeof(float),
        .n = w.shape.n,
        .k = w.shape.k,
        .bias = layer.bias().data(),
        .y = y.data() + t.row * y.stride(),
        .ldy = y.stride(),
        .accumulate = false,
    };
    kernels::best().gemm_f32(args, t.panel_begin, t.panel_end);
}

inline void multiply(const quantized_linear& layer, const prepared_activations& a, matrix_view<float> y,
                     const tile& t) {
    const kernels::panel_view w = layer.packed().panels();
    const kernels::gemm_args args{
        .w = w,
        .a = a.codes + t.row * a.stride,
        .lda = a.stride,
        .a_scales = a.scales + t.row,
        .a_sums = a.sums + t.row * a.groups,
        .m = t.rows,
        .bias = layer.bias().data(),
        .y = y.data() + t.row * y.stride(),
        .ldy = y.stride(),
        .accumulate = false,
    };
    kernels::best().gemm(args, t.panel_begin, t.panel_end);
}

inline std::size_t panels_of(const linear& layer) {
    return (out_features(layer) + kernels::panel_rows - 1) / kernels::panel_rows;
}

/// Rows that the kernel of this linear takes at a time.
inline std::size_t row_step_of(const linear& layer) {
    const kernels::kernel_table& table = kernels::best();
    return std::holds_alternative<float_linear>(layer) ? table.f32_rows : table.gemm_rows;
}

/// The products of those calls that share one set of activations, cut into tiles over rows and panels of all of them.
class shared_product {
public:
    shared_product(std::span<const linear_call> calls, std::uint64_t members, const prepared_activations& a,
                   const executor& threads)
        : calls_(calls),
          members_(members),
          a_(a),
          panels_(sum([](const linear& layer) { return panels_of(layer); })),
          threads_(panels_ * kernels::panel_rows * a.x.cols() * a.x.rows() < parallel_products ? executor{} : threads),
          cut_(panels_, a.x.rows(), a.codes == nullptr ? a.x.cols() * sizeof(float) : a.stride,
               row_step_of(*calls[static_cast<std::size_t>(std::countr_zero(members))].layer), threads_.concurrency()) {
    }

    void run() const {
        const std::size_t panel_tiles = sum([&](const linear& layer) { return cut_.panel_tiles(panels_of(layer)); });
        const std::size_t row_tiles = cut_.row_tiles(a_.x.rows());
        threads_.parallel_for(panel_tiles * row_tiles,
                              [&](std::size_t i) { run_tile(i / row_tiles, i % row_tiles * cut_.rows); });
    }

private:
    [[nodiscard]] bool takes_part(std::size_t call) const { return (members_ >> call & 1U) != 0; }

    template <typename Size>
    [[nodiscard]] std::size_t sum(Size size_of) const {
        std::size_t total = 0;
        for (std::size_t c = 0; c < calls_.size(); ++c) {
            total += takes_part(c) ? size_of(*calls_[c].layer) : 0;
        }
        return total;
    }

    /// Finds the linear that panel tile `at` of all belongs to.
    void run_tile(std::size_t at, std::size_t row) const {
        for (std::size_t c = 0; c < calls_.size(); ++c) {
            const std::size_t count = takes_part(c) ? panels_of(*calls_[c].layer) : 0;
            if (at < cut_.panel_tiles(count)) {
                const tile t{row, std::min(cut_.rows, a_.x.rows() - row), at * cut_.panels,
                             std::min((at + 1) * cut_.panels, count)};
                std::visit([&](const auto& layer) { multiply(layer, a_, calls_[c].y, t); }, *calls_[c].layer);
                return;
            }
            at -= cut_.panel_tiles(count);
        }
    }

    std::span<const linear_call> calls_;
    std::uint64_t members_;
    const prepared_activations& a_;
    std::size_t panels_;
    executor threads_;
    tiling cut_;
};

/// A bit for every call that takes the activations of call `leader`.
[[nodiscard]] inline std::uint64_t sharing(std::span<const linear_call> calls, std::size_t leader) {
    std::uint64_t members = 0;
    for (std::size_t c = 0; c < calls.size(); ++c) {
        members |= std::uint64_t{share_activations(*calls[c].layer, *calls[leader].layer) ? 1U : 0U} << c;
    }
    return members;
}

}  // namespace detail

/// What `forward` needs for up to `rows` rows; `forward_shared` needs the largest of its linears.
[[nodiscard]] inline std::size_t workspace_bytes(const linear& layer, std::size_t rows) {
    const auto* q = std::get_if<quantized_linear>(&layer);
    return q == nullptr ? 0 : detail::activation_block(q->packed().panels().shape, rows).bytes;
}

/// y = layer(x) for each call: bit for bit what separate `forward`s give.
///
/// Shapes   x [tokens, in]; y [tokens, out]; 0 tokens are fine.
/// Requires workspace of at least the largest workspace_bytes(layer, tokens), at any alignment; y apart from x; at most
///          64 calls.
inline void forward_shared(std::span<const linear_call> calls, matrix_view<const float> x,
                           std::span<std::byte> workspace, const executor& threads = {}) {
    QUELL_EXPECTS(calls.size() <= 64, "at most 64 linears read one input");
    std::uint64_t finished = 0;
    for (std::size_t c = 0; c < calls.size() && x.rows() > 0; ++c) {
        const linear& layer = *calls[c].layer;
        QUELL_EXPECTS(x.cols() == in_features(layer), "x has one column an input feature");
        QUELL_EXPECTS(calls[c].y.rows() == x.rows() && calls[c].y.cols() == out_features(layer), "y is [tokens, out]");
        if ((finished >> c & 1U) != 0) {
            continue;
        }
        const std::uint64_t members = detail::sharing(calls, c);
        const auto* q = std::get_if<quantized_linear>(&layer);
        const auto a = q == nullptr ? detail::prepared_activations{.x = x} : detail::prepare(*q, x, workspace, threads);
        detail::shared_product(calls, members, a, threads).run();
        finished |= members;
    }
}

/// y = layer(x).
inline void forward(const linear& layer, matrix_view<const float> x, matrix_view<float> y,
                    std::span<std::byte> workspace, const executor& threads = {}) {
    const linear_call call{&layer, y};
    forward_shared({&call, 1}, x, workspace, threads);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
