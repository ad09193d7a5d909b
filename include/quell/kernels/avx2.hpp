// SPDX-License-Identifier: MIT
/// @file
/// The primitives for AVX2 with FMA and F16C. Eight columns a vector, two vectors a panel. The bounds that keep the
/// 16-bit sums of vpmaddubsw from saturating stand at the two dot products.
#pragma once

#include "quell/core/types.hpp"
#include "quell/kernels/table.hpp"

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
inline constexpr int w8a8_rows = 4;
inline constexpr int w4a8_rows = 4;
inline constexpr int f32_rows = 6;

struct vec_f32 {
    __m256 v;
};
struct vec_i32 {
    __m256i v;
};
/// Four activation codes, in every lane.
struct code_quad {
    __m256i v;
};
struct w8_step {
    __m256i codes;
    __m256i magnitudes;
};
/// Four k in the low nibbles, the four that are 16 further in the high ones.
struct w4_step {
    __m256i low;
    __m256i high;
};
/// Products summed in 16 bits.
struct vec_pairs {
    __m256i v;
};

QUELL_ALWAYS_INLINE __m256i load_bytes(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

/// The same sum, fixed at this place: compilers that reorder additions run out of registers and spill.
QUELL_ALWAYS_INLINE __m256i in_order(__m256i sum) {
#if defined(__GNUC__)
    __asm__("" : "+x"(sum));
#endif
    return sum;
}

QUELL_ALWAYS_INLINE vec_f32 zero_f32() {
    return {_mm256_setzero_ps()};
}
QUELL_ALWAYS_INLINE vec_i32 zero_i32() {
    return {_mm256_setzero_si256()};
}
QUELL_ALWAYS_INLINE vec_f32 set_f32(float a) {
    return {_mm256_set1_ps(a)};
}
QUELL_ALWAYS_INLINE vec_i32 set_i32(std::int32_t a) {
    return {_mm256_set1_epi32(a)};
}
QUELL_ALWAYS_INLINE vec_f32 load(const float* p) {
    return {_mm256_loadu_ps(p)};
}
QUELL_ALWAYS_INLINE void store(float* p, vec_f32 a) {
    _mm256_storeu_ps(p, a.v);
}
QUELL_ALWAYS_INLINE vec_f32 load_scales_f32(const std::byte* p) {
    return {_mm256_castsi256_ps(load_bytes(p))};
}
QUELL_ALWAYS_INLINE vec_f32 load_scales_f16(const std::byte* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
QUELL_ALWAYS_INLINE vec_f32 add(vec_f32 a, vec_f32 b) {
    return {_mm256_add_ps(a.v, b.v)};
}
QUELL_ALWAYS_INLINE vec_f32 mul(vec_f32 a, vec_f32 b) {
    return {_mm256_mul_ps(a.v, b.v)};
}
QUELL_ALWAYS_INLINE vec_f32 max(vec_f32 a, vec_f32 b) {
    return {_mm256_max_ps(a.v, b.v)};
}
QUELL_ALWAYS_INLINE vec_f32 fma(vec_f32 a, vec_f32 b, vec_f32 c) {
    return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
QUELL_ALWAYS_INLINE vec_i32 add(vec_i32 a, vec_i32 b) {
    return {_mm256_add_epi32(a.v, b.v)};
}
QUELL_ALWAYS_INLINE vec_i32 sub(vec_i32 a, vec_i32 b) {
    return {_mm256_sub_epi32(a.v, b.v)};
}
QUELL_ALWAYS_INLINE vec_f32 to_f32(vec_i32 a) {
    return {_mm256_cvtepi32_ps(a.v)};
}
/// |a|, and 0 for NaN and the infinities.
QUELL_ALWAYS_INLINE vec_f32 finite_magnitude(vec_f32 a) {
    const __m256 infinity = _mm256_castsi256_ps(_mm256_set1_epi32(0x7f800000));
    const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a.v);
    return {_mm256_and_ps(magnitude, _mm256_cmp_ps(magnitude, infinity, _CMP_LT_OQ))};
}
QUELL_ALWAYS_INLINE float largest(vec_f32 a) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
QUELL_ALWAYS_INLINE std::int32_t total(vec_i32 a) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
/// Half to even after the clamp; NaN becomes 0.
QUELL_ALWAYS_INLINE vec_i32 to_codes(vec_f32 a, vec_f32 low, vec_f32 high) {
    const __m256 number = _mm256_and_ps(a.v, _mm256_cmp_ps(a.v, a.v, _CMP_ORD_Q));
    return {_mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(number, low.v), high.v))};
}
/// 32 codes as bytes.
QUELL_ALWAYS_INLINE void store_codes(std::int8_t* p, const vec_i32 (&codes)[k_chunk / lanes]) {
    const __m256i words =
        _mm256_packs_epi16(_mm256_packs_epi32(codes[0].v, codes[1].v), _mm256_packs_epi32(codes[2].v, codes[3].v));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permutevar8x32_epi32(words, order));
}

QUELL_ALWAYS_INLINE __m256i broadcast_word(const std::int8_t* p) {
    std::int32_t word = 0;
    std::memcpy(&word, p, sizeof(word));
    return _mm256_set1_epi32(word);
}
QUELL_ALWAYS_INLINE code_quad load_quad(const std::int8_t* a) {
    return {broadcast_word(a)};
}
/// Four k of eight rows.
QUELL_ALWAYS_INLINE w8_step load_w8(const std::byte* p) {
    const __m256i codes = load_bytes(p);
    return {codes, _mm256_abs_epi8(codes)};
}
/// The weight's sign moves to the activation. Bound: 2 * 128 * 127 = 32512 fits 16 bits, as no activation is -128.
QUELL_ALWAYS_INLINE vec_i32 dot_w8(vec_i32 sum, const w8_step& w, code_quad a) {
    const __m256i pairs = _mm256_maddubs_epi16(w.magnitudes, _mm256_sign_epi8(a.v, w.codes));
    return {in_order(_mm256_add_epi32(sum.v, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))))};
}
QUELL_ALWAYS_INLINE w4_step load_w4(const std::byte* p) {
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i both = load_bytes(p);
    return {_mm256_and_si256(both, low), _mm256_and_si256(_mm256_srli_epi16(both, 4), low)};
}
QUELL_ALWAYS_INLINE vec_pairs zero_pairs() {
    return {_mm256_setzero_si256()};
}
/// Adds nibble times code. A chunk of 32 k makes eight such sums. Bound: 8 * 2 * 15 * 127 = 30480 fits 16 bits.
QUELL_ALWAYS_INLINE vec_pairs dot_w4(vec_pairs sum, __m256i nibbles, code_quad a) {
    return {in_order(_mm256_add_epi16(sum.v, _mm256_maddubs_epi16(nibbles, a.v)))};
}
QUELL_ALWAYS_INLINE vec_i32 widen(vec_pairs a) {
    return {_mm256_madd_epi16(a.v, _mm256_set1_epi16(1))};
}
/// 8 times the sum of a group's codes: what nibbles, which are codes + 8, count too much.
QUELL_ALWAYS_INLINE vec_i32 set_eightfold(const std::int32_t* p) {
    return {_mm256_slli_epi32(_mm256_set1_epi32(*p), 3)};
}
/// Asks for the bytes that a stream through memory needs soon.
QUELL_ALWAYS_INLINE void prefetch(const std::byte* p, std::size_t bytes) {
    constexpr std::size_t ahead = 2048;
    QUELL_UNROLL
    for (std::size_t i = 0; i < bytes; i += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(p) + ahead + i, _MM_HINT_T0);
    }
}

#define QUELL_DETAIL_UNROLL QUELL_UNROLL
#include "quell/kernels/detail/kernels.inc"
#undef QUELL_DETAIL_UNROLL

}  // namespace avx2
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
QUELL_TARGET_END
#endif
