// SPDX-License-Identifier: MIT
/// @file
/// The codes of a panel. A chunk is 32 k of one row; its codes of b bits are b words, one in each of b runs of 64
/// bytes, and a byte of a word carries 8/b k. One rule for 8, 4, 2 and 1 bits; 3 bits are a chunk of 2 and one of 1.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/panels.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>

namespace quell::packing {
inline namespace QUELL_BASELINE {
namespace detail {

using kernels::k_chunk;
using kernels::panel_format;
using kernels::panel_rows;
using kernels::panel_shape;

inline constexpr std::size_t run_bytes = 4 * panel_rows;

/// A chunk of one row; and as words of four codes each, of one row or, in 64 bits, of two rows side by side.
using chunk_codes = std::array<std::int8_t, k_chunk>;
template <typename Word>
using chunk_words = std::array<Word, k_chunk / 4>;

/// The same byte everywhere in a word.
template <typename Word>
[[nodiscard]] constexpr Word repeat(unsigned byte) {
    return std::numeric_limits<Word>::max() / 255U * byte;
}

/// Calls f with the integer format as a compile-time constant.
template <typename F>
void with_format(panel_format format, const F& f) {
    switch (format) {
        case panel_format::f32: return;
        case panel_format::w8: return f(std::integral_constant<panel_format, panel_format::w8>());
        case panel_format::w4: return f(std::integral_constant<panel_format, panel_format::w4>());
        case panel_format::w3: return f(std::integral_constant<panel_format, panel_format::w3>());
        case panel_format::w2: return f(std::integral_constant<panel_format, panel_format::w2>());
        case panel_format::w1: return f(std::integral_constant<panel_format, panel_format::w1>());
    }
}

/// What a field of the panels holds above its code, so that fields of fewer than 8 bits begin with 0. Codes of 5 to 7
/// bits take fields of 8.
[[nodiscard]] constexpr unsigned field_offset(const scheme& form) {
    return form.bits > 4 ? 0U : static_cast<unsigned>(-codes_of(form).low);
}

template <unsigned Bits, typename Word>
void put_bits(const chunk_words<Word>& words, std::byte* column) {
    for (unsigned r = 0; r < Bits; ++r) {
        Word run = 0;
        for (unsigned at = 0; at < 8; at += Bits) {
            run |= words[r + at] << at;
        }
        std::memcpy(column + r * run_bytes, &run, sizeof(run));
    }
}

template <unsigned Bits>
[[nodiscard]] chunk_words<std::uint32_t> get_bits(const std::byte* column) {
    chunk_words<std::uint32_t> words;
    for (unsigned r = 0; r < Bits; ++r) {
        std::uint32_t run = 0;
        std::memcpy(&run, column + r * run_bytes, sizeof(run));
        for (unsigned at = 0; at < 8; at += Bits) {
            words[r + at] = run >> at & repeat<std::uint32_t>((1U << Bits) - 1U);
        }
    }
    return words;
}

/// Writes a chunk of fields, each in the low bits of its byte, to the columns of as many rows as a word holds.
template <panel_format Format, typename Word>
void put_fields(const chunk_words<Word>& words, std::byte* column) {
    if constexpr (Format == panel_format::w3) {
        chunk_words<Word> low;
        chunk_words<Word> high;
        for (std::size_t i = 0; i < words.size(); ++i) {
            low[i] = words[i] & repeat<Word>(3);
            high[i] = words[i] >> 2U & repeat<Word>(1);
        }
        put_bits<2>(low, column);
        put_bits<1>(high, column + 2 * run_bytes);
    } else {
        put_bits<bits_of(Format)>(words, column);
    }
}

template <panel_format Format>
[[nodiscard]] chunk_words<std::uint32_t> get_fields(const std::byte* column) {
    if constexpr (Format == panel_format::w3) {
        chunk_words<std::uint32_t> words = get_bits<2>(column);
        const chunk_words<std::uint32_t> high = get_bits<1>(column + 2 * run_bytes);
        for (std::size_t i = 0; i < words.size(); ++i) {
            words[i] |= high[i] << 2U;
        }
        return words;
    } else {
        return get_bits<bits_of(Format)>(column);
    }
}

/// Codes k ... k + 31 of a row, zeros past its end.
[[nodiscard]] inline chunk_codes load_codes(std::span<const std::int8_t> row, std::size_t k) {
    chunk_codes codes = {};
    if (k + k_chunk <= row.size()) {
        std::memcpy(codes.data(), row.data() + k, k_chunk);
    } else if (k < row.size()) {
        std::memcpy(codes.data(), row.data() + k, row.size() - k);
    }
    return codes;
}

/// The same of one row, or of two for words of 64 bits.
template <typename Word>
[[nodiscard]] chunk_words<Word> load_words(matrix_view<const std::int8_t> rows, std::size_t k) {
    const auto words = std::bit_cast<chunk_words<std::uint32_t>>(load_codes(rows.row(0), k));
    if constexpr (sizeof(Word) == sizeof(std::uint32_t)) {
        return words;
    } else {
        const auto second = std::bit_cast<chunk_words<std::uint32_t>>(load_codes(rows.row(1), k));
        chunk_words<Word> both;
        for (std::size_t i = 0; i < both.size(); ++i) {
            both[i] = words[i] | Word{second[i]} << 32U;
        }
        return both;
    }
}

/// Codes become fields by an exclusive or: the offset is the highest bit of a field or 0.
template <panel_format Format, typename Word>
[[nodiscard]] chunk_words<Word> fields_of(chunk_words<Word> codes, unsigned offset) {
    const auto flip = repeat<Word>(offset);
    for (Word& word : codes) {
        word = (word & repeat<Word>((1U << bits_of(Format)) - 1U)) ^ flip;
    }
    return codes;
}

/// Writes codes k ... stop - 1 of one or, with words of 64 bits, two rows to their columns.
template <panel_format Format, typename Word>
void put_columns(matrix_view<const std::int8_t> rows, std::size_t k, std::size_t stop, unsigned offset,
                 const panel_shape& shape, std::byte* column) {
    for (; k < stop; k += k_chunk) {
        put_fields<Format, Word>(fields_of<Format, Word>(load_words<Word>(rows, k), offset),
                                 column + shape.codes_at(k));
    }
}

/// Writes rows of codes to as many columns of a panel, with code 0 in the padding behind them. The columns of 256 k
/// stay in the first-level cache until all rows have been there; pairs of rows halve the number of stores.
template <panel_format Format>
void put_codes(matrix_view<const std::int8_t> rows, unsigned offset, const panel_shape& shape, std::byte* columns) {
    const std::size_t end = kernels::padded_k(shape.k);
    for (std::size_t k = 0; k < end; k += 256) {
        const std::size_t stop = std::min<std::size_t>(k + 256, end);
        std::size_t r = 0;
        for (; r + 2 <= rows.rows(); r += 2) {
            put_columns<Format, std::uint64_t>(rows.block(r, 0, 2, rows.cols()), k, stop, offset, shape,
                                               columns + 4 * r);
        }
        if (r < rows.rows()) {
            put_columns<Format, std::uint32_t>(rows.block(r, 0, 1, rows.cols()), k, stop, offset, shape,
                                               columns + 4 * r);
        }
    }
}

/// Codes k ... k + 31 of a row from its column of a panel.
template <panel_format Format>
[[nodiscard]] chunk_codes get_codes(const panel_shape& shape, const std::byte* column, std::size_t k, unsigned offset) {
    auto codes = std::bit_cast<chunk_codes>(get_fields<Format>(column + shape.codes_at(k)));
    for (std::int8_t& code : codes) {
        code = static_cast<std::int8_t>(code - static_cast<int>(offset));
    }
    return codes;
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::packing
