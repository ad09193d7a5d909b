// SPDX-License-Identifier: MIT
/// @file
/// Canonical codes to panels and back, exactly. Each panel is packed on its own, so it runs in parallel.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/types.hpp"
#include "quell/packing/packed_matrix.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace quell::packing {
inline namespace QUELL_BASELINE {

/// Shapes   as `quantized` says; the codes lie in codes_of(q.form).
/// Errors   those of panel_shape_of(); errc::bad_value for a code outside its range or a scale that is not finite or
/// that
///          the scheme's scale type cannot hold, with row and column.
/// Cost     reads the codes once; the same bytes for any executor.
[[nodiscard]] result<packed_matrix> pack(const quantized& q, const executor& threads = {});

/// The codes and scales that were packed, exactly.
/// Errors   errc::unsupported for a weight in float; errc::bad_value for a code that pack() never writes.
[[nodiscard]] result<quantized> unpack(const packed_matrix& packed);

/// A float weight [out, in] in panels.
[[nodiscard]] packed_matrix pack_f32(matrix_view<const float> w, const executor& threads = {});

/// Requires panels in float.
[[nodiscard]] matrix<float> unpack_f32(const packed_matrix& packed);

/// Row `row` of any packed weight into `out` [in], dequantized: the lookup of an embedding.
void unpack_row(const packed_matrix& packed, std::size_t row, std::span<float> out);

namespace detail {

using kernels::k_chunk;
using kernels::panel_rows;
using kernels::panel_shape;

/// 64 codes of a row as words of four, zeros past its end.
using code_block = std::array<std::uint32_t, kernels::k_step / 4>;

[[nodiscard]] inline code_block load_block(std::span<const std::int8_t> row, std::size_t k) {
    code_block block = {};
    if (k + sizeof(block) <= row.size()) {
        std::memcpy(block.data(), row.data() + k, sizeof(block));
    } else if (k < row.size()) {
        std::memcpy(block.data(), row.data() + k, row.size() - k);
    }
    return block;
}

/// Nonzero where a byte of the word is -128.
[[nodiscard]] constexpr std::uint32_t outside_w8(std::uint32_t word) {
    const std::uint32_t v = word ^ 0x80808080U;
    return (v - 0x01010101U) & ~v & 0x80808080U;
}

/// Nonzero where a byte of the word is not in -8 ... 7: its five upper bits differ.
[[nodiscard]] constexpr std::uint32_t outside_w4(std::uint32_t word) {
    return (word ^ word << 1U) & 0xf0f0f0f0U;
}

/// Code + 8 in the low nibble of each byte.
[[nodiscard]] constexpr std::uint32_t nibbles_of(std::uint32_t word) {
    return (word & 0x0f0f0f0fU) ^ 0x08080808U;
}

/// Writes 64 k of one row; returns nonzero where a code is outside its range.
[[nodiscard]] inline std::uint32_t pack_w8_block(const code_block& block, std::byte* column) {
    std::uint32_t outside = 0;
    for (std::size_t i = 0; i < block.size(); ++i) {
        outside |= outside_w8(block[i]);
        std::memcpy(column + i * 4 * panel_rows, &block[i], 4);
    }
    return outside;
}

/// The same for nibbles: each chunk of 32 k has its upper 16 in the high nibbles.
[[nodiscard]] inline std::uint32_t pack_w4_chunk(const std::uint32_t* words, std::byte* column) {
    constexpr std::size_t half = k_chunk / 2 / 4;
    std::uint32_t outside = 0;
    for (std::size_t i = 0; i < half; ++i) {
        const std::uint32_t both = nibbles_of(words[i]) | nibbles_of(words[i + half]) << 4U;
        outside |= outside_w4(words[i]) | outside_w4(words[i + half]);
        std::memcpy(column + i * 4 * panel_rows, &both, 4);
    }
    return outside;
}

[[nodiscard]] inline std::int32_t sum_of(const code_block& block) {
    std::array<std::int8_t, sizeof(code_block)> codes;
    std::memcpy(codes.data(), block.data(), sizeof(codes));
    std::int32_t sum = 0;
    for (const std::int8_t code : codes) {
        sum += code;
    }
    return sum;
}

/// Rows past n hold code 0, so that all padding is the same.
[[nodiscard]] inline std::span<const std::int8_t> row_or_none(const quantized& q, std::size_t row) {
    return row < q.out_features() ? q.codes.row(row) : std::span<const std::int8_t>();
}

[[nodiscard]] inline std::uint32_t pack_w8_panel(const quantized& q, const panel_shape& shape, std::size_t first,
                                                 std::byte* panel) {
    std::uint32_t outside = 0;
    std::array<std::int32_t, panel_rows> sums = {};
    std::array<float, panel_rows> scales = {};
    for (std::size_t k = 0; k < shape.k; k += kernels::k_step) {
        for (std::size_t j = 0; j < panel_rows; ++j) {
            const code_block block = load_block(row_or_none(q, first + j), k);
            outside |= pack_w8_block(block, panel + k * panel_rows + 4 * j);
            sums[j] += sum_of(block);
        }
    }
    for (std::size_t j = 0; j < panel_rows && first + j < shape.n && shape.k != 0; ++j) {
        scales[j] = q.scales(first + j, 0);
    }
    std::memcpy(panel + shape.scales_at(0), scales.data(), sizeof(scales));
    std::memcpy(panel + shape.sums_at(0), sums.data(), sizeof(sums));
    return outside;
}

inline void put_w4_scale(const panel_shape& shape, std::byte* panel, std::size_t group, std::size_t j, float scale) {
    std::byte* scales = panel + shape.scales_at(group);
    if (shape.scales == scale_type::f16) {
        const f16 half = to_f16(scale);
        std::memcpy(scales + j * sizeof(half), &half, sizeof(half));
    } else {
        std::memcpy(scales + j * sizeof(scale), &scale, sizeof(scale));
    }
}

[[nodiscard]] inline float w4_scale(const panel_shape& shape, const std::byte* panel, std::size_t group,
                                    std::size_t j) {
    const std::byte* scales = panel + shape.scales_at(group);
    if (shape.scales == scale_type::f16) {
        f16 half;
        std::memcpy(&half, scales + j * sizeof(half), sizeof(half));
        return to_f32(half);
    }
    float scale = 0.0F;
    std::memcpy(&scale, scales + j * sizeof(scale), sizeof(scale));
    return scale;
}

[[nodiscard]] inline std::uint32_t pack_w4_panel(const quantized& q, const panel_shape& shape, std::size_t first,
                                                 std::byte* panel) {
    std::uint32_t outside = 0;
    for (std::size_t k = 0; k < shape.k; k += kernels::k_step) {
        std::byte* low = panel + shape.codes_at(k);
        std::byte* high = panel + shape.codes_at(k + k_chunk);
        for (std::size_t j = 0; j < panel_rows; ++j) {
            const code_block block = load_block(row_or_none(q, first + j), k);
            outside |= pack_w4_chunk(block.data(), low + 4 * j);
            outside |= pack_w4_chunk(block.data() + k_chunk / 4, high + 4 * j);
        }
    }
    for (std::size_t j = 0; j < panel_rows && first + j < shape.n; ++j) {
        for (std::size_t g = 0; g < q.scales.cols(); ++g) {
            put_w4_scale(shape, panel, g, j, q.scales(first + j, g));
        }
    }
    return outside;
}

[[nodiscard]] inline bool storable(float scale, scale_type type) {
    const float stored = type == scale_type::f16    ? to_f32(to_f16(scale))
                         : type == scale_type::bf16 ? to_f32(to_bf16(scale))
                                                    : scale;
    return std::isfinite(scale) && stored == scale;
}

[[nodiscard]] inline std::string place(std::size_t row, std::size_t col) {
    return " at row " + std::to_string(row) + ", column " + std::to_string(col);
}

[[nodiscard]] inline result<void> check_scales(const quantized& q) {
    for (std::size_t r = 0; r < q.scales.rows(); ++r) {
        for (std::size_t g = 0; g < q.scales.cols(); ++g) {
            if (!storable(q.scales(r, g), q.form.scales)) {
                return error{errc::bad_value, "scale " + std::to_string(q.scales(r, g)) + place(r, g) +
                                                  " is not finite or does not fit its type"};
            }
        }
    }
    return {};
}

[[nodiscard]] inline error code_error(const quantized& q) {
    const code_range range = codes_of(q.form);
    for (std::size_t r = 0; r < q.codes.rows(); ++r) {
        for (std::size_t c = 0; c < q.codes.cols(); ++c) {
            const int code = q.codes(r, c);
            if (code < range.low || code > range.high) {
                return {errc::bad_value, "code " + std::to_string(code) + place(r, c) + " is outside " +
                                             std::to_string(range.low) + " ... " + std::to_string(range.high)};
            }
        }
    }
    return {errc::bad_value, "a code is outside its range"};
}

[[nodiscard]] inline int unpack_code(const panel_shape& shape, const std::byte* panel, std::size_t j, std::size_t k) {
    if (shape.format == kernels::panel_format::w8) {
        return static_cast<std::int8_t>(panel[k / 4 * 4 * panel_rows + 4 * j + k % 4]);
    }
    const std::size_t in_half = k % (k_chunk / 2);
    const std::size_t at = shape.codes_at(k / k_chunk * k_chunk) + in_half / 4 * 4 * panel_rows + 4 * j + k % 4;
    const auto both = static_cast<int>(panel[at]);
    return (k % k_chunk < k_chunk / 2 ? both & 15 : both >> 4) - 8;
}

[[nodiscard]] inline float unpack_scale(const panel_shape& shape, const std::byte* panel, std::size_t group,
                                        std::size_t j) {
    if (shape.format == kernels::panel_format::w4) {
        return w4_scale(shape, panel, group, j);
    }
    float scale = 0.0F;
    std::memcpy(&scale, panel + shape.scales_at(0) + 4 * j, sizeof(scale));
    return scale;
}

inline void unpack_scales(const panel_shape& shape, const std::byte* panel, std::size_t j, std::span<float> scales) {
    for (std::size_t g = 0; g < scales.size(); ++g) {
        scales[g] = unpack_scale(shape, panel, g, j);
    }
}

}  // namespace detail

inline result<packed_matrix> pack(const quantized& q, const executor& threads) {
    QUELL_TRY(const kernels::panel_shape shape, panel_shape_of(q.form, q.out_features(), q.in_features()));
    const std::size_t groups = groups_per_row(q.form, q.in_features());
    if (shape.format == kernels::panel_format::f32 || q.scales.rows() != shape.n || q.scales.cols() != groups) {
        return error{errc::bad_shape, "scales of " + std::to_string(q.scales.rows()) + " x " +
                                          std::to_string(q.scales.cols()) + " for codes that need " +
                                          std::to_string(shape.n) + " x " + std::to_string(groups)};
    }
    QUELL_TRY_VOID(detail::check_scales(q));
    blob_builder blob(q.form, shape);
    std::atomic<std::uint32_t> outside = 0;
    threads.parallel_for(shape.panels(), [&](std::size_t p) {
        std::byte* panel = blob.panels() + p * shape.panel_bytes();
        const auto pack_panel =
            shape.format == kernels::panel_format::w8 ? &detail::pack_w8_panel : &detail::pack_w4_panel;
        outside |= pack_panel(q, shape, p * kernels::panel_rows, panel);
    });
    if (outside != 0) {
        return detail::code_error(q);
    }
    return std::move(blob).finish();
}

inline result<quantized> unpack(const packed_matrix& packed) {
    const kernels::panel_view view = packed.panels();
    if (view.shape.format == kernels::panel_format::f32) {
        return error{errc::unsupported, "a packed weight in float has no codes"};
    }
    quantized q = make_quantized(packed.form(), view.shape.n, view.shape.k);
    const code_range range = codes_of(q.form);
    for (std::size_t r = 0; r < view.shape.n; ++r) {
        const std::byte* panel = view.data + r / kernels::panel_rows * view.shape.panel_bytes();
        const std::size_t j = r % kernels::panel_rows;
        const auto codes = q.codes.row(r);
        for (std::size_t k = 0; k < view.shape.k; ++k) {
            const int code = detail::unpack_code(view.shape, panel, j, k);
            if (code < range.low) {
                return error{errc::bad_value, "code " + std::to_string(code) + detail::place(r, k)};
            }
            codes[k] = static_cast<std::int8_t>(code);
        }
        detail::unpack_scales(view.shape, panel, j, q.scales.row(r));
    }
    return q;
}

inline packed_matrix pack_f32(matrix_view<const float> w, const executor& threads) {
    const kernels::panel_shape shape = detail::float_shape(w.rows(), w.cols());
    blob_builder blob(float_form, shape);
    threads.parallel_for(shape.panels(), [&](std::size_t p) {
        auto* panel = reinterpret_cast<float*>(blob.panels() + p * shape.panel_bytes());
        const std::size_t first = p * kernels::panel_rows;
        const std::size_t rows = std::min(kernels::panel_rows, shape.n - first);
        for (std::size_t begin = 0; begin < shape.k; begin += kernels::k_step) {
            const std::size_t end = std::min(begin + kernels::k_step, shape.k);
            for (std::size_t j = 0; j < rows; ++j) {
                const float* row = w.row(first + j).data();
                for (std::size_t k = begin; k < end; ++k) {
                    panel[k * kernels::panel_rows + j] = row[k];
                }
            }
        }
    });
    return std::move(blob).finish();
}

inline matrix<float> unpack_f32(const packed_matrix& packed) {
    const kernels::panel_view view = packed.panels();
    QUELL_EXPECTS(view.shape.format == kernels::panel_format::f32, "unpack_f32 of codes");
    matrix<float> w(view.shape.n, view.shape.k);
    for (std::size_t r = 0; r < w.rows(); ++r) {
        const std::size_t panel = r / kernels::panel_rows * kernels::panel_rows * w.cols();
        const auto* column = reinterpret_cast<const float*>(view.data) + panel + r % kernels::panel_rows;
        const auto row = w.row(r);
        for (std::size_t k = 0; k < w.cols(); ++k) {
            row[k] = column[k * kernels::panel_rows];
        }
    }
    return w;
}

inline void unpack_row(const packed_matrix& packed, std::size_t row, std::span<float> out) {
    const kernels::panel_view view = packed.panels();
    const kernels::panel_shape& shape = view.shape;
    QUELL_EXPECTS(row < shape.n && out.size() == shape.k, "a row of the weight");
    const std::byte* panel = view.data + row / kernels::panel_rows * shape.panel_bytes();
    const std::size_t j = row % kernels::panel_rows;
    if (shape.format == kernels::panel_format::f32) {
        for (std::size_t k = 0; k < out.size(); ++k) {
            std::memcpy(&out[k], panel + (k * kernels::panel_rows + j) * sizeof(float), sizeof(float));
        }
        return;
    }
    const std::size_t group = shape.group == 0 ? shape.k : shape.group;
    for (std::size_t first = 0; first < out.size(); first += group) {
        const float scale = detail::unpack_scale(shape, panel, first / group, j);
        for (std::size_t k = first; k < std::min(first + group, out.size()); ++k) {
            out[k] = scale * static_cast<float>(detail::unpack_code(shape, panel, j, k));
        }
    }
}

}  // namespace QUELL_BASELINE
}  // namespace quell::packing
