// SPDX-License-Identifier: MIT
/// @file
/// Which panels a scheme is packed into, and the two sizes every report states: the bytes of a blob, padding included,
/// and the bits that a file would store without any padding.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/scheme.hpp"
#include "quell/kernels/panels.hpp"

#include <cstddef>
#include <limits>
#include <string>

namespace quell::packing {
inline namespace QUELL_BASELINE {

inline constexpr std::size_t header_bytes = 64;
inline constexpr std::size_t max_group = 1024;  ///< the longest that the kernels take

/// The form of weights that are left in float.
inline constexpr scheme float_form = {.bits = 32, .reach = granularity::tensor};

namespace detail {

/// The codes and their zeros. A code set says which zeros it needs, so that panels tell it by their zeros and bits.
[[nodiscard]] constexpr bool packs_codes(const scheme& s) {
    switch (s.codes) {
        case code_set::symmetric:
        case code_set::zero_point:
            return s.bits >= 2 && s.bits <= 8 && (s.codes == code_set::zero_point) == (s.zeros != zero_type::none);
        case code_set::sign: return s.bits == 1 && s.zeros == zero_type::none;
        case code_set::sign_mean: return s.bits == 1 && s.zeros == zero_type::real;
    }
    return false;
}

[[nodiscard]] constexpr bool packs_groups(const scheme& s) {
    return s.reach == granularity::group ? s.group != 0 && s.group % kernels::k_chunk == 0 && s.group <= max_group
                                         : s.reach != granularity::token;
}

/// Scales of one byte are for groups of numbers, not for signs, and their zeros for panels of as many bits as the
/// codes.
[[nodiscard]] constexpr bool packs_scales(const scheme& s) {
    const bool fills_fields = s.bits == 8 || (s.bits >= 2 && s.bits <= 4);
    return s.scales != scale_type::codes8 || (s.reach == granularity::group && fills_fields);
}

[[nodiscard]] constexpr kernels::panel_format format_of(int bits) {
    return bits > 4    ? kernels::panel_format::w8
           : bits == 4 ? kernels::panel_format::w4
           : bits == 3 ? kernels::panel_format::w3
           : bits == 2 ? kernels::panel_format::w2
                       : kernels::panel_format::w1;
}

[[nodiscard]] inline kernels::panel_shape float_shape(std::size_t out_features, std::size_t in_features) {
    return {.format = kernels::panel_format::f32, .n = out_features, .k = in_features};
}

/// The panels' bytes fit a size_t, with the header before them.
[[nodiscard]] inline bool size_fits(const kernels::panel_shape& shape) {
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max() - header_bytes;
    constexpr std::size_t most_k = most / (2 * kernels::panel_rows * sizeof(float));
    return shape.k <= most_k && shape.n <= most - kernels::panel_rows &&
           (shape.panels() == 0 || shape.panel_bytes() <= most / shape.panels());
}

}  // namespace detail

/// The panels of a weight [out, in] in this form.
/// Errors   errc::unsupported for a form that no panels hold, and for rows longer than kernels::max_k. Panels hold
///          2 to 8 bits, symmetric or with a zero point, and 1 bit as sign or sign and mean; one scale for all, a row
///          or a multiple of 32 up to max_group, in f32, f16 or bf16, of groups of 2, 3, 4 and 8 bits also in 8-bit
///          codes. errc::bad_shape for a size that no memory holds.
[[nodiscard]] inline result<kernels::panel_shape> panel_shape_of(const scheme& form, std::size_t out_features,
                                                                 std::size_t in_features) {
    kernels::panel_shape shape = detail::float_shape(out_features, in_features);
    if (form != float_form) {
        if (!detail::packs_codes(form) || !detail::packs_groups(form) || !detail::packs_scales(form)) {
            return error{errc::unsupported,
                         "no packed layout for " + std::to_string(form.bits) + "-bit codes with groups of " +
                             std::to_string(form.group) +
                             "; packed are 2 to 8 bits, symmetric or with a zero point, and 1 bit as a sign, "
                             "with plain scales a row or a group of a multiple of 32 up to " +
                             std::to_string(max_group)};
        }
        if (in_features > kernels::max_k) {
            return error{errc::unsupported, "rows of " + std::to_string(in_features) +
                                                " integer codes; their sums are exact up to " +
                                                std::to_string(kernels::max_k)};
        }
        shape.format = detail::format_of(form.bits);
        shape.group = form.reach == granularity::group ? form.group : 0;
        const bool narrow = form.scales == scale_type::f16 || form.scales == scale_type::codes8;
        shape.scales = shape.group != 0 && narrow ? form.scales : scale_type::f32;
        shape.zeros = form.zeros;
    }
    if (!detail::size_fits(shape)) {
        return error{errc::bad_shape, "a weight of " + std::to_string(out_features) + " x " +
                                          std::to_string(in_features) + " is larger than the address space"};
    }
    return shape;
}

/// Bytes of the blob of such a weight; 0 where it cannot be packed.
[[nodiscard]] inline std::size_t packed_bytes(const scheme& form, std::size_t out_features, std::size_t in_features) {
    const auto shape = panel_shape_of(form, out_features, in_features);
    return shape ? header_bytes + shape->bytes() : 0;
}

/// Bits of codes, scales and zeros as a file stores them. An integer zero takes as many bits as a code, a real one as
/// many as a scale; scales of 8-bit codes share one unit in f16 a row.
[[nodiscard]] constexpr std::size_t stored_bits(const scheme& form, std::size_t out_features, std::size_t in_features) {
    const std::size_t codes = out_features * in_features * static_cast<std::size_t>(form.bits);
    if (form == float_form) {
        return codes;
    }
    const std::size_t scales = form.reach == granularity::tensor ? 1 : out_features * groups_per_row(form, in_features);
    const auto scale_bits = static_cast<std::size_t>(bits_of(form.scales));
    const std::size_t second_level = form.scales == scale_type::codes8 ? out_features * 16 : 0;
    const std::size_t zero_bits = form.zeros == zero_type::none      ? 0
                                  : form.zeros == zero_type::integer ? static_cast<std::size_t>(form.bits)
                                                                     : scale_bits;
    return codes + scales * (scale_bits + zero_bits) + second_level;
}

/// The same in bytes, rounded up.
[[nodiscard]] constexpr std::size_t stored_bytes(const scheme& form, std::size_t out_features,
                                                 std::size_t in_features) {
    return (stored_bits(form, out_features, in_features) + 7) / 8;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::packing
