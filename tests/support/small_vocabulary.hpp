// SPDX-License-Identifier: MIT
/// @file
/// Vocabularies made by hand for the tokenizer's tests: the 256 bytes, then one token a merge.
#pragma once

#include "transformer/vocabulary.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace support {

/// `bytes` written in the byte alphabet.
inline std::string in_byte_alphabet(std::string_view bytes) {
    std::string text;
    for (const char byte : bytes) {
        for (char32_t c = 0; c < transformer::detail::byte_alphabet.size(); ++c) {
            if (transformer::detail::byte_alphabet[c] == static_cast<unsigned char>(byte)) {
                transformer::append_utf8(text, c);
            }
        }
    }
    return text;
}

/// Token b is byte b, token 256 + r is what merge r makes. Halves are given as bytes.
inline transformer::vocabulary small_vocabulary(const std::vector<std::pair<std::string, std::string>>& merges) {
    transformer::vocabulary v;
    for (int byte = 0; byte < 256; ++byte) {
        v.tokens.push_back({in_byte_alphabet(std::string(1, static_cast<char>(byte)))});
    }
    for (const auto& [left, right] : merges) {
        v.tokens.push_back({in_byte_alphabet(left + right)});
        v.merges.push_back({in_byte_alphabet(left), in_byte_alphabet(right)});
    }
    return v;
}

}  // namespace support
