// SPDX-License-Identifier: MIT
/// @file
/// How the activations that enter a quantized linear become codes: bits, how far one scale reaches, clipping.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

namespace quell::quant {
inline namespace QUELL_BASELINE {

struct activation_scheme {
    int bits = 8;                            ///< 8, 7 (with a zero point), 4, 16 (for weight-only forms), or 32: float
    granularity reach = granularity::token;  ///< token: scale taken at run time; tensor: one scale for all
    float clip = 1.0F;                       ///< the scale covers clip * absmax, in (0, 1]; 0: still to be searched
    float static_scale = 0.0F;               ///< with granularity::tensor only; 0: still to be calibrated
    bool at_run_time = false;  ///< with granularity::tensor: no static scale, but one for the rows of each call
    bool zero_point = false;   ///< codes of 8 or 7 bits: from a token's smallest to its largest value, 0 between them

    [[nodiscard]] bool is_float() const { return bits == 32; }
    /// Rows of codes that a row of activations becomes: 16 bits are two codes of 8.
    [[nodiscard]] std::size_t planes() const { return bits == 16 ? 2 : 1; }
    [[nodiscard]] float largest_code() const { return bits == 16 ? 32385.0F : bits == 4 ? 7.0F : 127.0F; }
    /// The scale of values up to this magnitude, in the bounds that keep 1 / scale finite.
    [[nodiscard]] float scale_for(float largest) const {
        return largest > 0.0F ? std::max(clip * largest / largest_code(), 0x1p-126F) : 1.0F;
    }
    /// Needs maxima of the activations, and needs rows of them.
    [[nodiscard]] bool needs_scale() const {
        return !is_float() && reach == granularity::tensor && static_scale == 0.0F && !at_run_time;
    }
    [[nodiscard]] bool needs_clip() const { return !is_float() && clip == 0.0F; }
    [[nodiscard]] bool needs_calibration() const { return needs_scale() || needs_clip(); }

    friend bool operator==(const activation_scheme&, const activation_scheme&) = default;
};

template <typename Visit, typename Scheme>
requires(std::same_as<std::remove_const_t<Scheme>, activation_scheme>) void fields(Visit& visit, Scheme& form) {
    visit("bits", form.bits);
    visit("reach", form.reach);
    visit("clip", form.clip);
    visit("static_scale", form.static_scale);
    visit("at_run_time", form.at_run_time);
    visit("zero_point", form.zero_point);
}

/// Errors   errc::unsupported for bits or a reach that no kernel has; errc::bad_value for a clip or scale out of range.
[[nodiscard]] inline result<void> check(const activation_scheme& form) {
    if (form.bits != 4 && form.bits != 7 && form.bits != 8 && form.bits != 16 && form.bits != 32) {
        return error{errc::unsupported,
                     "activations of " + std::to_string(form.bits) + " bits (4, 7, 8, 16 and 32 exist)"};
    }
    if (form.bits == 7 && !form.zero_point) {
        return error{errc::unsupported, "activations of 7 bits without a zero point"};
    }
    if (form.reach != granularity::token && form.reach != granularity::tensor) {
        return error{errc::unsupported, "activation scales reach over a token or a tensor, nothing else"};
    }
    if (!(form.clip >= 0.0F && form.clip <= 1.0F)) {
        return error{errc::bad_value, "activation clip " + std::to_string(form.clip) + " is not in (0, 1]"};
    }
    if (form.clip == 0.0F && (form.reach != granularity::token || form.bits == 16)) {
        return error{errc::unsupported, "a clip is searched for 4 or 8 bits with scales of tokens, for nothing else"};
    }
    if (!(form.static_scale >= 0.0F && form.static_scale <= 1e30F)) {
        return error{errc::bad_value, "static activation scale " + std::to_string(form.static_scale)};
    }
    if (form.static_scale > 0.0F && form.reach != granularity::tensor) {
        return error{errc::bad_value, "a static activation scale needs the reach 'tensor'"};
    }
    if (form.at_run_time && (form.reach != granularity::tensor || form.bits > 8 || form.static_scale > 0.0F)) {
        return error{errc::unsupported, "a scale of each call needs the reach 'tensor', 4 or 8 bits, no static scale"};
    }
    const bool takes_zeros = form.bits == 8 || form.bits == 7;
    if (form.zero_point && (!takes_zeros || form.reach != granularity::token || form.clip == 0.0F)) {
        return error{errc::unsupported,
                     "a zero point needs activations of 8 or 7 bits with scales of tokens, and a clip"};
    }
    return {};
}

/// Whether a kernel multiplies such activations by such weights.
///
/// Errors   errc::unsupported.
[[nodiscard]] inline result<void> check_pair(const activation_scheme& activations, const scheme& weights) {
    if (activations.zero_point && (weights.bits != 8 || weights.zeros != zero_type::none)) {
        return error{errc::unsupported, "activations with a zero point meet symmetric weights of 8 bits, not " +
                                            std::to_string(weights.bits) + " bits" +
                                            (weights.zeros == zero_type::none ? "" : " with zeros")};
    }
    return {};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
