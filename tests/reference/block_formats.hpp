// SPDX-License-Identifier: MIT
/// @file
/// One element of an encoded tensor at a time, in double, straight from the formats' definitions. The result rounded
/// to float is what every decoder must give.
#pragma once

#include "quell/core/types.hpp"
#include "reference/small_float.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace reference {

class encoded_block {
public:
    explicit encoded_block(std::span<const std::byte> bytes) : bytes_(bytes) {}

    [[nodiscard]] unsigned byte(std::size_t at) const { return std::to_integer<unsigned>(bytes_[at]); }
    [[nodiscard]] int signed_byte(std::size_t at) const {
        return byte(at) < 128 ? static_cast<int>(byte(at)) : static_cast<int>(byte(at)) - 256;
    }
    [[nodiscard]] std::uint64_t little_endian(std::size_t at, std::size_t size) const {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; ++i) {
            value += std::uint64_t{byte(at + i)} << (8 * i);
        }
        return value;
    }
    [[nodiscard]] double half(std::size_t at) const {
        return value_of_bits(reference::half, static_cast<std::uint16_t>(little_endian(at, 2)));
    }
    /// Bit `bit` of the bytes from `at` on, lowest first.
    [[nodiscard]] unsigned bit(std::size_t at, std::size_t bit) const { return byte(at + bit / 8) >> (bit % 8) & 1U; }
    /// Element i of 32 in 16 bytes: the low nibbles come first.
    [[nodiscard]] unsigned nibble(std::size_t at, std::size_t i) const {
        return i < 16 ? byte(at + i) % 16 : byte(at + i - 16) / 16;
    }

private:
    std::span<const std::byte> bytes_;
};

/// The 6-bit scale (or minimum) of sub-block j of Q4_K and Q5_K; `at` is where the 12 bytes start.
inline unsigned k_scale(const encoded_block& block, std::size_t at, std::size_t j, bool minimum) {
    const std::size_t shift = minimum ? 4 : 0;
    if (j < 4) {
        return block.byte(at + j + shift) % 64;
    }
    const unsigned shared = block.byte(at + j + 4);
    return (minimum ? shared / 16 : shared % 16) + 16 * (block.byte(at + j - 4 + shift) / 64);
}

inline double q4_k_element(const encoded_block& block, std::size_t i, std::size_t nibbles, unsigned fifth_bit) {
    const std::size_t j = i / 32;
    const unsigned pair = block.byte(nibbles + 32 * (j / 2) + i % 32);
    const unsigned code = (j % 2 == 0 ? pair % 16 : pair / 16) + 16 * fifth_bit;
    return block.half(0) * k_scale(block, 4, j, false) * code - block.half(2) * k_scale(block, 4, j, true);
}

inline double q6_k_element(const encoded_block& block, std::size_t i) {
    const std::size_t part = i / 128;
    const std::size_t run = i % 128 / 32;
    const std::size_t l = i % 32;
    const unsigned low = block.byte(64 * part + l + (run % 2 == 1 ? 32 : 0));
    const unsigned nibble = run < 2 ? low % 16 : low / 16;
    const unsigned top = block.byte(128 + 32 * part + l) >> (2 * run) & 3U;
    const int scale = block.signed_byte(192 + 8 * part + l / 16 + 2 * run);
    return block.half(208) * scale * (static_cast<int>(nibble + 16 * top) - 32);
}

/// Element i of the block.
inline double element(quell::dtype type, const encoded_block& block, std::size_t i) {
    using quell::dtype;
    switch (type) {
        case dtype::f32: return std::bit_cast<float>(static_cast<std::uint32_t>(block.little_endian(0, 4)));
        case dtype::f16: return block.half(0);
        case dtype::bf16: return std::bit_cast<float>(static_cast<std::uint32_t>(block.little_endian(0, 2)) << 16U);
        case dtype::f64: return std::bit_cast<double>(block.little_endian(0, 8));
        case dtype::q4_0: return block.half(0) * (static_cast<int>(block.nibble(2, i)) - 8);
        case dtype::q4_1: return block.half(0) * block.nibble(4, i) + block.half(2);
        case dtype::q5_0: return block.half(0) * (static_cast<int>(block.nibble(6, i) + 16 * block.bit(2, i)) - 16);
        case dtype::q5_1: return block.half(0) * (block.nibble(8, i) + 16 * block.bit(4, i)) + block.half(2);
        case dtype::q8_0: return block.half(0) * block.signed_byte(2 + i);
        case dtype::q4_k: return q4_k_element(block, i, 16, 0);
        case dtype::q5_k: return q4_k_element(block, i, 48, block.byte(16 + i % 32) >> (i / 32) & 1U);
        case dtype::q6_k: return q6_k_element(block, i);
        default: return 0.0;
    }
}

}  // namespace reference
