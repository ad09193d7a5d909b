// SPDX-License-Identifier: MIT
/// @file
/// `markup`: text of an HTML page, or of a picture in it, that can only grow out of escaped text, of elements around
/// markup, and of literals of the program. So no name out of a file ever becomes a tag.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/target.hpp"
#include "quell/core/utf8.hpp"

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace quell::report {
inline namespace QUELL_BASELINE {

namespace detail {

/// Control characters and bytes that are no UTF-8 become U+FFFD: HTML forbids NUL, XML the others.
inline void append_escaped(std::string& out, std::string_view plain) {
    while (!plain.empty()) {
        const std::size_t length = utf8_length(plain);
        const char c = plain[0];
        switch (c) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '"': out += "&quot;"; break;
            case '\'': out += "&#39;"; break;
            default: {
                const bool printable = length > 1 || (length == 1 && c >= ' ' && c != '\x7f') || c == '\n' || c == '\t';
                out += printable ? plain.substr(0, length) : "\xef\xbf\xbd";
            }
        }
        plain.remove_prefix(std::max<std::size_t>(length, 1));
    }
}

}  // namespace detail

struct attribute {
    std::string_view name;
    std::string value;
};

class markup {
public:
    markup() = default;

    /// What a person reads, whatever is in it.
    [[nodiscard]] static markup escaped(std::string_view plain) {
        markup m;
        detail::append_escaped(m.text_, plain);
        return m;
    }
    /// Markup that stands in the program itself.
    template <std::size_t N>
    [[nodiscard]] static markup literal(const char (&text)[N]) {
        markup m;
        m.text_ = text;
        return m;
    }

    markup& operator+=(const markup& more) {
        text_ += more.text_;
        return *this;
    }
    [[nodiscard]] const std::string& text() const { return text_; }
    [[nodiscard]] bool empty() const { return text_.empty(); }

    /// <name attributes>content</name>, or <name attributes/> without content.
    /// Requires names of tags and attributes from the program.
    [[nodiscard]] static markup element(std::string_view name, std::initializer_list<attribute> attributes,
                                        const markup& content) {
        markup m;
        m.open(name, attributes);
        m.text_ += '>';
        m.text_ += content.text_;
        m.text_ += "</";
        m.text_ += name;
        m.text_ += '>';
        return m;
    }
    [[nodiscard]] static markup element(std::string_view name, std::initializer_list<attribute> attributes) {
        markup m;
        m.open(name, attributes);
        m.text_ += "/>";
        return m;
    }

private:
    void open(std::string_view name, std::initializer_list<attribute> attributes) {
        text_ += '<';
        text_ += name;
        for (const attribute& a : attributes) {
            text_ += ' ';
            text_ += a.name;
            text_ += "=\"";
            detail::append_escaped(text_, a.value);
            text_ += '"';
        }
    }

    std::string text_;
};

[[nodiscard]] inline markup operator+(markup a, const markup& b) {
    a += b;
    return a;
}

using attributes = std::initializer_list<attribute>;

/// An element around plain text.
[[nodiscard]] inline markup text_element(std::string_view name, attributes a, std::string_view plain) {
    return markup::element(name, a, markup::escaped(plain));
}

}  // namespace QUELL_BASELINE
}  // namespace quell::report
