// SPDX-License-Identifier: MIT
/// @file
/// Codes in the compiler's own vectors of 16 bytes, which gcc and clang have on every processor. A panel has the words
/// of its rows side by side: four rows are turned in registers and leave them in whole vectors.
#pragma once

#include "quell/core/target.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <span>

namespace quell::packing {
inline namespace QUELL_BASELINE {
namespace detail {

/// The same byte everywhere in a word.
template <typename Word>
[[nodiscard]] constexpr Word repeat(unsigned byte) {
    return static_cast<Word>(static_cast<Word>(-1) / 255U * byte);
}

#if defined(__GNUC__)

inline constexpr std::size_t rows_at_once = 4;

/// A word, four codes, of each of four rows.
struct row_words {
    std::uint32_t v __attribute__((vector_size(16)));

    friend row_words operator|(row_words a, row_words b) { return {a.v | b.v}; }
    friend row_words operator&(row_words a, std::uint32_t b) { return {a.v & b}; }
    friend row_words operator^(row_words a, std::uint32_t b) { return {a.v ^ b}; }
    friend row_words operator<<(row_words a, unsigned bits) { return {a.v << bits}; }
    friend row_words operator>>(row_words a, unsigned bits) { return {a.v >> bits}; }
    row_words& operator|=(row_words b) { return *this = *this | b; }
};

[[nodiscard]] inline row_words low_words(row_words a, row_words b) {
    return {__builtin_shufflevector(a.v, b.v, 0, 4, 1, 5)};
}
[[nodiscard]] inline row_words high_words(row_words a, row_words b) {
    return {__builtin_shufflevector(a.v, b.v, 2, 6, 3, 7)};
}
[[nodiscard]] inline row_words four_words(const std::int8_t* codes) {
    row_words words;
    std::memcpy(&words, codes, sizeof(words));
    return words;
}

/// Words 0 ... 3 of four rows, from those of each.
QUELL_ALWAYS_INLINE void turn(row_words a, row_words b, row_words c, row_words d, row_words* words) {
    const row_words low_ac = low_words(a, c);
    const row_words low_bd = low_words(b, d);
    const row_words high_ac = high_words(a, c);
    const row_words high_bd = high_words(b, d);
    words[0] = low_words(low_ac, low_bd);
    words[1] = high_words(low_ac, low_bd);
    words[2] = low_words(high_ac, high_bd);
    words[3] = high_words(high_ac, high_bd);
}

/// The words of 32 codes of four rows.
QUELL_ALWAYS_INLINE void load_words(const std::array<const std::int8_t*, 4>& rows, row_words (&words)[8]) {
    const auto [a, b, c, d] = rows;
    turn(four_words(a), four_words(b), four_words(c), four_words(d), words);
    turn(four_words(a + 16), four_words(b + 16), four_words(c + 16), four_words(d + 16), words + 4);
}

/// The sum of up to 256 codes, a multiple of 16: bytes, each 128 too large, are added in pairs in 16 bits.
[[nodiscard]] inline std::int32_t sum_of_block(std::span<const std::int8_t> codes) {
    using pairs = std::uint16_t __attribute__((vector_size(16)));
    pairs sums = {};
    for (std::size_t k = 0; k < codes.size(); k += sizeof(pairs)) {
        pairs bytes;
        std::memcpy(&bytes, codes.data() + k, sizeof(bytes));
        bytes ^= repeat<std::uint16_t>(128);
        sums += (bytes & 255U) + (bytes >> 8U);
    }
    std::array<std::uint64_t, 2> halves;
    std::memcpy(&halves, &sums, sizeof(sums));
    const std::uint64_t all = (halves[0] + halves[1]) * 0x0001000100010001U >> 48U;
    return static_cast<std::int32_t>(all) - 128 * static_cast<std::int32_t>(codes.size());
}

#else

inline constexpr std::size_t rows_at_once = 1;
using row_words = std::uint32_t;

[[nodiscard]] inline std::int32_t sum_of_block(std::span<const std::int8_t> codes) {
    return std::accumulate(codes.begin(), codes.end(), 0);
}

#endif

/// The words of 32 codes of one row.
QUELL_ALWAYS_INLINE void load_words(const std::array<const std::int8_t*, 1>& row, std::uint32_t (&words)[8]) {
    std::memcpy(words, row.front(), sizeof(words));
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::packing
