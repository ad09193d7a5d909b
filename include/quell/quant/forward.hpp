// SPDX-License-Identifier: MIT
/// @file
/// Running linears: the activations are prepared once for all linears that share them, then one parallel loop goes over
/// the panels of all. No allocation: the workspace is the caller's. The split into tiles depends on sizes and threads,
/// the results on neither.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/dispatch.hpp"
#include "quell/kernels/panels.hpp"
#include "quell/kernels/table.hpp"
#include "quell/quant/linear.hpp"
#include "quell/quant/prepare_activations.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// One of several linears that read the same activations.
struct linear_call {
    const linear* layer = nullptr;
    matrix_view<float> y;
};

namespace detail {

/// Tiles of the products, each with its activation rows in the second-level cache.
struct tiling {
    std::size_t rows;
    std::size_t panels;

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

/// With fewer products waking other threads costs more than the work.
inline constexpr std::size_t parallel_products = std::size_t{1} << 17U;

struct tile {
    std::size_t row;
    std::size_t rows;
    std::size_t panel_begin;
    std::size_t panel_end;
};

/// The tile of the product of the first columns of x, as many as the panels of floats have.
inline void multiply_f32(const kernels::panel_view& w, matrix_view<const float> x, std::span<const float> bias,
                         matrix_view<float> y, const tile& t) {
    const kernels::gemm_f32_args args{
        .x = x.data() + t.row * x.stride(),
        .ldx = x.stride(),
        .m = t.rows,
        .panels = reinterpret_cast<const float*>(w.data),
        .panel_stride = w.shape.panel_bytes() / sizeof(float),
        .n = w.shape.n,
        .k = w.shape.k,
        .bias = bias.data(),
        .y = y.data() + t.row * y.stride(),
        .ldy = y.stride(),
        .accumulate = false,
    };
    kernels::best().gemm_f32(args, t.panel_begin, t.panel_end);
}

inline void multiply(const float_linear& layer, const prepared_activations& a, matrix_view<float> y, const tile& t) {
    multiply_f32(layer.panels(), a.x, layer.bias(), y, t);
}

/// The columns in float come first.
inline void multiply(const quantized_linear& layer, const prepared_activations& a, matrix_view<float> y, const tile& t,
                     bool accumulate = false) {
    if (layer.float_columns()) {
        multiply_f32(layer.float_columns()->panels(), a.x, {}, y, t);
    }
    const kernels::panel_view w = layer.packed().panels();
    const std::size_t row = t.row * layer.activations().planes();
    const kernels::gemm_args args{
        .w = w,
        .a = a.codes + row * a.stride,
        .lda = a.stride,
        .a_bits = layer.activations().bits,
        .a_scales = a.scales + row,
        .a_sums = a.sums + row * a.groups,
        .a_zeros = a.zeros == nullptr ? nullptr : a.zeros + t.row,
        .m = t.rows,
        .bias = layer.bias().data(),
        .y = y.data() + t.row * y.stride(),
        .ldy = y.stride(),
        .accumulate = accumulate || layer.float_columns().has_value(),
    };
    kernels::best().gemm(args, t.panel_begin, t.panel_end);
}

template <typename Layer>
void multiply_shared(const Layer& layer, const shared_activations& a, matrix_view<float> y, const tile& t) {
    multiply(layer, a.first, y, t);
}
inline void multiply_shared(const split_linear& layer, const shared_activations& a, matrix_view<float> y,
                            const tile& t) {
    multiply(layer.high(), a.first, y, t);
    multiply(layer.low(), a.second, y, t, true);
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
    shared_product(std::span<const linear_call> calls, std::uint64_t members, std::size_t rows,
                   const shared_activations& a, const executor& threads)
        : calls_(calls),
          members_(members),
          rows_(rows),
          a_(a),
          panels_(sum([](const linear& layer) { return panels_of(layer); })),
          threads_(panels_ * kernels::panel_rows * cols_of(a) * rows < parallel_products ? executor{} : threads),
          cut_(panels_, rows, a.first.codes == nullptr ? cols_of(a) * sizeof(float) : a.first.stride + a.second.stride,
               row_step_of(*calls[static_cast<std::size_t>(std::countr_zero(members))].layer), threads_.concurrency()) {
    }

    void run() const {
        const std::size_t panel_tiles = sum([&](const linear& layer) { return cut_.panel_tiles(panels_of(layer)); });
        const std::size_t row_tiles = cut_.row_tiles(rows_);
        threads_.parallel_for(panel_tiles * row_tiles,
                              [&](std::size_t i) { run_tile(i / row_tiles, i % row_tiles * cut_.rows); });
    }

private:
    static std::size_t cols_of(const shared_activations& a) { return a.first.x.cols() + a.second.x.cols(); }
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
                const tile t{row, std::min(cut_.rows, rows_ - row), at * cut_.panels,
                             std::min((at + 1) * cut_.panels, count)};
                std::visit([&](const auto& layer) { multiply_shared(layer, a_, calls_[c].y, t); }, *calls_[c].layer);
                return;
            }
            at -= cut_.panel_tiles(count);
        }
    }

    std::span<const linear_call> calls_;
    std::uint64_t members_;
    std::size_t rows_;
    const shared_activations& a_;
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
        const auto a =
            std::visit([&](const auto& l) { return detail::prepare_shared(l, x, workspace, threads); }, layer);
        detail::shared_product(calls, members, x.rows(), a, threads).run();
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
