// SPDX-License-Identifier: MIT
/// @file
/// AMX: tiles of 16 rows of activations times tiles of 64 k of a panel, which need no other packing: 64 k of a panel
/// are 16 rows of 64 bytes, just what the instruction wants. Everything else is that of AVX-512 VNNI, and so are
/// products with few rows. The operating system lends the tile registers on request (cpu.hpp asks once a process); they
/// are given back at the end of each call.
#pragma once

#include "quell/kernels/avx512vnni.hpp"

#if QUELL_ARCH_X86_64
QUELL_AVX512_BEGIN
QUELL_TARGET_BEGIN("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8")
namespace quell::kernels {
inline namespace QUELL_BASELINE {
namespace amx {

using avx512vnni::int_piece;
using avx512vnni::line_share;

inline constexpr std::size_t tile_rows = 16;
inline constexpr std::size_t block_rows = 2 * tile_rows;  ///< two tiles of activations times two panels: four sums

/// Below this many rows of codes the tiles would run too empty.
inline constexpr std::size_t least_rows = 12;

/// Sums stand in tiles 0 ... 3, activations in 4 and 5, weights in 6 and 7.
struct alignas(64) tile_config {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t column_bytes[16] = {};
    std::uint8_t rows[16] = {};

    /// For `count` rows of activations, `depth` k a step.
    tile_config(std::size_t count, std::size_t depth) {
        const std::size_t upper = count < tile_rows ? count : tile_rows;
        const std::size_t lower = count - upper > 0 ? count - upper : 1;
        const std::size_t heights[8] = {upper, upper, lower, lower, upper, lower, depth / 4, depth / 4};
        for (std::size_t i = 0; i < 8; ++i) {
            rows[i] = static_cast<std::uint8_t>(heights[i]);
            column_bytes[i] = static_cast<std::uint16_t>(i == 4 || i == 5 ? depth : 64);
        }
    }
};

/// What a block of 32 rows times two panels is made of. Where there are at most 16 rows the lower tiles have one, which
/// repeats the last; where there is one panel it is read twice. The sums of what is repeated are never read.
struct tile_block {
    const std::int8_t* upper;
    const std::int8_t* lower;
    std::size_t lda;
    const std::byte* w[2];
    const std::byte* next[2];  ///< codes of the next piece
    std::size_t next_chunk;    ///< their bytes for 32 k
    line_share share;
};

/// The two products of a pair of tiles. Tile numbers are immediates, hence one function for each pair.
template <bool Signed>
QUELL_ALWAYS_INLINE void multiply_left() {
    if constexpr (Signed) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(2, 5, 6);
    } else {
        _tile_dpbsud(0, 4, 6);
        _tile_dpbsud(2, 5, 6);
    }
}
template <bool Signed>
QUELL_ALWAYS_INLINE void multiply_right() {
    if constexpr (Signed) {
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(3, 5, 7);
    } else {
        _tile_dpbsud(1, 4, 7);
        _tile_dpbsud(3, 5, 7);
    }
}

/// Adds the products of k ... k + length, Depth k a step. Weights are signed bytes, or unsigned ones.
template <bool Signed, std::size_t Depth>
QUELL_ALWAYS_INLINE void add_tiles(const tile_block& b, std::size_t k, std::size_t length) {
    const auto lda = static_cast<std::ptrdiff_t>(b.lda);
    for (const std::size_t end = k + length; k < end; k += Depth) {
        _tile_loadd(4, b.upper + k, lda);
        _tile_loadd(6, b.w[0] + k * panel_rows, 64);
        _tile_loadd(5, b.lower + k, lda);
        multiply_left<Signed>();
        _tile_loadd(7, b.w[1] + k * panel_rows, 64);
        multiply_right<Signed>();
        for (std::size_t chunk = k / k_chunk; chunk < (k + Depth) / k_chunk; ++chunk) {
            b.share.fetch(b.next[0] + chunk * b.next_chunk);
            b.share.fetch(b.next[1] + chunk * b.next_chunk);
        }
    }
}

QUELL_ALWAYS_INLINE void zero_tiles() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}
/// Sums to rows of 64 bytes, those of the right panel `right` bytes further.
QUELL_ALWAYS_INLINE void store_tiles(std::byte* left, std::size_t right) {
    _tile_stored(0, left, 64);
    _tile_stored(1, left + right, 64);
    _tile_stored(2, left + tile_rows * 64, 64);
    _tile_stored(3, left + right + tile_rows * 64, 64);
}
QUELL_ALWAYS_INLINE void load_tiles(const std::byte* left, std::size_t right) {
    _tile_loadd(0, left, 64);
    _tile_loadd(1, left + right, 64);
    _tile_loadd(2, left + tile_rows * 64, 64);
    _tile_loadd(3, left + right + tile_rows * 64, 64);
}

template <bool Signed, std::size_t Depth>
inline void multiply_groups(const int_piece& p, const tile_block& b, std::size_t row, std::size_t rows,
                            std::size_t column) {
    constexpr std::size_t right = block_rows * 64;
    alignas(64) std::byte dots[2 * right];
    const std::size_t group = p.group;
    for (std::size_t i = 0; i < p.groups; ++i) {
        const std::size_t left = p.length - i * group;
        zero_tiles();
        add_tiles<Signed, Depth>(b, i * group, left < group ? left : group);
        store_tiles(dots, right);
        for (std::size_t c = column; c < column + 2 && c < p.panels; ++c) {
            avx512vnni::add_group_sums(p, row, rows, c, i, dots + (c - column) * right);
        }
    }
}

template <bool Signed, std::size_t Depth>
inline void multiply_block(const int_piece& p, const tile_block& b, std::size_t row, std::size_t rows,
                           std::size_t column) {
    if (p.g.w.shape.group != 0) {
        return multiply_groups<Signed, Depth>(p, b, row, rows, column);
    }
    auto* sums = reinterpret_cast<std::byte*>(p.sums_of(column, row));
    const std::size_t right = p.max_rows * 64;
    load_tiles(sums, right);
    add_tiles<Signed, Depth>(b, 0, p.length);
    store_tiles(sums, right);
}

template <bool Signed, std::size_t Depth>
inline void multiply_as(const int_piece& p) {
    const std::size_t blocks = (p.rows + block_rows - 1) / block_rows;
    for (std::size_t column = 0; column < p.panels; column += 2) {
        const std::size_t second = column + 1 < p.panels ? column + 1 : column;
        for (std::size_t i = 0; i < blocks; ++i) {
            const std::size_t row = i * block_rows;
            const std::size_t rows = p.rows - row < block_rows ? p.rows - row : block_rows;
            if (i == 0 || rows < block_rows) {
                const tile_config config(rows, Depth);
                _tile_loadconfig(&config);
            }
            const std::int8_t* a = p.g.a + (p.row + row) * p.g.lda + p.k;
            const tile_block block = {
                a,
                a + (rows > tile_rows ? tile_rows : rows - 1) * p.g.lda,
                p.g.lda,
                {p.codes + column * p.codes_stride, p.codes + second * p.codes_stride},
                {p.panel_of(column) + p.next_at, p.panel_of(second) + p.next_at},
                p.g.w.shape.code_bytes(k_chunk),
                line_share(p, i, blocks),
            };
            multiply_block<Signed, Depth>(p, block, row, rows, column);
        }
    }
}

/// The tiles' way with a piece whose codes are bytes.
struct engine {
    static constexpr std::size_t max_rows = 256;
    static constexpr std::size_t row_step = block_rows;
    static constexpr int added = 0;

    static void multiply(const int_piece& p) {
        const bool is_signed = p.g.w.shape.format == panel_format::w8;
        if (p.g.w.shape.group % 64 == 0) {
            is_signed ? multiply_as<true, 64>(p) : multiply_as<false, 64>(p);
        } else {
            is_signed ? multiply_as<true, 32>(p) : multiply_as<false, 32>(p);
        }
    }
};

inline void gemm(const gemm_args& g, std::size_t panel_begin, std::size_t panel_end) {
    const std::size_t rows = g.a_bits == 16 ? 2 * g.m : g.m;
    if (rows < least_rows) {
        return avx512vnni::gemm(g, panel_begin, panel_end);
    }
    avx512vnni::check(g, panel_end);
    avx512vnni::gemm_blocks<engine>(g, rows, panel_begin, panel_end);
    _tile_release();
}

inline constexpr kernel_table table = with_gemm(avx512vnni::table, isa::amx, &gemm, block_rows);

}  // namespace amx
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
QUELL_TARGET_END
QUELL_AVX512_END
#endif
