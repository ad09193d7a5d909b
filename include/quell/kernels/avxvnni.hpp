// SPDX-License-Identifier: MIT
/// @file
/// AVX-VNNI: the vectors of AVX2, and one instruction that adds four products of bytes in 32 bits. It wants one operand
/// unsigned, so 8-bit weights take 128 more, and the sums of the activations take it back.
#pragma once

#include "quell/core/types.hpp"
#include "quell/kernels/avx2.hpp"
#include "quell/kernels/table.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if QUELL_ARCH_X86_64
#include <immintrin.h>

QUELL_TARGET_BEGIN("avx2,fma,f16c,bmi,bmi2,avxvnni")
namespace quell::kernels {
inline namespace QUELL_BASELINE {
namespace avxvnni {

inline constexpr isa level = isa::avxvnni;
inline constexpr std::size_t lanes = 8;
inline constexpr int gemm_rows = 4;
inline constexpr int group_rows = 4;
inline constexpr std::size_t block_rows = 96;
inline constexpr std::size_t tile_columns = 1;
inline constexpr int direct_rows = 4;
inline constexpr std::size_t direct_columns = 2;
inline constexpr int added_to_w8 = 128;
inline constexpr int chains = 4;  ///< sums that must be under way at once to hide the latency of a dot product

#include "quell/kernels/detail/avx2_vectors.inc"

using w8_step = code_bytes;
using vec_pairs = vec_i32;

/// Never saturates: the sum wraps, and what it stands for fits 32 bits.
QUELL_ALWAYS_INLINE vec_i32 dot_unsigned(vec_i32 sum, code_bytes codes, code_quad a) {
    return {_mm256_dpbusd_avx_epi32(sum.v, codes.v, a.v)};
}
QUELL_ALWAYS_INLINE vec_i32 widen(vec_i32 a) {
    return a;
}
QUELL_ALWAYS_INLINE code_bytes load_w8(const std::byte* p) {
    return plus_128(load_bytes(p));
}
QUELL_ALWAYS_INLINE vec_i32 dot_w8(vec_i32 sum, code_bytes codes, code_quad a) {
    return dot_unsigned(sum, codes, a);
}

#define QUELL_DETAIL_UNROLL QUELL_UNROLL
// clang-format off
#include "quell/kernels/detail/operands.inc"
#include "quell/kernels/detail/codes.inc"
#include "quell/kernels/detail/int_piece.inc"
#include "quell/kernels/detail/gemm_int.inc"
// clang-format on
#undef QUELL_DETAIL_UNROLL

inline constexpr kernel_table table = with_gemm(avx2::table, level, &gemm, gemm_rows);

}  // namespace avxvnni
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
QUELL_TARGET_END
#endif
