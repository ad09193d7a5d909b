// SPDX-License-Identifier: MIT
/// @file
/// How a byte-level BPE cuts text into pieces before it merges: the regular expressions of GPT-2, SmolLM2, Llama 3 and
/// Qwen2 as one hand-written scanner, because std::regex knows no \p{L}. Each rule quotes the alternative it stands
/// for.
#pragma once

#include "transformer/unicode.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace transformer {

enum class split_pattern : std::uint8_t {
    none,    ///< the text is one piece
    gpt2,    ///< 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    smollm,  ///< every number on its own first, then gpt2 on what lies between
    llama3,  ///< (?i:'s|…)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
    qwen2,   ///< the same with \p{N}
};

namespace detail {

/// Scans the first piece of a text that is not empty and valid UTF-8. Positions and lengths are in bytes.
class piece_scanner {
public:
    piece_scanner(std::string_view text, split_pattern pattern) : text_(text), pattern_(pattern) {}

    [[nodiscard]] std::size_t first_piece() const {
        switch (pattern_) {
            case split_pattern::none: return text_.size();
            case split_pattern::gpt2: return gpt2_piece();
            case split_pattern::smollm:
                return classify(code_point_at(text_, 0).value) == char_class::number ? bytes_at(0) : gpt2_piece();
            case split_pattern::llama3: return llama3_piece(3);
            case split_pattern::qwen2: return llama3_piece(1);
        }
        return text_.size();
    }

private:
    [[nodiscard]] std::size_t bytes_at(std::size_t at) const { return code_point_at(text_, at).bytes; }

    /// Nothing at the end; with the smollm pattern a number ends the text that the other rules see.
    [[nodiscard]] std::optional<char_class> class_at(std::size_t at) const {
        if (at >= text_.size()) {
            return std::nullopt;
        }
        const char_class c = classify(code_point_at(text_, at).value);
        return pattern_ == split_pattern::smollm && c == char_class::number ? std::nullopt : std::optional(c);
    }

    [[nodiscard]] bool newline_at(std::size_t at) const {
        return at < text_.size() && (text_[at] == '\n' || text_[at] == '\r');
    }

    /// The end of the run of `wanted` that starts at `at`, at most `limit` characters long.
    [[nodiscard]] std::size_t run_end(std::size_t at, char_class wanted, std::size_t limit = SIZE_MAX) const {
        for (std::size_t n = 0; n < limit && class_at(at) == wanted; ++n) {
            at += bytes_at(at);
        }
        return at;
    }

    [[nodiscard]] std::size_t gpt2_piece() const {
        if (const std::size_t n = contraction(false); n != 0) {
            return n;
        }
        const std::size_t start = text_[0] == ' ' ? 1 : 0;
        const std::optional<char_class> c = class_at(start);
        return c && *c != char_class::space ? run_end(start, *c) : spaces();
    }

    [[nodiscard]] std::size_t llama3_piece(std::size_t digits) const {
        if (const std::size_t n = contraction(true); n != 0) {
            return n;
        }
        const std::optional<char_class> first = class_at(0);
        if (first == char_class::letter) {
            return run_end(0, char_class::letter);
        }
        if (first == char_class::number) {
            return run_end(0, char_class::number, digits);
        }
        if (!newline_at(0) && class_at(bytes_at(0)) == char_class::letter) {
            return run_end(bytes_at(0), char_class::letter);  // [^\r\n\p{L}\p{N}]?\p{L}+
        }
        const std::size_t start = text_[0] == ' ' ? 1 : 0;
        if (class_at(start) != char_class::other) {
            return last_newline_or_spaces();
        }
        std::size_t end = run_end(start, char_class::other);  //  ?[^\s\p{L}\p{N}]+[\r\n]*
        while (newline_at(end)) {
            ++end;
        }
        return end;
    }

    /// \s+(?!\S)|\s+ : the last white space before a word belongs to the word, unless it is alone.
    [[nodiscard]] std::size_t spaces() const {
        std::size_t end = 0;
        std::size_t last = 0;
        while (class_at(end) == char_class::space) {
            last = end;
            end += bytes_at(end);
        }
        return class_at(end) && last != 0 ? last : end;
    }

    /// \s*[\r\n]+|\s+(?!\S)|\s+
    [[nodiscard]] std::size_t last_newline_or_spaces() const {
        std::size_t after_newline = 0;
        for (std::size_t at = 0; class_at(at) == char_class::space; at += bytes_at(at)) {
            after_newline = newline_at(at) ? at + 1 : after_newline;
        }
        return after_newline != 0 ? after_newline : spaces();
    }

    /// 's|'t|'re|'ve|'m|'ll|'d, or 0. Without case, U+017F (long s) is an s.
    [[nodiscard]] std::size_t contraction(bool any_case) const {
        if (text_[0] != '\'' || text_.size() < 2) {
            return 0;
        }
        if (any_case && text_.substr(1, 2) == "\u017f") {
            return 3;
        }
        const auto letter = [&](std::size_t i) {
            const char c = i < text_.size() ? text_[i] : '\0';
            return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
        };
        const char a = letter(1);
        const char b = letter(2);
        if (a == 's' || a == 't' || a == 'm' || a == 'd') {
            return 2;
        }
        return (b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l') ? 3 : 0;
    }

    std::string_view text_;
    split_pattern pattern_;
};

}  // namespace detail

/// The length in bytes of the first piece of `text`, which is valid UTF-8 and not empty.
[[nodiscard]] inline std::size_t first_piece(std::string_view text, split_pattern pattern) {
    return detail::piece_scanner(text, pattern).first_piece();
}

}  // namespace transformer
