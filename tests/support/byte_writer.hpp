// SPDX-License-Identifier: MIT
/// @file
/// Bytes of a file made by hand, little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace support {

class byte_writer {
public:
    template <typename Number>
    requires std::is_arithmetic_v<Number> byte_writer& put(Number value) {
        return put(std::as_bytes(std::span(&value, 1)));
    }

    byte_writer& put(std::span<const std::byte> part) {
        bytes_.insert(bytes_.end(), part.begin(), part.end());
        return *this;
    }

    byte_writer& text(std::string_view characters) { return put(std::as_bytes(std::span(characters))); }

    /// GGUF's string: a 64-bit length, then the characters.
    byte_writer& counted_text(std::string_view characters) {
        return put(std::uint64_t{characters.size()}).text(characters);
    }

    byte_writer& pad_to(std::size_t multiple) {
        bytes_.resize((bytes_.size() + multiple - 1) / multiple * multiple);
        return *this;
    }

    [[nodiscard]] std::size_t size() const { return bytes_.size(); }
    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

private:
    std::vector<std::byte> bytes_;
};

}  // namespace support
