// SPDX-License-Identifier: MIT
/// @file
/// How the element types of tensor files become floats, one struct a type: `elems` elements in `bytes` bytes. The
/// loops are plain so that compilers vectorize them without flags. Every product is exact in a float or is the one
/// rounded operation, so that contraction to fused multiply-adds changes no bit.
/// Source: the GGUF specification and its reference decoders; layouts after Q6_K's `d` last, all others first.
#pragma once

#include "quell/core/types.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace quell::io {
inline namespace QUELL_BASELINE {
namespace detail {

template <typename T>
[[nodiscard]] QUELL_ALWAYS_INLINE T load(const std::byte* from) {
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
}

[[nodiscard]] QUELL_ALWAYS_INLINE float load_half(const std::byte* from) {
    return to_f32(f16{load<std::uint16_t>(from)});
}

template <std::size_t Count>
using codes = std::array<std::uint8_t, Count>;

/// Splits bytes into `out` = low nibbles, then high nibbles.
template <std::size_t Count>
QUELL_ALWAYS_INLINE void split_nibbles(const std::byte* from, std::uint8_t* out) {
    const auto packed = load<codes<Count>>(from);
    for (std::size_t i = 0; i < Count; ++i) {
        out[i] = packed[i] & 15U;
    }
    for (std::size_t i = 0; i < Count; ++i) {
        out[Count + i] = packed[i] >> 4U;
    }
}

/// Adds 16 to element i where bit i of the four bytes is set, eight elements at a time: each byte of `spread` keeps one
/// bit of the eight, and adding 127 carries whatever bit it is to the top.
QUELL_ALWAYS_INLINE void add_fifth_bits(const std::byte* from, codes<32>& q) {
    for (std::size_t byte = 0; byte < 4; ++byte) {
        const std::uint64_t spread = (load<std::uint8_t>(from + byte) * 0x0101010101010101U) & 0x8040201008040201U;
        const std::uint64_t sixteens = ((spread + 0x7f7f7f7f7f7f7f7fU) & 0x8080808080808080U) >> 3U;
        std::uint64_t eight = 0;
        std::memcpy(&eight, q.data() + 8 * byte, sizeof(eight));
        eight += sixteens;
        std::memcpy(q.data() + 8 * byte, &eight, sizeof(eight));
    }
}

/// out = scale * (q - zero)
template <std::size_t Count>
QUELL_ALWAYS_INLINE void scale_codes(const codes<Count>& q, float scale, int zero, float* out) {
    for (std::size_t i = 0; i < Count; ++i) {
        out[i] = scale * static_cast<float>(int{q[i]} - zero);
    }
}

/// out = scale * q + shift; scale * q is exact.
template <std::size_t Count>
QUELL_ALWAYS_INLINE void scale_codes(const codes<Count>& q, float scale, float shift, float* out) {
    for (std::size_t i = 0; i < Count; ++i) {
        out[i] = scale * static_cast<float>(q[i]) + shift;
    }
}

struct f32_format {
    static constexpr dtype type = dtype::f32;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) { *out = load<float>(block); }
};

struct f16_format {
    static constexpr dtype type = dtype::f16;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) { *out = load_half(block); }
};

struct bf16_format {
    static constexpr dtype type = dtype::bf16;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) {
        *out = to_f32(bf16{load<std::uint16_t>(block)});
    }
};

struct f64_format {
    static constexpr dtype type = dtype::f64;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) {
        *out = static_cast<float>(load<double>(block));
    }
};

/// d, qs[16]: d (q - 8)
struct q4_0_format {
    static constexpr dtype type = dtype::q4_0;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) {
        codes<32> q;
        split_nibbles<16>(block + 2, q.data());
        scale_codes(q, load_half(block), 8, out);
    }
};

/// d, m, qs[16]: d q + m
struct q4_1_format {
    static constexpr dtype type = dtype::q4_1;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) {
        codes<32> q;
        split_nibbles<16>(block + 4, q.data());
        scale_codes(q, load_half(block), load_half(block + 2), out);
    }
};

/// d, qh[4], qs[16]: d (q - 16)
struct q5_0_format {
    static constexpr dtype type = dtype::q5_0;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) {
        codes<32> q;
        split_nibbles<16>(block + 6, q.data());
        add_fifth_bits(block + 2, q);
        scale_codes(q, load_half(block), 16, out);
    }
};

/// d, m, qh[4], qs[16]: d q + m
struct q5_1_format {
    static constexpr dtype type = dtype::q5_1;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) {
        codes<32> q;
        split_nibbles<16>(block + 8, q.data());
        add_fifth_bits(block + 4, q);
        scale_codes(q, load_half(block), load_half(block + 2), out);
    }
};

/// d, int8 qs[32]: d q
struct q8_0_format {
    static constexpr dtype type = dtype::q8_0;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) {
        const float scale = load_half(block);
        const auto q = load<std::array<std::int8_t, 32>>(block + 2);
        for (std::size_t i = 0; i < q.size(); ++i) {
            out[i] = scale * static_cast<float>(q[i]);
        }
    }
};

/// The 6-bit scales and minimums of the eight sub-blocks of Q4_K and Q5_K, unpacked from 12 bytes.
struct k_scales {
    std::array<std::uint8_t, 8> scale;
    std::array<std::uint8_t, 8> minimum;

    QUELL_ALWAYS_INLINE explicit k_scales(const std::byte* from) {
        const auto s = load<codes<12>>(from);
        for (std::size_t j = 0; j < 4; ++j) {
            scale[j] = s[j] & 63U;
            minimum[j] = s[j + 4] & 63U;
            scale[j + 4] = static_cast<std::uint8_t>((s[j + 8] & 15U) + 16U * (s[j] >> 6U));
            minimum[j + 4] = static_cast<std::uint8_t>((s[j + 8] >> 4U) + 16U * (s[j + 4] >> 6U));
        }
    }
};

/// d, dmin, scales[12], qs[128]: d scale q - dmin minimum, in sub-blocks of 32
struct q4_k_format {
    static constexpr dtype type = dtype::q4_k;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) {
        const float d = load_half(block);
        const float dmin = load_half(block + 2);
        const k_scales sub(block + 4);
        for (std::size_t pair = 0; pair < 4; ++pair) {
            std::array<codes<32>, 2> q;
            split_nibbles<32>(block + 16 + 32 * pair, q[0].data());
            for (std::size_t half = 0; half < 2; ++half) {
                const std::size_t j = 2 * pair + half;
                scale_codes(q[half], d * static_cast<float>(sub.scale[j]), -dmin * static_cast<float>(sub.minimum[j]),
                            out + 32 * j);
            }
        }
    }
};

/// d, dmin, scales[12], qh[32], qs[128]: as Q4_K, with bit j of qh[i] the fifth bit of element i of sub-block j
struct q5_k_format {
    static constexpr dtype type = dtype::q5_k;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) {
        const float d = load_half(block);
        const float dmin = load_half(block + 2);
        const k_scales sub(block + 4);
        const auto high = load<codes<32>>(block + 16);
        for (std::size_t pair = 0; pair < 4; ++pair) {
            std::array<codes<32>, 2> q;
            split_nibbles<32>(block + 48 + 32 * pair, q[0].data());
            for (std::size_t half = 0; half < 2; ++half) {
                const std::size_t j = 2 * pair + half;
                for (std::size_t i = 0; i < 32; ++i) {
                    q[half][i] = static_cast<std::uint8_t>(q[half][i] + 16U * ((high[i] >> j) & 1U));
                }
                scale_codes(q[half], d * static_cast<float>(sub.scale[j]), -dmin * static_cast<float>(sub.minimum[j]),
                            out + 32 * j);
            }
        }
    }
};

/// ql[128], qh[64], int8 scales[16], d: (d scale) (q - 32), in two halves of four runs of 32, a scale every 16
struct q6_k_format {
    static constexpr dtype type = dtype::q6_k;
    QUELL_ALWAYS_INLINE static void decode(const std::byte* block, float* out) {
        const float d = load_half(block + 208);
        for (std::size_t half = 0; half < 2; ++half) {
            codes<128> q;  // the runs 0 to 3 of the half: low nibbles of 64 bytes, then their high nibbles
            split_nibbles<64>(block + 64 * half, q.data());
            const auto high = load<codes<32>>(block + 128 + 32 * half);
            const auto scales = load<std::array<std::int8_t, 8>>(block + 192 + 8 * half);
            for (std::size_t run = 0; run < 4; ++run) {
                for (std::size_t part = 0; part < 2; ++part) {
                    const std::size_t first = 32 * run + 16 * part;
                    codes<16> code;
                    for (std::size_t i = 0; i < 16; ++i) {
                        const unsigned top = (high[16 * part + i] >> (2 * run)) & 3U;
                        code[i] = static_cast<std::uint8_t>(q[first + i] + 16U * top);
                    }
                    scale_codes(code, d * static_cast<float>(scales[first / 16]), 32, out + 128 * half + first);
                }
            }
        }
    }
};

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::io
