// SPDX-License-Identifier: MIT
/// @file
/// What a tokenizer file says, as plain data: tokens by id, merge rules by rank, how text is cut, special ids. The
/// readers (vocabulary_gguf.hpp, vocabulary_json.hpp) fill it, `tokenizer::make` checks it. Also the byte alphabet, in
/// which such files write tokens: every byte as one printable character.
#pragma once

#include "quell/core/result.hpp"
#include "quell/io/message.hpp"
#include "transformer/pre_split.hpp"
#include "transformer/unicode.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace transformer {

enum class token_kind : std::uint8_t {
    normal,        ///< written in the byte alphabet, reached by merging
    control,       ///< plain text, cut out of the input only when asked
    user_defined,  ///< plain text, always cut out of the input
    unused,        ///< has an id and no meaning
};

struct token {
    std::string text;
    token_kind kind = token_kind::normal;
};

/// Two neighbours, both written in the byte alphabet, that become one token.
struct merge_rule {
    std::string left;
    std::string right;
};

struct vocabulary {
    std::vector<token> tokens = {};       ///< by id
    std::vector<merge_rule> merges = {};  ///< by rank
    split_pattern split = split_pattern::gpt2;
    bool whole_pieces = false;  ///< a piece that is a token is taken as it is (Llama 3)
    std::optional<std::uint64_t> bos = {};
    std::optional<std::uint64_t> eos = {};
    std::optional<std::uint64_t> unknown = {};
    bool add_bos = false;
};

/// "left right", as GGUF and most of the JSON files write a rule.
[[nodiscard]] inline quell::result<merge_rule> parse_merge(std::string_view line, std::size_t rank) {
    const std::size_t space = line.find(' ');
    if (space == 0 || space == std::string_view::npos || space + 1 == line.size() || space != line.rfind(' ')) {
        return quell::error{quell::errc::bad_format, "merge " + std::to_string(rank) + ": " + quell::io::quoted(line) +
                                                         " is not two tokens with a space between"};
    }
    return merge_rule{std::string(line.substr(0, space)), std::string(line.substr(space + 1))};
}

namespace detail {

/// The byte behind each character of GPT-2's alphabet, -1 for other characters: the printable bytes of Latin-1 are
/// themselves, the other 68 follow from U+0100 in their order.
inline constexpr std::array<std::int16_t, 0x144> byte_alphabet = [] {
    std::array<std::int16_t, 0x144> bytes{};
    bytes.fill(-1);
    std::size_t next = 0x100;
    for (std::size_t byte = 0; byte < 256; ++byte) {
        const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
        bytes[printable ? byte : next++] = static_cast<std::int16_t>(byte);
    }
    return bytes;
}();

}  // namespace detail

/// The bytes that `text` stands for; nothing when a character is not of the byte alphabet or the text is not UTF-8.
[[nodiscard]] inline std::optional<std::string> bytes_behind(std::string_view text) {
    if (first_invalid_utf8(text)) {
        return std::nullopt;
    }
    std::string bytes;
    for (std::size_t at = 0; at < text.size();) {
        const code_point c = code_point_at(text, at);
        if (c.value >= detail::byte_alphabet.size() || detail::byte_alphabet[c.value] < 0) {
            return std::nullopt;
        }
        bytes.push_back(static_cast<char>(static_cast<unsigned char>(detail::byte_alphabet[c.value])));
        at += c.bytes;
    }
    return bytes;
}

/// The other direction: `bytes` written in the byte alphabet.
[[nodiscard]] inline std::string in_byte_alphabet(std::string_view bytes) {
    static constexpr std::array<char32_t, 256> characters = [] {
        std::array<char32_t, 256> of_byte{};
        for (std::size_t c = 0; c < detail::byte_alphabet.size(); ++c) {
            if (detail::byte_alphabet[c] >= 0) {
                of_byte[static_cast<std::size_t>(detail::byte_alphabet[c])] = static_cast<char32_t>(c);
            }
        }
        return of_byte;
    }();
    std::string text;
    for (const char byte : bytes) {
        append_utf8(text, characters[static_cast<unsigned char>(byte)]);
    }
    return text;
}

}  // namespace transformer
