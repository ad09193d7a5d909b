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
inline constexpr std::size_t direct_columns = 1;
inline constexpr int chains = 4;  ///< sums that must be under way at once to hide the latency of a dot product

#include "quell/kernels/detail/avx2_vectors.inc"

/// Never saturates: the sum wraps, and what it stands for fits 32 bits.
QUELL_ALWAYS_INLINE vec_i32 dot_unsigned(vec_i32 sum, code_bytes codes, code_quad a) {
    return {_mm256_dpbusd_avx_epi32(sum.v, codes.v, a.v)};
}

#include "quell/kernels/detail/vnni_codes.inc"

#define QUELL_DETAIL_UNROLL QUELL_UNROLL
#include "quell/kernels/detail/int_kernels.inc"
#undef QUELL_DETAIL_UNROLL

inline constexpr kernel_table table = with_gemm(avx2::table, level, &gemm, gemm_rows);

}  // namespace avxvnni
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
QUELL_TARGET_END
#endif
