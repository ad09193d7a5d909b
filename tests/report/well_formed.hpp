// SPDX-License-Identifier: MIT
/// @file
/// Reads a page as an XML reader would: every tag closed in order, every attribute quoted, no stray < or &.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace report_test {

namespace detail {

inline bool is_entity(std::string_view at) {
    for (const std::string_view known : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"}) {
        if (at.starts_with(known)) {
            return true;
        }
    }
    return false;
}

inline bool is_name(std::string_view name) {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-';
    });
}

/// name="value" pairs with one blank before each.
inline bool are_attributes(std::string_view text) {
    while (!text.empty()) {
        const std::size_t equals = text.find("=\"");
        if (text[0] != ' ' || equals == std::string_view::npos || !is_name(text.substr(1, equals - 1))) {
            return false;
        }
        const std::size_t end = text.find('"', equals + 2);
        if (end == std::string_view::npos) {
            return false;
        }
        text.remove_prefix(end + 1);
    }
    return true;
}

}  // namespace detail

/// Empty where the text is well-formed; otherwise what is wrong and where.
inline std::string fault_of(std::string_view text) {
    std::vector<std::string_view> open;
    if (text.starts_with("<!DOCTYPE html>")) {
        text.remove_prefix(15);
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::string_view here = text.substr(i, 60);
        if (text[i] == '&' && !detail::is_entity(here)) {
            return "an & alone: " + std::string(here);
        }
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte < 0x20 && text[i] != '\n' && text[i] != '\t') {
            return "a control character: " + std::string(here);
        }
        if (text[i] != '<') {
            continue;
        }
        const std::size_t end = text.find('>', i);
        if (end == std::string_view::npos) {
            return "a < alone: " + std::string(here);
        }
        std::string_view tag = text.substr(i + 1, end - i - 1);
        i = end;
        if (tag.starts_with('/')) {
            if (open.empty() || open.back() != tag.substr(1)) {
                return "</> without its start: " + std::string(here);
            }
            open.pop_back();
            continue;
        }
        const bool is_closed = tag.ends_with('/');
        tag.remove_suffix(is_closed ? 1 : 0);
        const std::size_t length = std::min(tag.find(' '), tag.size());
        if (!detail::is_name(tag.substr(0, length)) || !detail::are_attributes(tag.substr(length))) {
            return "a tag that is none: " + std::string(here);
        }
        if (!is_closed) {
            open.push_back(tag.substr(0, length));
        }
    }
    return open.empty() ? "" : "never closed: " + std::string(open.back());
}

/// Whether any word of the text is a number that is not finite.
inline bool names_no_number(std::string_view text) {
    for (const std::string_view word : {"nan", "inf"}) {
        for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
            const auto is_letter = [&](std::size_t i) {
                return i < text.size() && std::isalpha(static_cast<unsigned char>(text[i])) != 0;
            };
            if (!is_letter(at - 1) && !is_letter(at + 3)) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace report_test
