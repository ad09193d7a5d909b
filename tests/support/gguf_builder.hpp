// SPDX-License-Identifier: MIT
/// @file
/// GGUF files made by hand: whole ones by default, broken ones by setting the public members to lies.
#pragma once

#include "quell/core/types.hpp"
#include "support/byte_writer.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace support {

/// The number of an element type in GGUF files.
inline std::uint32_t ggml_number(quell::dtype type) {
    using quell::dtype;
    switch (type) {
        case dtype::f32: return 0;
        case dtype::f16: return 1;
        case dtype::q4_0: return 2;
        case dtype::q4_1: return 3;
        case dtype::q5_0: return 6;
        case dtype::q5_1: return 7;
        case dtype::q8_0: return 8;
        case dtype::q4_k: return 12;
        case dtype::q5_k: return 13;
        case dtype::q6_k: return 14;
        case dtype::i8: return 24;
        case dtype::i16: return 25;
        case dtype::i32: return 26;
        case dtype::i64: return 27;
        case dtype::f64: return 28;
        case dtype::bf16: return 30;
        default: return 0xffffffffU;
    }
}

/// The bytes of a key's value or of an array's elements, and the number of their type.
struct gguf_bytes {
    std::uint32_t type;
    std::vector<std::byte> bytes;
};

template <typename Number>
gguf_bytes gguf_number(Number value) {
    std::uint32_t type = 0;
    if constexpr (std::same_as<Number, bool>) {
        type = 7;
    } else if constexpr (std::floating_point<Number>) {
        type = sizeof(Number) == 4 ? 6 : 12;
    } else {
        constexpr std::uint32_t unsigned_types[] = {0, 2, 4, 10};
        const std::size_t log2 = sizeof(Number) == 1 ? 0 : sizeof(Number) == 2 ? 1 : sizeof(Number) == 4 ? 2 : 3;
        type = unsigned_types[log2] + (std::signed_integral<Number> ? 1 : 0);
    }
    return {type, byte_writer().put(value).bytes()};
}

struct gguf_builder {
    struct pair {
        std::string key;
        gguf_bytes value;
    };
    struct tensor {
        std::string name;
        std::vector<std::uint64_t> dims;  ///< as the file has them, innermost first
        std::uint32_t type = 0;
        std::vector<std::byte> bytes;
        std::optional<std::uint64_t> offset = {};  ///< where it differs from the truth
    };

    std::string magic = "GGUF";
    std::uint32_t version = 3;
    std::size_t alignment = 32;  ///< of the padding; the key general.alignment is yours to set
    std::optional<std::uint64_t> claimed_tensors = {};
    std::optional<std::uint64_t> claimed_pairs = {};
    std::vector<pair> pairs = {};
    std::vector<tensor> tensors = {};

    gguf_builder& set_raw(std::string key, std::uint32_t type, std::vector<std::byte> bytes) {
        pairs.push_back({std::move(key), {type, std::move(bytes)}});
        return *this;
    }

    /// A number of exactly this type, or a bool.
    template <typename Number>
    requires std::is_arithmetic_v<Number> gguf_builder& set(std::string key, Number value) {
        gguf_bytes number = gguf_number(value);
        return set_raw(std::move(key), number.type, std::move(number.bytes));
    }

    gguf_builder& set(std::string key, std::string_view text) {
        return set_raw(std::move(key), 8, byte_writer().counted_text(text).bytes());
    }

    template <typename Number>
    requires std::is_arithmetic_v<Number> gguf_builder& set(std::string key, const std::vector<Number>& values) {
        byte_writer array;
        array.put(gguf_number(Number{}).type).put(std::uint64_t{values.size()});
        for (const Number value : values) {
            array.put(value);
        }
        return set_raw(std::move(key), 9, array.bytes());
    }

    gguf_builder& set(std::string key, const std::vector<std::string>& texts) {
        byte_writer array;
        array.put(std::uint32_t{8}).put(std::uint64_t{texts.size()});
        for (const std::string& text : texts) {
            array.counted_text(text);
        }
        return set_raw(std::move(key), 9, array.bytes());
    }

    /// Shapes   row-major, outermost first.
    gguf_builder& add(std::string name, quell::dtype type, const std::vector<std::size_t>& shape,
                      std::span<const std::byte> bytes) {
        tensors.push_back(
            {std::move(name), {shape.rbegin(), shape.rend()}, ggml_number(type), {bytes.begin(), bytes.end()}});
        return *this;
    }

    gguf_builder& add(std::string name, const std::vector<std::size_t>& shape, std::span<const float> values) {
        return add(std::move(name), quell::dtype::f32, shape, std::as_bytes(values));
    }

    /// Everything before the data, with its padding.
    [[nodiscard]] byte_writer header() const {
        byte_writer file;
        file.text(magic).put(version);
        file.put(claimed_tensors.value_or(tensors.size())).put(claimed_pairs.value_or(pairs.size()));
        for (const pair& p : pairs) {
            file.counted_text(p.key).put(p.value.type).put(p.value.bytes);
        }
        std::uint64_t due = 0;
        for (const tensor& t : tensors) {
            file.counted_text(t.name).put(static_cast<std::uint32_t>(t.dims.size()));
            for (const std::uint64_t size : t.dims) {
                file.put(size);
            }
            file.put(t.type).put(t.offset.value_or(due));
            due += (t.bytes.size() + alignment - 1) / alignment * alignment;
        }
        return file.pad_to(alignment);
    }

    [[nodiscard]] std::vector<std::byte> build() const {
        byte_writer file = header();
        for (const tensor& t : tensors) {
            file.put(t.bytes).pad_to(alignment);
        }
        return file.bytes();
    }
};

}  // namespace support
