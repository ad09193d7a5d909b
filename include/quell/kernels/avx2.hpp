// SPDX-License-Identifier: MIT
/// @file
/// The primitives for AVX2 with FMA and F16C. Eight columns a vector, two vectors a panel. The bounds that keep the
/// 16-bit sums of vpmaddubsw from saturating stand at the two dot products.
#pragma once

#include "quell/core/types.hpp"
#include "quell/kernels/table.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if QUELL_ARCH_X86_64
#include <immintrin.h>

QUELL_TARGET_BEGIN("avx2,fma,f16c,bmi,bmi2")
namespace quell::kernels {
inline namespace QUELL_BASELINE {
namespace avx2 {

inline constexpr isa level = isa::avx2;
inline constexpr std::size_t lanes = 8;
inline constexpr int gemm_rows = 4;
inline constexpr int group_rows = 4;
inline constexpr std::size_t block_rows = 96;
inline constexpr std::size_t tile_columns = 2;
inline constexpr int direct_rows = 4;
inline constexpr std::size_t direct_columns = 2;
inline constexpr int f32_rows = 6;
inline constexpr std::size_t f32_columns = 2;
inline constexpr int f64_rows = 5;
inline constexpr int added_to_w8 = 0;
inline constexpr int chains = 1;  ///< sums that must be under way at once to hide the latency of a dot product

#include "quell/kernels/detail/avx2_vectors.inc"

struct w8_step {
    __m256i codes;
    __m256i magnitudes;
};
/// Products summed in 16 bits.
struct vec_pairs {
    __m256i v;
};

/// Four k of eight rows.
QUELL_ALWAYS_INLINE w8_step load_w8(const std::byte* p) {
    const __m256i codes = load_256(p);
    return {codes, _mm256_abs_epi8(codes)};
}
/// The weight's sign moves to the activation. Bound: 2 * 128 * 127 = 32512 fits 16 bits, as no activation is -128.
QUELL_ALWAYS_INLINE vec_i32 dot_w8(vec_i32 sum, const w8_step& w, code_quad a) {
    const __m256i pairs = _mm256_maddubs_epi16(w.magnitudes, _mm256_sign_epi8(a.v, w.codes));
    return {in_order(_mm256_add_epi32(sum.v, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))))};
}
/// With activations of 7 bits, which take the unsigned operand. Bound: 2 * 127 * 128 = 32512.
QUELL_ALWAYS_INLINE vec_i32 dot_w8a7(vec_i32 sum, const w8_step& w, code_quad a) {
    const __m256i pairs = _mm256_maddubs_epi16(a.v, w.codes);
    return {in_order(_mm256_add_epi32(sum.v, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))))};
}
/// Adds codes times activations. A chunk of 32 k makes eight such sums. Bound: 8 * 2 * 15 * 127 = 30480 fits 16 bits.
QUELL_ALWAYS_INLINE vec_pairs dot_unsigned(vec_pairs sum, code_bytes codes, code_quad a) {
    return {in_order(_mm256_add_epi16(sum.v, _mm256_maddubs_epi16(codes.v, a.v)))};
}
QUELL_ALWAYS_INLINE vec_i32 widen(vec_pairs a) {
    return {_mm256_madd_epi16(a.v, _mm256_set1_epi16(1))};
}
#define QUELL_DETAIL_UNROLL QUELL_UNROLL
#include "quell/kernels/detail/kernels.inc"
#undef QUELL_DETAIL_UNROLL

}  // namespace avx2
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
QUELL_TARGET_END
#endif
