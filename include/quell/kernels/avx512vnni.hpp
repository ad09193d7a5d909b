// SPDX-License-Identifier: MIT
/// @file
/// AVX-512 with VNNI: one instruction adds four products of bytes in 32 bits. It wants one operand unsigned, so 8-bit
/// weights take 128 more, and the sums of the activations take it back.
#pragma once

#include "quell/core/types.hpp"
#include "quell/kernels/avx512.hpp"
#include "quell/kernels/table.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if QUELL_ARCH_X86_64
#include <immintrin.h>

QUELL_AVX512_BEGIN
QUELL_TARGET_BEGIN("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace quell::kernels {
inline namespace QUELL_BASELINE {
namespace avx512vnni {

inline constexpr isa level = isa::avx512vnni;
inline constexpr std::size_t lanes = 16;
inline constexpr int gemm_rows = 8;
inline constexpr int group_rows = 6;
inline constexpr std::size_t block_rows = 192;
inline constexpr std::size_t tile_columns = 2;
inline constexpr int direct_rows = 4;
inline constexpr std::size_t direct_columns = 1;
inline constexpr int chains = 8;  ///< sums that must be under way at once to hide the latency of a dot product

#include "quell/kernels/detail/avx512_vectors.inc"

/// Never saturates: the sum wraps, and what it stands for fits 32 bits.
QUELL_ALWAYS_INLINE vec_i32 dot_unsigned(vec_i32 sum, code_bytes codes, code_quad a) {
    return {_mm512_dpbusd_epi32(sum.v, codes.v, a.v)};
}

#include "quell/kernels/detail/vnni_codes.inc"

#define QUELL_DETAIL_UNROLL QUELL_UNROLL
#include "quell/kernels/detail/int_kernels.inc"
#undef QUELL_DETAIL_UNROLL

inline constexpr kernel_table table = with_gemm(avx512::table, level, &gemm, gemm_rows);

}  // namespace avx512vnni
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
QUELL_TARGET_END
QUELL_AVX512_END
#endif
