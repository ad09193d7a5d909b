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

using transformer::in_byte_alphabet;

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
