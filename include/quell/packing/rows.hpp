// SPDX-License-Identifier: MIT
/// @file
/// `row_block`: rows of a `quantized` that follow one another, and whether a scheme can hold their numbers.
#pragma once

#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/scheme.hpp"
#include "quell/core/two_level.hpp"
#include "quell/core/types.hpp"
#include "quell/core/views.hpp"
#include "quell/packing/codes.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <type_traits>

namespace quell::packing {
inline namespace QUELL_BASELINE {

/// Shapes   codes [rows, in]; scales and zeros [rows, groups_per_row]; zeros is empty where the scheme has none.
struct row_block {
    matrix_view<const std::int8_t> codes;
    matrix_view<const float> scales;
    matrix_view<const float> zeros = {};

    [[nodiscard]] std::size_t rows() const { return codes.rows(); }
    [[nodiscard]] row_block block(std::size_t first, std::size_t count) const {
        return {codes.block(first, 0, count, codes.cols()), scales.block(first, 0, count, scales.cols()),
                zeros.empty() ? zeros : zeros.block(first, 0, count, zeros.cols())};
    }
};

[[nodiscard]] inline row_block all_rows(const quantized& q) {
    return {q.codes.view(), q.scales.view(), q.zeros.view()};
}

namespace detail {

[[nodiscard]] inline bool storable(float value, scale_type type) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if (type == scale_type::f16 && (bits & 0x1fffU) == 0 && (bits & 0x7fffffffU) - 0x38800000U < 0x0f000000U) {
        return true;  // most are normal halves: seen without converting them there and back
    }
    const float stored = type == scale_type::f16    ? to_f32(to_f16(value))
                         : type == scale_type::bf16 ? to_f32(to_bf16(value))
                                                    : value;
    return std::isfinite(value) && stored == value;
}

/// The unit of a row of scales that are counted in units; 0 where there is none.
[[nodiscard]] inline float unit_of(std::span<const float> scales, const scheme& form) {
    const float largest = scales.empty() ? 0.0F : *std::max_element(scales.begin(), scales.end());
    return form.scales == scale_type::codes8 && largest > 0.0F && std::isfinite(largest) ? scale_unit(largest) : 0.0F;
}

[[nodiscard]] inline bool storable_scale(float value, const scheme& form, float unit) {
    return form.scales == scale_type::codes8 ? unit > 0.0F && value == scale_in_units(value, unit)
                                             : storable(value, form.scales);
}

[[nodiscard]] inline bool storable_zero(float value, const scheme& form) {
    if (form.zeros == zero_type::real && form.scales == scale_type::codes8) {
        const zero_steps steps = zero_steps_of(form.bits);
        return std::isfinite(value) && value == steps.value(steps.nearest(value));
    }
    if (form.zeros == zero_type::real) {
        return storable(value, form.scales);
    }
    const code_range range = codes_of(form);
    return value >= static_cast<float>(range.low) && value <= static_cast<float>(range.high) &&
           value == std::trunc(value);
}

/// Whether every code lies in the range. Maxima of blocks of constant length are vectorized at -O2, and do not wait for
/// each other.
[[nodiscard]] inline bool all_in(code_range range, matrix_view<const std::int8_t> codes) {
    std::array<std::uint8_t, 4 * k_chunk> above_low = {};  // the most in each place of a block
    const auto note = [&](std::span<const std::int8_t> part, auto count) {
        for (std::size_t i = 0; i < count(); ++i) {
            above_low[i] = std::max(above_low[i], static_cast<std::uint8_t>(part[i] - range.low));
        }
    };
    for (std::size_t r = 0; r < codes.rows(); ++r) {
        const std::span<const std::int8_t> row = codes.row(r);
        std::size_t k = 0;
        for (; k + above_low.size() <= row.size(); k += above_low.size()) {
            note(row.subspan(k), std::integral_constant<std::size_t, above_low.size()>());
        }
        for (; k < row.size(); k += k_chunk) {
            note(load_codes(row, k), std::integral_constant<std::size_t, k_chunk>());
        }
    }
    return *std::max_element(above_low.begin(), above_low.end()) <= range.high - range.low;
}

/// Whether the scheme can hold every number of the rows.
[[nodiscard]] inline bool fits(const row_block& rows, const scheme& form) {
    const auto zero = [&](float value) { return storable_zero(value, form); };
    bool all = all_in(codes_of(form), rows.codes);
    for (std::size_t r = 0; r < rows.rows() && all; ++r) {
        const auto scales = rows.scales.row(r);
        const auto scale = [&, unit = unit_of(scales, form)](float value) { return storable_scale(value, form, unit); };
        const auto zeros = form.zeros == zero_type::none ? std::span<const float>() : rows.zeros.row(r);
        all = std::all_of(scales.begin(), scales.end(), scale) && std::all_of(zeros.begin(), zeros.end(), zero);
    }
    return all;
}

[[nodiscard]] inline std::string place(std::size_t row, const char* what, std::size_t at) {
    return " at row " + std::to_string(row) + ", " + what + " " + std::to_string(at);
}

[[nodiscard]] inline std::string number(float value) {
    std::array<char, 32> text = {};
    std::snprintf(text.data(), text.size(), "%.9g", static_cast<double>(value));
    return text.data();
}

[[nodiscard]] inline error real_fault(const char* what, float value, const std::string& where) {
    return {errc::bad_value,
            std::string(what) + " " + number(value) + where + " is not finite or does not fit its type"};
}

[[nodiscard]] inline error integer_fault(const char* what, const std::string& value, const std::string& where,
                                         code_range range) {
    return {errc::bad_value, std::string(what) + " " + value + where + " is not one of " + std::to_string(range.low) +
                                 " ... " + std::to_string(range.high)};
}

/// The first number that does not fit; `first` is what the error calls row 0.
/// Requires !fits(rows, form).
[[nodiscard]] inline error fault_of(const row_block& rows, const scheme& form, std::size_t first) {
    const code_range range = codes_of(form);
    for (std::size_t r = 0; r < rows.rows(); ++r) {
        for (std::size_t g = 0; g < rows.scales.cols(); ++g) {
            const std::string where = place(first + r, "group", g);
            if (!storable_scale(rows.scales(r, g), form, unit_of(rows.scales.row(r), form))) {
                return real_fault("scale", rows.scales(r, g), where);
            }
            if (form.zeros != zero_type::none && !storable_zero(rows.zeros(r, g), form)) {
                return form.zeros == zero_type::real ? real_fault("zero", rows.zeros(r, g), where)
                                                     : integer_fault("zero", number(rows.zeros(r, g)), where, range);
            }
        }
        for (std::size_t c = 0; c < rows.codes.cols(); ++c) {
            if (const int code = rows.codes(r, c); code < range.low || code > range.high) {
                return integer_fault("code", std::to_string(code), place(first + r, "column", c), range);
            }
        }
    }
    return {errc::bad_value, "a number does not fit its scheme"};
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::packing
