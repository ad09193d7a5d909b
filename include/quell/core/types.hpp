// SPDX-License-Identifier: MIT
/// @file
/// Element types of tensors, and the 16-bit floats as storage structs with exact conversions (round half to even). The
/// conversions are plain integer code: the same bits with and without F16C.
#pragma once

#include "quell/core/target.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace quell {
inline namespace QUELL_BASELINE {

/// Element types of safetensors and GGUF that quell reads. The `q…` ones are ggml's block formats.
enum class dtype : std::uint8_t {
    f32,
    f16,
    bf16,
    f64,
    i8,
    i16,
    i32,
    i64,
    u8,
    u16,
    u32,
    u64,
    boolean,
    q4_0,
    q4_1,
    q5_0,
    q5_1,
    q8_0,
    q4_k,
    q5_k,
    q6_k,
};

/// `elems` elements of a type take `bytes` bytes and cannot be cut.
struct dtype_traits {
    std::string_view name;
    std::size_t elems;
    std::size_t bytes;
};

[[nodiscard]] constexpr dtype_traits traits(dtype type) {
    switch (type) {
        case dtype::f32: return {"F32", 1, 4};
        case dtype::f16: return {"F16", 1, 2};
        case dtype::bf16: return {"BF16", 1, 2};
        case dtype::f64: return {"F64", 1, 8};
        case dtype::i8: return {"I8", 1, 1};
        case dtype::i16: return {"I16", 1, 2};
        case dtype::i32: return {"I32", 1, 4};
        case dtype::i64: return {"I64", 1, 8};
        case dtype::u8: return {"U8", 1, 1};
        case dtype::u16: return {"U16", 1, 2};
        case dtype::u32: return {"U32", 1, 4};
        case dtype::u64: return {"U64", 1, 8};
        case dtype::boolean: return {"BOOL", 1, 1};
        case dtype::q4_0: return {"Q4_0", 32, 18};
        case dtype::q4_1: return {"Q4_1", 32, 20};
        case dtype::q5_0: return {"Q5_0", 32, 22};
        case dtype::q5_1: return {"Q5_1", 32, 24};
        case dtype::q8_0: return {"Q8_0", 32, 34};
        case dtype::q4_k: return {"Q4_K", 256, 144};
        case dtype::q5_k: return {"Q5_K", 256, 176};
        case dtype::q6_k: return {"Q6_K", 256, 210};
    }
    return {"?", 1, 1};
}

struct bf16 {
    std::uint16_t bits = 0;
};

struct f16 {
    std::uint16_t bits = 0;
};

[[nodiscard]] QUELL_ALWAYS_INLINE float to_f32(bf16 v) {
    return std::bit_cast<float>(std::uint32_t{v.bits} << 16U);
}

[[nodiscard]] QUELL_ALWAYS_INLINE float to_f32(f16 v) {
    const std::uint32_t sign = (v.bits & 0x8000U) << 16U;
    std::uint32_t magnitude = (v.bits & 0x7fffU) << 13U;
    const std::uint32_t exponent = magnitude & 0x0f800000U;
    magnitude += 112U << 23U;
    if (exponent == 0x0f800000U) {  // infinity, or NaN, which becomes quiet
        magnitude += 112U << 23U;
        magnitude |= (magnitude & 0x007fffffU) != 0 ? 0x00400000U : 0U;
    } else if (exponent == 0) {  // zero or subnormal
        magnitude += 1U << 23U;
        magnitude = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) - 0x1p-14F);
    }
    return std::bit_cast<float>(sign | magnitude);
}

[[nodiscard]] QUELL_ALWAYS_INLINE bf16 to_bf16(float v) {
    const auto bits = std::bit_cast<std::uint32_t>(v);
    if ((bits & 0x7fffffffU) > 0x7f800000U) {
        return {static_cast<std::uint16_t>((bits >> 16U) | 0x40U)};
    }
    return {static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U)};
}

[[nodiscard]] QUELL_ALWAYS_INLINE f16 to_f16(float v) {
    const auto bits = std::bit_cast<std::uint32_t>(v);
    const std::uint32_t sign = (bits >> 16U) & 0x8000U;
    std::uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U) {
        return {static_cast<std::uint16_t>(sign | 0x7e00U | ((magnitude >> 13U) & 0x3ffU))};
    }
    if (magnitude >= 0x47800000U) {
        return {static_cast<std::uint16_t>(sign | 0x7c00U)};
    }
    if (magnitude < 0x38800000U) {  // a subnormal half: 0.5 has the spacing 2^-24, so the addition rounds
        const auto rounded = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F);
        return {static_cast<std::uint16_t>(sign | (rounded - 0x3f000000U))};
    }
    magnitude += 0xc8000fffU + ((magnitude >> 13U) & 1U);
    return {static_cast<std::uint16_t>(sign | (magnitude >> 13U))};
}

}  // namespace QUELL_BASELINE
}  // namespace quell
