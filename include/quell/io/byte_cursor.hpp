// SPDX-License-Identifier: MIT
/// @file
/// Walks through the bytes of a header. Whatever a file claims, nothing is read, skipped or counted beyond its end.
#pragma once

#include "quell/io/message.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace quell::io {
inline namespace QUELL_BASELINE {
namespace detail {

class byte_cursor {
public:
    byte_cursor(std::span<const std::byte> bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}

    [[nodiscard]] const std::string& file() const { return file_; }
    [[nodiscard]] std::size_t position() const { return position_; }
    /// The bytes from an earlier position to this one.
    [[nodiscard]] std::span<const std::byte> since(std::size_t earlier) const {
        return bytes_.subspan(earlier, position_ - earlier);
    }
    [[nodiscard]] std::size_t remaining() const { return bytes_.size() - position_; }

    /// `what` names in errors what these bytes are.
    result<std::span<const std::byte>> take(std::uint64_t count, std::string_view what) {
        if (count > remaining()) {
            return failure(errc::bad_format, file_, what, " at byte ", position_, " takes ", count, " bytes, but only ",
                           remaining(), " follow (truncated?)");
        }
        const auto part = bytes_.subspan(position_, static_cast<std::size_t>(count));
        position_ += part.size();
        return part;
    }

    template <typename Number>
    result<Number> number(std::string_view what) {
        QUELL_TRY(const auto part, take(sizeof(Number), what));
        Number value;
        std::memcpy(&value, part.data(), sizeof(Number));
        return value;
    }

    /// A 64-bit length, then so many bytes; at most `longest`.
    result<std::string_view> text(std::string_view what, std::uint64_t longest) {
        QUELL_TRY(const auto length, number<std::uint64_t>(what));
        if (length > longest) {
            return failure(errc::bad_format, file_, what, " at byte ", position_, " claims ", length,
                           " bytes, more than ", longest);
        }
        QUELL_TRY(const auto part, take(length, what));
        return std::string_view(reinterpret_cast<const char*>(part.data()), part.size());
    }

    /// A 64-bit count of things that take at least `least` bytes each: no more than can follow, at most `most`.
    result<std::size_t> count(std::string_view what, std::size_t least, std::uint64_t most) {
        QUELL_TRY(const auto claimed, number<std::uint64_t>(what));
        if (claimed > most) {
            return failure(errc::bad_format, file_, what, " claims ", claimed, ", more than ", most);
        }
        if (claimed > remaining() / least) {
            return failure(errc::bad_format, file_, what, " claims ", claimed, ", but only ", remaining(),
                           " bytes follow (truncated?)");
        }
        return static_cast<std::size_t>(claimed);
    }

private:
    std::span<const std::byte> bytes_;
    std::string file_;
    std::size_t position_ = 0;
};

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::io
