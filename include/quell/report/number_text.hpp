// SPDX-License-Identifier: MIT
/// @file
/// Numbers as people read them, the same text on every machine and in every locale.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/target.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

namespace quell::report {
inline namespace QUELL_BASELINE {

namespace detail {

[[nodiscard]] inline std::string formatted(double v, std::chars_format format, int precision) {
    char text[64];
    return {text, std::to_chars(text, text + sizeof text, v, format, precision).ptr};
}

/// "1.50e+06" as "1.50e6".
[[nodiscard]] inline std::string short_exponent(std::string text) {
    const std::size_t e = text.find('e');
    const std::size_t sign = text[e + 1] == '-' ? 1 : 0;
    std::size_t zeros = text.find_first_not_of("+-0", e + 1);
    zeros = zeros == std::string::npos ? text.size() - 1 : zeros;
    return text.substr(0, e + 1) + (sign == 1 ? "-" : "") + text.substr(zeros);
}

}  // namespace detail

/// Some significant digits: 0.0138, 5.27, 651, 18600, 1.50e6. What is no finite number is a dash.
[[nodiscard]] inline std::string number_text(double v, int digits = 3) {
    if (!std::isfinite(v)) {
        return "\xe2\x80\x93";
    }
    const double magnitude = std::abs(v);
    if (magnitude == 0.0) {
        return "0";
    }
    if (magnitude < 1e-3 || magnitude >= 1e6) {
        return detail::short_exponent(detail::formatted(v, std::chars_format::scientific, digits - 1));
    }
    const int before = static_cast<int>(std::floor(std::log10(magnitude))) + 1;
    return detail::formatted(v, std::chars_format::fixed, std::max(0, digits - before));
}

/// With commas between thousands: 12,288.
[[nodiscard]] inline std::string count_text(std::size_t n) {
    const std::string digits = std::to_string(n);
    std::string text;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        if (i > 0 && (digits.size() - i) % 3 == 0) {
            text += ',';
        }
        text += digits[i];
    }
    return text;
}

/// "h" and 12 as "h12". (A literal + std::to_string makes g++ 12 warn of an overlap that is none.)
[[nodiscard]] inline std::string numbered(std::string_view prefix, std::size_t n) {
    std::string text(prefix);
    text += std::to_string(n);
    return text;
}

/// A share of one as percent: 4.21 %.
[[nodiscard]] inline std::string percent_text(double share, int digits = 3) {
    return number_text(100.0 * share, digits) + " %";
}

/// A coordinate of a picture, to a tenth.
[[nodiscard]] inline std::string coordinate(double v) {
    QUELL_EXPECTS(std::isfinite(v), "a coordinate that is a number");
    const double tenths = std::nearbyint(v * 10.0) / 10.0 + 0.0;  // no -0
    return tenths == std::nearbyint(tenths) ? detail::formatted(tenths, std::chars_format::fixed, 0)
                                            : detail::formatted(tenths, std::chars_format::fixed, 1);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::report
