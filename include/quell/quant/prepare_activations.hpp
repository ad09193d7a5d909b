// SPDX-License-Identifier: MIT
/// @file
/// Activations as the kernels take them, made once for all linears that share them: codes with scales and sums, or the
/// changed floats. No allocation: the workspace is the caller's.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/dispatch.hpp"
#include "quell/kernels/hadamard.hpp"
#include "quell/kernels/panels.hpp"
#include "quell/kernels/table.hpp"
#include "quell/quant/linear.hpp"
#include "quell/quant/online_input.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <variant>

namespace quell::quant {
inline namespace QUELL_BASELINE {

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

/// Several pieces of work a thread, handed out one at a time, so that threads of unequal speed end together.
inline constexpr std::size_t tiles_per_thread = 4;

/// With fewer elements waking other threads costs more than the work.
inline constexpr std::size_t parallel_elements = std::size_t{1} << 15U;

/// Calls f(room, row_begin, row_end) over ranges of rows, every worker with its own room.
template <typename F>
void for_row_ranges(std::size_t rows, std::size_t cols, const executor& threads, const F& f) {
    if (rows < 2 || rows * cols < parallel_elements || threads.concurrency() == 1) {
        f(0, 0, rows);
        return;
    }
    const std::size_t step = std::max<std::size_t>(rows / (tiles_per_thread * threads.concurrency()), 1);
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

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
