// SPDX-License-Identifier: MIT
/// @file
/// The codes of a panel. A chunk is 32 k of one row; its codes of b bits are b words, one in each of b runs of 64
/// bytes, and a byte of a word carries 8/b k. One rule for 8, 4, 2 and 1 bits; 3 bits are a chunk of 2 and one of 1.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/panels.hpp"
#include "quell/packing/row_words.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

using chunk_codes = std::array<std::int8_t, k_chunk>;
using chunk_words = std::array<std::uint32_t, k_chunk / 4>;  ///< four codes each

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

/// Writes fields of so many bits, of which field(i) gives those of k = 4 i ... 4 i + 3.
template <unsigned Bits, typename Field>
QUELL_ALWAYS_INLINE void put_bits(Field field, std::byte* column) {
    QUELL_UNROLL
    for (unsigned r = 0; r < Bits; ++r) {
        auto run = field(r);
        QUELL_UNROLL
        for (unsigned at = Bits; at < 8; at += Bits) {
            run |= field(r + at) << at;
        }
        std::memcpy(column + r * run_bytes, &run, sizeof(run));
    }
}

template <unsigned Bits>
[[nodiscard]] chunk_words get_bits(const std::byte* column) {
    chunk_words words;
    for (unsigned r = 0; r < Bits; ++r) {
        std::uint32_t run = 0;
        std::memcpy(&run, column + r * run_bytes, sizeof(run));
        for (unsigned at = 0; at < 8; at += Bits) {
            words[r + at] = run >> at & repeat<std::uint32_t>((1U << Bits) - 1U);
        }
    }
    return words;
}

template <panel_format Format>
[[nodiscard]] chunk_words get_fields(const std::byte* column) {
    if constexpr (Format == panel_format::w3) {
        chunk_words words = get_bits<2>(column);
        const chunk_words high = get_bits<1>(column + 2 * run_bytes);
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

/// Writes a chunk of some rows to their columns. Codes become fields by an exclusive or: the offset is the highest bit
/// of a field or 0.
template <panel_format Format, std::size_t Rows>
QUELL_ALWAYS_INLINE void put_chunk(const std::array<const std::int8_t*, Rows>& rows, unsigned offset,
                                   std::byte* column) {
    std::conditional_t<Rows == 1, std::uint32_t, row_words> words[8];
    load_words(rows, words);
    const auto field = [&](std::size_t i) {
        return (words[i] & repeat<std::uint32_t>((1U << bits_of(Format)) - 1U)) ^ repeat<std::uint32_t>(offset);
    };
    if constexpr (Format == panel_format::w3) {
        put_bits<2>([&](std::size_t i) { return field(i) & repeat<std::uint32_t>(3); }, column);
        put_bits<1>([&](std::size_t i) { return field(i) >> 2U & repeat<std::uint32_t>(1); }, column + 2 * run_bytes);
    } else {
        put_bits<bits_of(Format)>(field, column);
    }
}

/// Writes codes k ... stop - 1 of some rows to their columns.
template <panel_format Format, std::size_t Rows>
void put_columns(matrix_view<const std::int8_t> codes, std::size_t k, std::size_t stop, unsigned offset,
                 std::byte* column) {
    const std::size_t whole = std::min(stop, codes.cols() / k_chunk * k_chunk);
    for (; k < stop; k += k_chunk) {
        std::array<const std::int8_t*, Rows> rows;
        std::array<chunk_codes, Rows> copies;
        for (std::size_t r = 0; r < Rows; ++r) {
            if (k < whole) {
                rows[r] = codes.row(r).data() + k;
            } else {
                copies[r] = load_codes(codes.row(r), k);
                rows[r] = copies[r].data();
            }
        }
        put_chunk<Format>(rows, offset, column + k * (bits_of(Format) * panel_rows / 8));
    }
}

/// Asks for codes that are needed soon.
inline void prefetch(matrix_view<const std::int8_t> codes, std::size_t k, std::size_t stop) {
#if defined(__GNUC__)
    for (std::size_t r = 0; r < codes.rows(); ++r) {
        for (std::size_t at = k; at < stop && at < codes.cols(); at += 64) {
            __builtin_prefetch(codes.row(r).data() + at, 0, 2);
        }
    }
#endif
}

/// Writes rows of codes to as many columns of a panel, with code 0 in the padding behind them, and asks for the rows
/// that come `next`. The columns of 256 k stay in the first-level cache until all rows have been there.
template <panel_format Format>
void put_codes(matrix_view<const std::int8_t> rows, matrix_view<const std::int8_t> next, unsigned offset,
               const panel_shape& shape, std::byte* columns) {
    const std::size_t end = kernels::padded_k(shape.k);
    for (std::size_t k = 0; k < end; k += 256) {
        const std::size_t stop = std::min<std::size_t>(k + 256, end);
        prefetch(next, k, stop);
        std::size_t r = 0;
        for (; r + rows_at_once <= rows.rows(); r += rows_at_once) {
            put_columns<Format, rows_at_once>(rows.block(r, 0, rows_at_once, rows.cols()), k, stop, offset,
                                              columns + 4 * r);
        }
        for (; r < rows.rows(); ++r) {
            put_columns<Format, 1>(rows.block(r, 0, 1, rows.cols()), k, stop, offset, columns + 4 * r);
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
