// SPDX-License-Identifier: MIT
/// @file
/// The key-value part of a GGUF file. Values stay in the file's bytes; a getter checks the type and converts.
/// Source: the GGUF specification, version 3, and its reference reader's limits.
#pragma once

#include "quell/io/byte_cursor.hpp"

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quell::io {
inline namespace QUELL_BASELINE {

/// The types of values, with the numbers that files use.
enum class gguf_type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

[[nodiscard]] constexpr std::string_view name(gguf_type type) {
    constexpr std::string_view names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                          "bool", "string", "array", "u64", "i64", "f64"};
    return names[static_cast<std::size_t>(type)];
}

/// Bytes of a number or bool; 0 for strings and arrays.
[[nodiscard]] constexpr std::size_t width(gguf_type type) {
    constexpr std::size_t widths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return widths[static_cast<std::size_t>(type)];
}

/// A value in the file's bytes. A scalar is an array of one.
struct gguf_value {
    gguf_type element = gguf_type::u8;
    bool is_array = false;
    std::size_t count = 1;
    std::span<const std::byte> bytes = {};
};

/// The keys of a GGUF file and typed access to their values. Views into strings live as long as the file.
///
/// Errors   of all getters: errc::not_found; errc::bad_format where the value has another type; errc::bad_value where
///          a number does not fit or is not finite. All name the file and the key.
class gguf_metadata {
public:
    gguf_metadata() = default;
    gguf_metadata(std::string file, std::map<std::string, gguf_value, std::less<>> values)
        : file_(std::move(file)), values_(std::move(values)) {}

    [[nodiscard]] const std::string& path() const { return file_; }
    [[nodiscard]] bool has(std::string_view key) const { return values_.find(key) != values_.end(); }
    [[nodiscard]] const std::map<std::string, gguf_value, std::less<>>& values() const { return values_; }

    /// Any integer type, if the number is not negative.
    [[nodiscard]] result<std::uint64_t> unsigned_value(std::string_view key) const {
        return scalar<std::uint64_t>(key, "a whole number");
    }
    /// Any integer type.
    [[nodiscard]] result<std::int64_t> signed_value(std::string_view key) const {
        return scalar<std::int64_t>(key, "a whole number");
    }
    /// f32 or f64.
    [[nodiscard]] result<double> real_value(std::string_view key) const { return scalar<double>(key, "a real number"); }
    [[nodiscard]] result<bool> bool_value(std::string_view key) const {
        QUELL_TRY(const gguf_value value, typed(key, false, bool_type, "a bool"));
        return value.bytes[0] != std::byte{0};
    }
    [[nodiscard]] result<std::string> string_value(std::string_view key) const {
        QUELL_TRY(const gguf_value value, typed(key, false, string_type, "a string"));
        return std::string(strings_of(value)[0]);
    }

    [[nodiscard]] result<std::vector<std::string_view>> string_array(std::string_view key) const {
        QUELL_TRY(const gguf_value value, typed(key, true, string_type, "an array of strings"));
        return strings_of(value);
    }
    /// Any integer type whose values fit.
    [[nodiscard]] result<std::vector<std::int32_t>> int_array(std::string_view key) const {
        return read<std::int32_t>(key, true, "an array of whole numbers");
    }
    /// f32, or f64 rounded to it.
    [[nodiscard]] result<std::vector<float>> real_array(std::string_view key) const {
        return read<float>(key, true, "an array of real numbers");
    }

private:
    static constexpr std::array bool_type = {gguf_type::boolean};
    static constexpr std::array string_type = {gguf_type::string};
    static constexpr std::array real_types = {gguf_type::f32, gguf_type::f64};
    static constexpr std::array integer_types = {gguf_type::u8,  gguf_type::i8,  gguf_type::u16, gguf_type::i16,
                                                 gguf_type::u32, gguf_type::i32, gguf_type::u64, gguf_type::i64};

    template <typename Number>
    static constexpr std::span<const gguf_type> accepted() {
        if constexpr (std::floating_point<Number>) {
            return real_types;
        } else {
            return integer_types;
        }
    }

    template <typename... Parts>
    [[nodiscard]] error bad(errc code, std::string_view key, const Parts&... parts) const {
        return failure(code, file_, "key ", io::quoted(key), parts...);
    }

    result<gguf_value> typed(std::string_view key, bool array, std::span<const gguf_type> elements,
                             std::string_view wanted) const {
        const auto entry = values_.find(key);
        if (entry == values_.end()) {
            return bad(errc::not_found, key, " is missing");
        }
        const gguf_value& value = entry->second;
        for (const gguf_type element : elements) {
            if (value.is_array == array && value.element == element) {
                return value;
            }
        }
        return bad(errc::bad_format, key, " holds ", value.is_array ? "an array of " : "", name(value.element),
                   ", not ", wanted);
    }

    template <typename Number>
    result<std::vector<Number>> read(std::string_view key, bool array, std::string_view wanted) const {
        QUELL_TRY(const gguf_value value, typed(key, array, accepted<Number>(), wanted));
        std::vector<Number> numbers(value.count);
        for (std::size_t i = 0; i < value.count; ++i) {
            if (!convert(value, i, numbers[i])) {
                return bad(errc::bad_value, key, ": the number at position ", i, " is out of range");
            }
        }
        return numbers;
    }

    template <typename Number>
    result<Number> scalar(std::string_view key, std::string_view wanted) const {
        QUELL_TRY(const std::vector<Number> one, read<Number>(key, false, wanted));
        return one[0];
    }

    /// Whether number i of the value fits into `out`, which then holds it.
    template <typename Number>
    static bool convert(const gguf_value& value, std::size_t i, Number& out) {
        switch (value.element) {
            case gguf_type::u8: return store<std::uint8_t>(value, i, out);
            case gguf_type::i8: return store<std::int8_t>(value, i, out);
            case gguf_type::u16: return store<std::uint16_t>(value, i, out);
            case gguf_type::i16: return store<std::int16_t>(value, i, out);
            case gguf_type::u32: return store<std::uint32_t>(value, i, out);
            case gguf_type::i32: return store<std::int32_t>(value, i, out);
            case gguf_type::u64: return store<std::uint64_t>(value, i, out);
            case gguf_type::i64: return store<std::int64_t>(value, i, out);
            case gguf_type::f32: return store<float>(value, i, out);
            case gguf_type::f64: return store<double>(value, i, out);
            default: return false;
        }
    }

    template <typename Stored, typename Number>
    static bool store(const gguf_value& value, std::size_t i, Number& out) {
        Stored stored;
        std::memcpy(&stored, value.bytes.data() + i * sizeof(Stored), sizeof(Stored));
        out = static_cast<Number>(stored);
        if constexpr (std::integral<Stored> && std::integral<Number>) {
            return std::in_range<Number>(stored);
        } else {
            return std::isfinite(out);
        }
    }

    /// The reader has checked the lengths.
    static std::vector<std::string_view> strings_of(const gguf_value& value) {
        std::vector<std::string_view> strings;
        strings.reserve(value.count);
        const char* at = reinterpret_cast<const char*>(value.bytes.data());
        for (std::size_t i = 0; i < value.count; ++i) {
            std::uint64_t length = 0;
            std::memcpy(&length, at, sizeof(length));
            strings.emplace_back(at + sizeof(length), static_cast<std::size_t>(length));
            at += sizeof(length) + length;
        }
        return strings;
    }

    std::string file_;
    std::map<std::string, gguf_value, std::less<>> values_;
};

namespace detail {

constexpr std::uint64_t longest_key = 65'535;
constexpr std::uint64_t longest_string = std::uint64_t{1} << 20U;
constexpr std::uint64_t longest_array = std::uint64_t{1} << 30U;

inline result<gguf_type> read_gguf_type(byte_cursor& cursor, const std::string& what) {
    QUELL_TRY(const auto number, cursor.number<std::uint32_t>(what));
    if (number > static_cast<std::uint32_t>(gguf_type::f64)) {
        return failure(errc::bad_format, cursor.file(), what, " has the unknown type ", number);
    }
    return static_cast<gguf_type>(number);
}

/// Walks over the elements, so that getters need not check their lengths again.
inline result<void> read_elements(byte_cursor& cursor, const std::string& what, gguf_value& value) {
    const std::size_t begin = cursor.position();
    if (value.element == gguf_type::string) {
        for (std::size_t i = 0; i < value.count; ++i) {
            if (const auto text = cursor.text(what, longest_string); !text) {
                return text.error();
            }
        }
    } else if (const auto numbers = cursor.take(value.count * width(value.element), what); !numbers) {
        return numbers.error();
    }
    value.bytes = cursor.since(begin);
    return {};
}

inline result<gguf_value> read_gguf_value(byte_cursor& cursor, const std::string& what) {
    gguf_value value;
    QUELL_TRY(value.element, read_gguf_type(cursor, what));
    if (value.element == gguf_type::array) {
        value.is_array = true;
        QUELL_TRY(value.element, read_gguf_type(cursor, what));
        if (value.element == gguf_type::array) {
            return failure(errc::bad_format, cursor.file(), what, " holds an array of arrays");
        }
        const std::size_t least = value.element == gguf_type::string ? sizeof(std::uint64_t) : width(value.element);
        QUELL_TRY(value.count, cursor.count(what, least, longest_array));
    }
    QUELL_TRY_VOID(read_elements(cursor, what, value));
    return value;
}

inline result<gguf_metadata> read_gguf_metadata(byte_cursor& cursor, std::size_t pairs) {
    std::map<std::string, gguf_value, std::less<>> values;
    for (std::size_t i = 0; i < pairs; ++i) {
        QUELL_TRY(const std::string_view key, cursor.text("key " + std::to_string(i), longest_key));
        if (key.empty()) {
            return failure(errc::bad_format, cursor.file(), "key ", i, " is empty");
        }
        QUELL_TRY(const gguf_value value, read_gguf_value(cursor, "the value of " + io::quoted(key)));
        if (!values.emplace(key, value).second) {
            return failure(errc::bad_format, cursor.file(), "the key ", io::quoted(key), " stands twice");
        }
    }
    return gguf_metadata(cursor.file(), std::move(values));
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::io
