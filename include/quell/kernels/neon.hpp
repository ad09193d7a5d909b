// SPDX-License-Identifier: MIT
/// @file
/// NEON as every 64-bit Arm processor has it: products of bytes to 16 bits. The bounds that keep their sums there stand
/// at the two dot products.
#pragma once

#include "quell/core/types.hpp"
#include "quell/kernels/table.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if QUELL_ARCH_AARCH64
#include <arm_neon.h>

namespace quell::kernels {
inline namespace QUELL_BASELINE {
namespace neon {

inline constexpr isa level = isa::neon;
inline constexpr std::size_t lanes = 4;
inline constexpr int gemm_rows = 4;
inline constexpr int group_rows = 4;
inline constexpr std::size_t block_rows = 96;
inline constexpr std::size_t tile_columns = 2;
inline constexpr int direct_rows = 4;
inline constexpr std::size_t direct_columns = 2;
inline constexpr int f32_rows = 6;
inline constexpr std::size_t f32_columns = 4;
inline constexpr int f64_rows = 4;
inline constexpr int added_to_w8 = 0;
inline constexpr int chains = 1;  ///< sums that must be under way at once to hide the latency of a dot product

#include "quell/kernels/detail/neon_vectors.inc"

/// Four activation codes, in every lane.
struct code_quad {
    int8x16_t v;
};
/// Products summed in 16 bits, each k by itself: of two columns and of the other two.
struct vec_pairs {
    int16x8_t low;
    int16x8_t high;
};

QUELL_ALWAYS_INLINE code_quad load_quad(const std::int8_t* a) {
    return {vreinterpretq_s8_u32(vdupq_n_u32(load_word(a)))};
}
/// Bound: the sum of two products, 2 * 128 * 127 = 32512, fits 16 bits, as no activation is -128.
QUELL_ALWAYS_INLINE vec_i32 dot_w8(vec_i32 sum, w8_step w, code_quad a) {
    const int16x8_t low = vmull_s8(vget_low_s8(w.v), vget_low_s8(a.v));
    return {vpadalq_s16(sum.v, vpaddq_s16(low, vmull_high_s8(w.v, a.v)))};
}
/// Adds codes times activations. A chunk of 32 k makes eight such sums. Bound: 8 * 15 * 127 = 15240 fits 16 bits, and
/// so does the sum of two of them in widen().
QUELL_ALWAYS_INLINE vec_pairs dot_unsigned(vec_pairs sum, code_bytes codes, code_quad a) {
    const int8x16_t w = vreinterpretq_s8_u8(codes.v);
    return {vmlal_s8(sum.low, vget_low_s8(w), vget_low_s8(a.v)), vmlal_high_s8(sum.high, w, a.v)};
}
QUELL_ALWAYS_INLINE vec_i32 widen(vec_pairs a) {
    return {vpaddlq_s16(vpaddq_s16(a.low, a.high))};
}

#define QUELL_DETAIL_UNROLL QUELL_UNROLL
#include "quell/kernels/detail/kernels.inc"
#undef QUELL_DETAIL_UNROLL

}  // namespace neon
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
#endif
