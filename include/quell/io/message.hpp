// SPDX-License-Identifier: MIT
/// @file
/// How io words its errors: one line that starts with the file's name. What a hostile file put into a name is made
/// printable and short before it gets there.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/target.hpp"

#include <cerrno>
#include <concepts>
#include <string>
#include <string_view>
#include <system_error>

namespace quell::io {
inline namespace QUELL_BASELINE {

/// "text" in double quotes, fit for one line: control bytes become \xNN and what exceeds 80 bytes is cut.
[[nodiscard]] inline std::string quoted(std::string_view text) {
    constexpr std::size_t longest = 80;
    constexpr std::string_view digits = "0123456789abcdef";
    std::string line = "\"";
    for (const char c : text.substr(0, longest)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f || byte == '"' || byte == '\\') {
            line += {'\\', 'x', digits[byte >> 4U], digits[byte & 15U]};
        } else {
            line += c;
        }
    }
    return line + (text.size() > longest ? "\"…" : "\"");
}

namespace detail {

inline void append(std::string& line, std::string_view text) {
    line += text;
}

template <std::integral Number>
void append(std::string& line, Number number) {
    line += std::to_string(number);
}

}  // namespace detail

/// The error "`file`: `parts`", where the parts are texts and whole numbers.
template <typename... Parts>
[[nodiscard]] error failure(errc code, const std::string& file, const Parts&... parts) {
    std::string line = file + ": ";
    (detail::append(line, parts), ...);
    return {code, std::move(line)};
}

/// The error of the system call that has just failed: "`file`: `what`: No space left on device".
[[nodiscard]] inline error system_failure(const std::string& file, std::string_view what) {
    return failure(errc::io_failed, file, what, ": ", std::generic_category().message(errno));
}

}  // namespace QUELL_BASELINE
}  // namespace quell::io
