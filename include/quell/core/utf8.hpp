// SPDX-License-Identifier: MIT
/// @file
/// Whether bytes are UTF-8.
/// Source: RFC 3629; table 3-7 of the Unicode standard.
#pragma once

#include "quell/core/target.hpp"

#include <cstddef>
#include <string_view>

namespace quell {
inline namespace QUELL_BASELINE {

/// The bytes of the character in front; 0 where there is none, such as for overlong forms, surrogates, code points
/// above U+10FFFF and cut sequences.
[[nodiscard]] inline std::size_t utf8_length(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text.empty() ? '\xff' : text[0]);
    const std::size_t length = lead < 0x80   ? 1
                               : lead < 0xc2 ? 0
                               : lead < 0xe0 ? 2
                               : lead < 0xf0 ? 3
                               : lead < 0xf5 ? 4
                                             : 0;
    if (text.size() < length) {
        return 0;
    }
    // Four leads narrow the range of the byte behind them.
    unsigned low = lead == 0xe0 ? 0xa0U : lead == 0xf0 ? 0x90U : 0x80U;
    unsigned high = lead == 0xed ? 0x9fU : lead == 0xf4 ? 0x8fU : 0xbfU;
    for (std::size_t k = 1; k < length; ++k, low = 0x80U, high = 0xbfU) {
        const auto next = static_cast<unsigned char>(text[k]);
        if (next < low || next > high) {
            return 0;
        }
    }
    return length;
}

[[nodiscard]] inline bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 0) {
            return false;
        }
        text.remove_prefix(length);
    }
    return true;
}

}  // namespace QUELL_BASELINE
}  // namespace quell
