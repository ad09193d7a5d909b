// SPDX-License-Identifier: MIT
/// @file
/// Groups with a real zero: v = scale * (code - zero). How scales and zeros are stored, the range of a group, and the
/// code of a value, whose sum with the zero is formed in double.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"
#include "quell/core/two_level.hpp"
#include "quell/rounding/scale.hpp"
#include "quell/rounding/solver.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// Errors   errc::unsupported or errc::bad_shape, naming what does not fit.
[[nodiscard]] inline result<void> check_real_form(const scheme& form) {
    if (form.codes != code_set::zero_point || form.zeros != zero_type::real) {
        return error{errc::unsupported, "the solver takes codes with a real zero"};
    }
    return check_codes(form);
}

/// Whether zero must have a code: zeros of 8 bits lie within the codes.
[[nodiscard]] constexpr bool is_anchored(const scheme& form) {
    return form.scales == scale_type::codes8;
}

/// From the smallest to the largest value, and to zero where the form wants it.
///
/// Requires values that are not empty.
[[nodiscard]] inline value_range real_range(const scheme& form, std::span<const float> values) {
    if (is_anchored(form)) {
        return range_with_zero(values);
    }
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return {*low, *high};
}

/// The scale at which the codes span the range, before it is stored; 0 where all values are 0.
[[nodiscard]] inline double spanning_scale(const scheme& form, value_range range) {
    const code_range codes = codes_of(form);
    const double width = static_cast<double>(range.high) - static_cast<double>(range.low);
    return width > 0.0 ? width / (codes.high - codes.low) : std::fabs(static_cast<double>(range.low));
}

/// A scale as it is stored, in units of its row where those are counted. A group of scale 0 holds nothing but 0 and
/// takes any.
[[nodiscard]] inline float stored_real_scale(const scheme& form, double scale, float unit) {
    return form.scales == scale_type::codes8 ? scale_in_units(static_cast<float>(scale), unit)
           : scale > 0.0                     ? stored_scale(form, scale)
                                             : 1.0F;
}

/// The unit for the scales of one row.
[[nodiscard]] inline float unit_for(std::span<const double> scales) {
    const double largest = scales.empty() ? 0.0 : *std::max_element(scales.begin(), scales.end());
    return scale_unit(largest > 0.0 ? static_cast<float>(largest) : 1.0F);
}

/// Rounds the scales of one row to what is stored.
inline void store_scales(const scheme& form, std::span<const double> wanted, std::span<float> stored) {
    const float unit = unit_for(wanted);
    for (std::size_t g = 0; g < wanted.size(); ++g) {
        stored[g] = stored_real_scale(form, wanted[g], unit);
    }
}

/// A real zero as it is stored.
[[nodiscard]] inline float stored_zero(const scheme& form, double zero) {
    if (form.scales == scale_type::codes8) {
        const zero_steps steps = zero_steps_of(form.bits);
        return steps.value(steps.nearest(static_cast<float>(zero)));
    }
    const auto largest = static_cast<double>(detail::limits_of(form.scales).largest);
    return detail::to_storage(form.scales, static_cast<float>(std::clamp(zero, -largest, largest)));
}

/// The zero at which the lowest value has the lowest code.
[[nodiscard]] inline float spanning_zero(const scheme& form, value_range range, float scale) {
    return stored_zero(
        form, static_cast<double>(codes_of(form).low) - static_cast<double>(range.low) / static_cast<double>(scale));
}

namespace detail {

/// nearbyint(step + zero) within the codes; a step is a value over its scale.
[[nodiscard]] QUELL_ALWAYS_INLINE double nearest_code(float step, float zero, code_range codes) {
    constexpr double shift = 0x1.8p52;
    const double exact = static_cast<double>(step) + static_cast<double>(zero);
    return (std::clamp<double>(exact, codes.low, codes.high) + shift) - shift;
}

}  // namespace detail

/// codes = clamp(nearbyint(v / scale + zero)).
inline void round_to_real_codes(std::span<const float> values, const scheme& form, const affine& a,
                                std::span<std::int8_t> codes) {
    QUELL_EXPECTS(values.size() == codes.size(), "one code for every value");
    for (std::size_t i = 0; i < values.size(); ++i) {
        codes[i] = static_cast<std::int8_t>(detail::nearest_code(values[i] / a.scale, a.zero, codes_of(form)));
    }
}

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
