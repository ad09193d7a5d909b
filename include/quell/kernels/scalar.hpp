// SPDX-License-Identifier: MIT
/// @file
/// The primitives in plain C++, a panel's 16 columns at a time: the fallback of every machine and what the other levels
/// are compared with. The kernels themselves are the shared texts at the end.
#pragma once

#include "quell/core/types.hpp"
#include "quell/kernels/table.hpp"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace quell::kernels {
inline namespace QUELL_BASELINE {
namespace scalar {

inline constexpr isa level = isa::scalar;
inline constexpr std::size_t lanes = 16;
inline constexpr int gemm_rows = 1;
inline constexpr int group_rows = 1;
inline constexpr std::size_t block_rows = 96;
inline constexpr std::size_t tile_columns = 1;
inline constexpr int direct_rows = 1;
inline constexpr std::size_t direct_columns = 1;
inline constexpr int f32_rows = 1;
inline constexpr std::size_t f32_columns = 1;
inline constexpr int f64_rows = 4;
inline constexpr int added_to_w8 = 0;
inline constexpr int chains = 1;

struct vec_f32 {
    float v[lanes];
};
struct vec_i32 {
    std::int32_t v[lanes];
};
/// Four activation codes that meet four weight codes of every column.
struct code_quad {
    std::int8_t v[4];
};
struct w8_step {
    const std::int8_t* codes;
};
/// Unsigned codes of one byte or less.
struct code_bytes {
    std::uint8_t v[4 * lanes];
};
using vec_pairs = vec_i32;

// f(0) ... f(lanes - 1), collected into a vector.
template <typename Vector, typename F>
QUELL_ALWAYS_INLINE Vector each_lane(F f) {
    Vector r;
    for (std::size_t i = 0; i < lanes; ++i) {
        r.v[i] = f(i);
    }
    return r;
}

template <typename F>
QUELL_ALWAYS_INLINE code_bytes each_byte(F f) {
    code_bytes r;
    for (std::size_t i = 0; i < 4 * lanes; ++i) {
        r.v[i] = static_cast<std::uint8_t>(f(i));
    }
    return r;
}

inline constexpr std::size_t lanes_f64 = 1;
struct vec_f64 {
    double v;
};
QUELL_ALWAYS_INLINE vec_f64 set_f64(double a) {
    return {a};
}
QUELL_ALWAYS_INLINE vec_f64 load(const double* p) {
    return {*p};
}
QUELL_ALWAYS_INLINE void store(double* p, vec_f64 a) {
    *p = a.v;
}
QUELL_ALWAYS_INLINE vec_f64 minus_product(vec_f64 c, vec_f64 a, vec_f64 b) {
    const double product = a.v * b.v;
    return {c.v - std::bit_cast<double>(std::bit_cast<std::uint64_t>(product) & ~std::uint64_t{1})};
}

QUELL_ALWAYS_INLINE vec_f32 zero_f32() {
    return {};
}
QUELL_ALWAYS_INLINE vec_i32 zero_i32() {
    return {};
}
QUELL_ALWAYS_INLINE vec_f32 set_f32(float a) {
    return each_lane<vec_f32>([&](std::size_t) { return a; });
}
QUELL_ALWAYS_INLINE vec_i32 set_i32(std::int32_t a) {
    return each_lane<vec_i32>([&](std::size_t) { return a; });
}
QUELL_ALWAYS_INLINE vec_f32 load(const float* p) {
    return each_lane<vec_f32>([&](std::size_t i) { return p[i]; });
}
QUELL_ALWAYS_INLINE void store(float* p, vec_f32 a) {
    std::memcpy(p, a.v, sizeof(a.v));
}
QUELL_ALWAYS_INLINE vec_f32 load_f32(const std::byte* p) {
    vec_f32 r;
    std::memcpy(r.v, p, sizeof(r.v));
    return r;
}
QUELL_ALWAYS_INLINE vec_f32 load_f16(const std::byte* p) {
    f16 halves[lanes];
    std::memcpy(halves, p, sizeof(halves));
    return each_lane<vec_f32>([&](std::size_t i) { return to_f32(halves[i]); });
}
QUELL_ALWAYS_INLINE vec_i32 load_i32(const std::byte* p) {
    vec_i32 r;
    std::memcpy(r.v, p, sizeof(r.v));
    return r;
}
QUELL_ALWAYS_INLINE void store_i32(std::byte* p, vec_i32 a) {
    std::memcpy(p, a.v, sizeof(a.v));
}
QUELL_ALWAYS_INLINE vec_i32 load_i8(const std::byte* p) {
    return each_lane<vec_i32>([&](std::size_t i) { return static_cast<std::int32_t>(static_cast<std::int8_t>(p[i])); });
}
QUELL_ALWAYS_INLINE vec_f32 add(vec_f32 a, vec_f32 b) {
    return each_lane<vec_f32>([&](std::size_t i) { return a.v[i] + b.v[i]; });
}
QUELL_ALWAYS_INLINE vec_f32 sub(vec_f32 a, vec_f32 b) {
    return each_lane<vec_f32>([&](std::size_t i) { return a.v[i] - b.v[i]; });
}
QUELL_ALWAYS_INLINE vec_f32 mul(vec_f32 a, vec_f32 b) {
    return each_lane<vec_f32>([&](std::size_t i) { return a.v[i] * b.v[i]; });
}
/// A product as it is: no compiler may contract it with a sum that follows.
QUELL_ALWAYS_INLINE vec_f32 rounded(vec_f32 a) {
#if defined(__GNUC__)
    __asm__("" : "+m"(a.v));
#endif
    return a;
}
/// a + b and a - b of lanes Stride apart, each in its place.
template <std::size_t Stride>
QUELL_ALWAYS_INLINE vec_f32 butterfly(vec_f32 a) {
    return each_lane<vec_f32>(
        [&](std::size_t i) { return (i & Stride) == 0 ? a.v[i] + a.v[i ^ Stride] : a.v[i ^ Stride] - a.v[i]; });
}
QUELL_ALWAYS_INLINE vec_f32 max(vec_f32 a, vec_f32 b) {
    return each_lane<vec_f32>([&](std::size_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
QUELL_ALWAYS_INLINE vec_f32 min(vec_f32 a, vec_f32 b) {
    return each_lane<vec_f32>([&](std::size_t i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
QUELL_ALWAYS_INLINE vec_f32 fma(vec_f32 a, vec_f32 b, vec_f32 c) {
    return each_lane<vec_f32>([&](std::size_t i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
}
QUELL_ALWAYS_INLINE vec_i32 add(vec_i32 a, vec_i32 b) {
    return each_lane<vec_i32>([&](std::size_t i) { return a.v[i] + b.v[i]; });
}
QUELL_ALWAYS_INLINE vec_i32 sub(vec_i32 a, vec_i32 b) {
    return each_lane<vec_i32>([&](std::size_t i) { return a.v[i] - b.v[i]; });
}
QUELL_ALWAYS_INLINE vec_i32 mul(vec_i32 a, vec_i32 b) {
    return each_lane<vec_i32>([&](std::size_t i) { return a.v[i] * b.v[i]; });
}
QUELL_ALWAYS_INLINE vec_f32 to_f32(vec_i32 a) {
    return each_lane<vec_f32>([&](std::size_t i) { return static_cast<float>(a.v[i]); });
}
/// |a|, and 0 for NaN and the infinities.
QUELL_ALWAYS_INLINE vec_f32 finite_magnitude(vec_f32 a) {
    return each_lane<vec_f32>([&](std::size_t i) { return std::isfinite(a.v[i]) ? std::fabs(a.v[i]) : 0.0F; });
}
QUELL_ALWAYS_INLINE float largest(vec_f32 a) {
    float m = a.v[0];
    for (const float v : a.v) {
        m = v > m ? v : m;
    }
    return m;
}
QUELL_ALWAYS_INLINE std::int32_t total(vec_i32 a) {
    std::int32_t sum = 0;
    for (const std::int32_t v : a.v) {
        sum += v;
    }
    return sum;
}
/// Half to even after the clamp; NaN becomes 0.
QUELL_ALWAYS_INLINE vec_i32 to_codes(vec_f32 a, vec_f32 low, vec_f32 high) {
    return each_lane<vec_i32>([&](std::size_t i) {
        const float v = std::isnan(a.v[i]) ? 0.0F : a.v[i];
        const float above = v > low.v[i] ? v : low.v[i];
        return static_cast<std::int32_t>(std::nearbyint(above < high.v[i] ? above : high.v[i]));
    });
}
/// 32 codes as bytes.
QUELL_ALWAYS_INLINE void store_codes(std::int8_t* p, const vec_i32 (&codes)[k_chunk / lanes]) {
    for (std::size_t i = 0; i < k_chunk; ++i) {
        p[i] = static_cast<std::int8_t>(codes[i / lanes].v[i % lanes]);
    }
}

QUELL_ALWAYS_INLINE code_quad load_quad(const std::int8_t* a) {
    return {{a[0], a[1], a[2], a[3]}};
}
/// Four k of `lanes` rows.
QUELL_ALWAYS_INLINE w8_step load_w8(const std::byte* p) {
    return {reinterpret_cast<const std::int8_t*>(p)};
}
QUELL_ALWAYS_INLINE vec_i32 dot_w8(vec_i32 sum, w8_step w, code_quad a) {
    return each_lane<vec_i32>([&](std::size_t i) {
        const std::int8_t* c = w.codes + 4 * i;
        return sum.v[i] + c[0] * a.v[0] + c[1] * a.v[1] + c[2] * a.v[2] + c[3] * a.v[3];
    });
}
QUELL_ALWAYS_INLINE code_bytes load_bytes(const std::byte* p) {
    code_bytes r;
    std::memcpy(r.v, p, sizeof(r.v));
    return r;
}
QUELL_ALWAYS_INLINE void store_bytes(std::byte* p, const code_bytes& a) {
    std::memcpy(p, a.v, sizeof(a.v));
}
QUELL_ALWAYS_INLINE code_bytes plus_128(const code_bytes& a) {
    return each_byte([&](std::size_t i) { return a.v[i] ^ 128U; });
}
QUELL_ALWAYS_INLINE code_bytes either(const code_bytes& a, const code_bytes& b) {
    return each_byte([&](std::size_t i) { return static_cast<unsigned>(a.v[i] | b.v[i]); });
}
/// Every byte shifted right, or left where `right` is negative, then cut to the mask.
QUELL_ALWAYS_INLINE code_bytes shifted(const code_bytes& a, int right, int mask) {
    return each_byte([&](std::size_t i) {
        const unsigned moved = right >= 0 ? unsigned{a.v[i]} >> right : unsigned{a.v[i]} << -right;
        return moved & static_cast<unsigned>(mask);
    });
}
QUELL_ALWAYS_INLINE vec_pairs dot_unsigned(vec_pairs sum, const code_bytes& codes, code_quad a) {
    return each_lane<vec_pairs>([&](std::size_t i) {
        const std::uint8_t* c = codes.v + 4 * i;
        return sum.v[i] + c[0] * a.v[0] + c[1] * a.v[1] + c[2] * a.v[2] + c[3] * a.v[3];
    });
}
QUELL_ALWAYS_INLINE vec_i32 widen(vec_pairs a) {
    return a;
}
QUELL_ALWAYS_INLINE void prefetch(const std::byte*, std::size_t) {}
QUELL_ALWAYS_INLINE void prefetch_line(const std::byte*) {}

#define QUELL_DETAIL_UNROLL
#include "quell/kernels/detail/kernels.inc"
#undef QUELL_DETAIL_UNROLL

}  // namespace scalar
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
