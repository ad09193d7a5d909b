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
#include "quell/kernels/hadamard.hpp"
#include "quell/kernels/panels.hpp"
#include "quell/kernels/table.hpp"
#include "quell/quant/float_linear.hpp"
#include "quell/quant/quantized_linear.hpp"
#include "quell/quant/split_linear.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <variant>

namespace quell::quant {
inline namespace QUELL_BASELINE {

using linear = std::variant<float_linear, quantized_linear, split_linear>;

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

/// Rows are changed by at most so many threads at once, each with its own room for a rotated row.
inline constexpr std::size_t most_row_workers = 64;

/// Where the rows of one input lie in the workspace while its linears run: codes with scales and sums, or floats where
/// a linear in float changes its input; behind them the rooms of the workers.
struct activation_block {
    std::size_t stride;  ///< in codes or floats
    std::size_t scales_at = 0;
    std::size_t sums_at = 0;
    std::size_t zeros_at = 0;
    std::size_t rooms_at = 0;
    std::size_t room;   ///< floats for one worker
    std::size_t bytes;  ///< with room to align the start

    activation_block(const online_input& online, std::size_t in_features, std::size_t rows)
        : stride(in_features),
          rooms_at(online.empty() ? 0 : kernels::round_up(rows * stride * sizeof(float), 64)),
          room(room_of(online.rotation.shape(), 0)),
          bytes(online.empty() ? 0 : end_of_rooms(rows)) {}

    activation_block(const float_linear& layer, std::size_t rows)
        : activation_block(layer.online(), layer.in_features(), rows) {}

    activation_block(const quantized_linear& layer, std::size_t rows)
        : activation_block(layer.packed().panels().shape, layer.online().rotation.shape(),
                           rows * layer.activations().planes()) {}

    [[nodiscard]] static std::size_t workers(std::size_t rows) { return std::min(rows, most_row_workers); }

private:
    activation_block(const kernels::panel_shape& shape, const kernels::hadamard_shape& rotation, std::size_t rows)
        : stride(kernels::padded_k(shape.k)),
          scales_at(rows * stride),
          sums_at(kernels::round_up(scales_at + rows * sizeof(float), 64)),
          zeros_at(kernels::round_up(sums_at + rows * shape.groups() * sizeof(std::int32_t), 64)),
          rooms_at(kernels::round_up(zeros_at + rows * sizeof(std::int32_t), 64)),
          room(room_of(rotation, rotation.size())),
          bytes(end_of_rooms(rows)) {}

    static std::size_t room_of(const kernels::hadamard_shape& rotation, std::size_t row) {
        return kernels::round_up(row + rotation.scratch_floats(), 16);
    }
    [[nodiscard]] std::size_t end_of_rooms(std::size_t rows) const {
        return rooms_at + workers(rows) * room * sizeof(float) + 63;
    }
};

/// The workspace of a split linear: the input as changed online, the same in the order of the columns, and what each
/// part needs.
struct split_block {
    std::size_t ordered_at;
    std::size_t high_at;
    std::size_t low_at;
    std::size_t bytes;  ///< with room to align the start

    split_block(const split_linear& layer, std::size_t rows)
        : ordered_at(kernels::round_up(activation_block(layer.online(), layer.in_features(), rows).bytes, 64)),
          high_at(ordered_at + kernels::round_up(rows * layer.in_features() * sizeof(float), 64)),
          low_at(high_at + activation_block(layer.high(), rows).bytes),
          bytes(low_at + activation_block(layer.low(), rows).bytes + 63) {}
};

inline std::byte* aligned(std::byte* memory) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    return memory + (kernels::round_up(address, 64) - address);
}

/// Whether both take the same codes, scales and sums, or floats, of the same x.
inline bool share_activations(const float_linear& a, const float_linear& b) {
    return a.online() == b.online();
}
inline bool share_activations(const quantized_linear& a, const quantized_linear& b) {
    return a.activations() == b.activations() && a.packed().panels().shape.group == b.packed().panels().shape.group &&
           a.float_features() == b.float_features() && a.online() == b.online();
}
inline bool share_activations(const split_linear& a, const split_linear& b) {
    return share_activations(a.high(), b.high()) && share_activations(a.low(), b.low()) && a.online() == b.online() &&
           std::equal(a.order().begin(), a.order().end(), b.order().begin(), b.order().end()) &&
           a.high().in_features() == b.high().in_features();
}
inline bool share_activations(const linear& a, const linear& b) {
    return std::visit(
        [&](const auto& p) {
            const auto* q = std::get_if<std::decay_t<decltype(p)>>(&b);
            return q != nullptr && share_activations(p, *q);
        },
        a);
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
    const std::int32_t* zeros = nullptr;
};

/// Calls f(room, row_begin, row_end) over ranges of rows, every worker with its own room.
template <typename F>
void for_row_ranges(std::size_t rows, std::size_t cols, const executor& threads, const F& f) {
    if (rows < 2 || rows * cols < parallel_elements || threads.concurrency() == 1) {
        f(0, 0, rows);
        return;
    }
    const std::size_t step = std::max<std::size_t>(rows / (tiling::tiles_per_thread * threads.concurrency()), 1);
    const std::size_t workers = std::min(activation_block::workers(rows), threads.concurrency());
    std::atomic<std::size_t> next = 0;
    threads.parallel_for(workers, [&](std::size_t worker) {
        for (std::size_t begin = step * next++; begin < rows; begin = step * next++) {
            f(worker, begin, std::min(begin + step, rows));
        }
    });
}

/// The largest scale that a row took for itself; a row of zeros took none.
inline float largest_scale(const kernels::quantize_args& done) {
    float largest = 0.0F;
    for (std::size_t r = 0; r < done.rows; ++r) {
        const std::int8_t* codes = done.codes + r * done.stride;
        if (done.scales[r] > largest && std::any_of(codes, codes + done.cols, [](std::int8_t c) { return c != 0; })) {
            largest = done.scales[r];
        }
    }
    return largest == 0.0F ? 1.0F : largest;
}

inline prepared_activations prepare(const quantized_linear& layer, matrix_view<const float> x,
                                    std::span<std::byte> workspace, const executor& threads) {
    const kernels::panel_shape& shape = layer.packed().panels().shape;
    const activation_block block(layer, x.rows());
    QUELL_EXPECTS(workspace.size() >= block.bytes, "a workspace of workspace_bytes()");
    std::byte* memory = aligned(workspace.data());
    const transforms::hadamard& rotation = layer.online().rotation;
    kernels::quantize_args args{
        .x = x.data() + layer.float_features(),
        .ldx = x.stride(),
        .rows = x.rows(),
        .cols = shape.k,
        .bits = layer.activations().bits,
        .clip = layer.activations().clip,
        .static_scale = layer.activations().static_scale,
        .channel_scale = layer.online().scale.data(),
        .group = shape.group,
        .codes = reinterpret_cast<std::int8_t*>(memory),
        .stride = block.stride,
        .scales = reinterpret_cast<float*>(memory + block.scales_at),
        .sums = reinterpret_cast<std::int32_t*>(memory + block.sums_at),
        .zeros = layer.activations().zero_point ? reinterpret_cast<std::int32_t*>(memory + block.zeros_at) : nullptr,
        .rotation = rotation.shape(),
        .signs = rotation.signs().data(),
    };
    auto* rooms = reinterpret_cast<float*>(memory + block.rooms_at);
    const auto quantize = [&] {
        for_row_ranges(x.rows(), x.cols(), threads, [&](std::size_t worker, std::size_t begin, std::size_t end) {
            kernels::quantize_args own = args;
            own.rotated = rooms + worker * block.room;
            kernels::best().quantize_rows(own, begin, end);
        });
    };
    quantize();
    if (layer.activations().at_run_time) {
        args.static_scale = largest_scale(args);
        quantize();
    }
    return {x, args.codes, args.stride, args.scales, args.sums, shape.groups(), args.zeros};
}

/// x as a linear in float meets it: x itself, or its changed rows in the workspace.
inline matrix_view<const float> change_rows(const online_input& online, matrix_view<const float> x,
                                            std::span<std::byte> workspace, const executor& threads) {
    if (online.empty()) {
        return x;
    }
    const activation_block block(online, x.cols(), x.rows());
    QUELL_EXPECTS(workspace.size() >= block.bytes, "a workspace of workspace_bytes()");
    std::byte* memory = aligned(workspace.data());
    const transforms::hadamard& rotation = online.rotation;
    const kernels::hadamard_args args{
        .x = x.data(),
        .ldx = x.stride(),
        .rows = x.rows(),
        .channel_scale = online.scale.data(),
        .shape = rotation.empty() ? kernels::hadamard_shape{1, 1, x.cols()} : rotation.shape(),
        .signs = rotation.signs().data(),
        .y = reinterpret_cast<float*>(memory),
        .ldy = block.stride,
    };
    auto* rooms = reinterpret_cast<float*>(memory + block.rooms_at);
    for_row_ranges(x.rows(), x.cols(), threads, [&](std::size_t worker, std::size_t begin, std::size_t end) {
        kernels::hadamard_args own = args;
        own.scratch = rooms + worker * block.room;
        kernels::best().hadamard_rows(own, begin, end);
    });
    return {args.y, x.rows(), x.cols(), block.stride};
}

inline prepared_activations prepare(const float_linear& layer, matrix_view<const float> x,
                                    std::span<std::byte> workspace, const executor& threads) {
    return {.x = change_rows(layer.online(), x, workspace, threads)};
}

/// What the linears of one input share: of a split linear, codes for each part.
struct shared_activations {
    prepared_activations first;
    prepared_activations second = {};
};

template <typename Layer>
shared_activations prepare_shared(const Layer& layer, matrix_view<const float> x, std::span<std::byte> workspace,
                                  const executor& threads) {
    return {.first = prepare(layer, x, workspace, threads)};
}

inline shared_activations prepare_shared(const split_linear& layer, matrix_view<const float> x,
                                         std::span<std::byte> workspace, const executor& threads) {
    const split_block block(layer, x.rows());
    QUELL_EXPECTS(workspace.size() >= block.bytes, "a workspace of workspace_bytes()");
    const std::span<std::byte> memory =
        workspace.subspan(static_cast<std::size_t>(aligned(workspace.data()) - workspace.data()), block.bytes - 63);
    const matrix_view<const float> changed = change_rows(layer.online(), x, memory, threads);
    const matrix_view<float> ordered(reinterpret_cast<float*>(memory.data() + block.ordered_at), x.rows(), x.cols());
    const std::span<const std::uint16_t> order = layer.order();
    for_row_ranges(x.rows(), x.cols(), threads, [&](std::size_t, std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            const float* from = changed.row(r).data();
            std::transform(order.begin(), order.end(), ordered.row(r).data(), [&](std::size_t c) { return from[c]; });
        }
    });
    const std::size_t high = layer.high().in_features();
    return {.first = prepare(layer.high(), ordered.block(0, 0, x.rows(), high), memory.subspan(block.high_at), threads),
            .second = prepare(layer.low(), ordered.block(0, high, x.rows(), x.cols() - high),
                              memory.subspan(block.low_at), threads)};
}

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

/// What `forward` needs for up to `rows` rows; `forward_shared` needs the largest of its linears.
[[nodiscard]] inline std::size_t workspace_bytes(const linear& layer, std::size_t rows) {
    if (const auto* split = std::get_if<split_linear>(&layer)) {
        return detail::split_block(*split, rows).bytes;
    }
    const auto* q = std::get_if<quantized_linear>(&layer);
    return q != nullptr ? detail::activation_block(*q, rows).bytes
                        : detail::activation_block(*std::get_if<float_linear>(&layer), rows).bytes;
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
