// SPDX-License-Identifier: MIT
/// @file
/// Whether bytes are UTF-8.
/// Source: RFC 3629; table 3-7 of the Unicode standard.
#pragma once

#include "quell/core/target.hpp"

#include <cstddef>
#include <string_view>

namespace quell::io {
inline namespace QUELL_BASELINE {

/// False for overlong forms, surrogates, code points above U+10FFFF and cut sequences.
[[nodiscard]] inline bool is_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto lead = static_cast<unsigned char>(text[i]);
        const std::size_t length = lead < 0x80   ? 1
                                   : lead < 0xc2 ? 0
                                   : lead < 0xe0 ? 2
                                   : lead < 0xf0 ? 3
                                   : lead < 0xf5 ? 4
                                                 : 0;
        if (length == 0 || text.size() - i < length) {
            return false;
        }
        // Four leads narrow the range of the byte behind them.
        unsigned low = lead == 0xe0 ? 0xa0U : lead == 0xf0 ? 0x90U : 0x80U;
        unsigned high = lead == 0xed ? 0x9fU : lead == 0xf4 ? 0x8fU : 0xbfU;
        for (std::size_t k = 1; k < length; ++k, low = 0x80U, high = 0xbfU) {
            const auto next = static_cast<unsigned char>(text[i + k]);
            if (next < low || next > high) {
                return false;
            }
        }
        i += length;
    }
    return true;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::io
