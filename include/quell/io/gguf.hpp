// SPDX-License-Identifier: MIT
/// @file
/// Reading GGUF, versions 2 and 3, little-endian: key-value pairs, tensor descriptions, padding, data. Everything is
/// checked before a view is handed out; what is well-formed but not readable here (version 1, big-endian, other block
/// formats, split models) is refused by name.
/// Source: the GGUF specification and its reference reader, whose rules on offsets are kept: every tensor stands where
/// the sum of the padded sizes before it says.
#pragma once

#include "quell/io/gguf_metadata.hpp"
#include "quell/io/mapped_file.hpp"
#include "quell/io/tensor_view.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quell::io {
inline namespace QUELL_BASELINE {

/// A GGUF file, mapped: its keys, by inheritance, and its tensors. Views live as long as it does; it may be moved.
class gguf_file : public gguf_metadata {
public:
    /// Errors   errc::io_failed; errc::bad_format with the key or tensor and the number; errc::unsupported.
    [[nodiscard]] static result<gguf_file> open(const std::string& path) {
        QUELL_TRY(mapped_file mapping, mapped_file::open(path));
        QUELL_TRY(gguf_file file, parse(mapping.bytes(), path));
        file.mapping_ = std::move(mapping);
        return file;
    }

    /// The same for bytes that the caller keeps; `name` stands for the file's name in errors.
    [[nodiscard]] static result<gguf_file> parse(std::span<const std::byte> bytes, const std::string& name);

    /// In the order of the file.
    [[nodiscard]] std::span<const tensor_view> tensors() const { return tensors_.all(); }
    /// nullptr where there is none.
    [[nodiscard]] const tensor_view* find(std::string_view name) const { return tensors_.find(name); }
    /// The tensor's pages may leave memory; reading it again is slow but right.
    void drop(const tensor_view& tensor) const {
        if (!mapping_.bytes().empty()) {
            mapping_.drop(tensor.bytes);
        }
    }

private:
    gguf_file(gguf_metadata keys, tensor_list tensors) : gguf_metadata(std::move(keys)), tensors_(std::move(tensors)) {}

    mapped_file mapping_;
    tensor_list tensors_;
};

namespace detail {

/// ggml's numbers of the types that quell reads.
[[nodiscard]] inline std::optional<dtype> ggml_type(std::uint32_t number) {
    switch (number) {
        case 0: return dtype::f32;
        case 1: return dtype::f16;
        case 2: return dtype::q4_0;
        case 3: return dtype::q4_1;
        case 6: return dtype::q5_0;
        case 7: return dtype::q5_1;
        case 8: return dtype::q8_0;
        case 12: return dtype::q4_k;
        case 13: return dtype::q5_k;
        case 14: return dtype::q6_k;
        case 24: return dtype::i8;
        case 25: return dtype::i16;
        case 26: return dtype::i32;
        case 27: return dtype::i64;
        case 28: return dtype::f64;
        case 30: return dtype::bf16;
        default: return std::nullopt;
    }
}

/// The names of the types that quell does not read; empty where ggml has none either.
[[nodiscard]] inline std::string_view foreign_ggml_type(std::uint32_t number) {
    switch (number) {
        case 9: return "Q8_1";
        case 10: return "Q2_K";
        case 11: return "Q3_K";
        case 15: return "Q8_K";
        case 16: return "IQ2_XXS";
        case 17: return "IQ2_XS";
        case 18: return "IQ3_XXS";
        case 19: return "IQ1_S";
        case 20: return "IQ4_NL";
        case 21: return "IQ3_S";
        case 22: return "IQ2_S";
        case 23: return "IQ4_XS";
        case 29: return "IQ1_M";
        case 34: return "TQ1_0";
        case 35: return "TQ2_0";
        case 39: return "MXFP4";
        case 40: return "NVFP4";
        case 41: return "Q1_0";
        case 42: return "Q2_0";
        default: return "";
    }
}

class gguf_parser {
public:
    gguf_parser(std::span<const std::byte> bytes, const std::string& name)
        : bytes_(bytes), file_(std::make_shared<const std::string>(name)), cursor_(bytes, name) {}

    /// Reads everything; afterwards keys() and tensors() are whole.
    result<void> run() {
        if (bytes_.empty()) {
            return bad("is empty");
        }
        QUELL_TRY_VOID(check_version());
        // What a description takes at the least: the length of its name, dimensions, type, offset; of a pair: the
        // length of its key, type, one byte.
        QUELL_TRY(const std::size_t tensors, cursor_.count("the number of tensors", 24, most_tensors));
        QUELL_TRY(const std::size_t pairs, cursor_.count("the number of keys", 13, most_keys));
        QUELL_TRY(keys_, read_gguf_metadata(cursor_, pairs));
        QUELL_TRY_VOID(read_alignment());
        QUELL_TRY_VOID(refuse_split());
        for (std::size_t i = 0; i < tensors; ++i) {
            QUELL_TRY_VOID(read_tensor(i));
        }
        return place_tensors();
    }

    [[nodiscard]] gguf_metadata& keys() { return keys_; }
    [[nodiscard]] std::vector<tensor_view>& tensors() { return tensors_; }

private:
    static constexpr std::uint64_t most_tensors = 1'000'000;
    static constexpr std::uint64_t most_keys = 1'000'000;
    static constexpr std::uint64_t longest_name = 64;
    static constexpr std::uint32_t most_dimensions = 4;
    static constexpr std::size_t largest_alignment = std::size_t{1} << 20U;

    template <typename... Parts>
    [[nodiscard]] error bad(const Parts&... parts) const {
        return failure(errc::bad_format, *file_, parts...);
    }

    result<void> check_version() {
        QUELL_TRY(const auto magic, cursor_.take(4, "the magic number"));
        if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
            return bad("does not start with \"GGUF\"");
        }
        QUELL_TRY(const auto version, cursor_.number<std::uint32_t>("the version"));
        if (version != 0 && (version & 0xffffU) == 0) {
            return failure(errc::unsupported, *file_, "is big-endian");
        }
        if (version != 2 && version != 3) {
            return failure(errc::unsupported, *file_, "is GGUF version ", version, ", not 2 or 3");
        }
        return {};
    }

    result<void> read_alignment() {
        constexpr std::string_view key = "general.alignment";
        if (!keys_.has(key)) {
            return {};
        }
        QUELL_TRY(const std::uint64_t alignment, keys_.unsigned_value(key));
        if (alignment == 0 || alignment > largest_alignment || (alignment & (alignment - 1)) != 0) {
            return bad(key, " is ", alignment, ", not a power of two up to ", largest_alignment);
        }
        alignment_ = static_cast<std::size_t>(alignment);
        return {};
    }

    result<void> refuse_split() const {
        constexpr std::string_view key = "split.count";
        if (!keys_.has(key)) {
            return {};
        }
        QUELL_TRY(const std::uint64_t parts, keys_.unsigned_value(key));
        if (parts > 1) {
            return failure(errc::unsupported, *file_, "is one of ", parts, " parts of a split model: merge them first");
        }
        return {};
    }

    /// Reads a description and keeps the offset that it claims; place_tensors() compares it.
    result<void> read_tensor(std::size_t index) {
        const std::string number = "tensor " + std::to_string(index);
        QUELL_TRY(const std::string_view name, cursor_.text("the name of " + number, longest_name));
        if (name.empty()) {
            return bad(number, " has no name");
        }
        const std::string label = "tensor " + io::quoted(name);
        QUELL_TRY(std::vector<std::size_t> shape, read_shape(label));
        QUELL_TRY(const dtype type, read_type(label));
        QUELL_TRY(const auto offset, cursor_.number<std::uint64_t>(label));
        tensors_.push_back({std::string(name), type, std::move(shape), {}, file_});
        offsets_.push_back(offset);
        return {};
    }

    result<std::vector<std::size_t>> read_shape(const std::string& label) {
        QUELL_TRY(const auto dimensions, cursor_.number<std::uint32_t>(label));
        if (dimensions > most_dimensions) {
            return bad(label, " claims ", dimensions, " dimensions, more than ", most_dimensions);
        }
        std::vector<std::size_t> shape(dimensions);
        for (std::size_t& size : shape) {
            QUELL_TRY(size, cursor_.number<std::uint64_t>(label));
        }
        std::reverse(shape.begin(), shape.end());
        return shape;
    }

    result<dtype> read_type(const std::string& label) {
        QUELL_TRY(const auto number, cursor_.number<std::uint32_t>(label));
        if (const std::optional<dtype> type = ggml_type(number)) {
            return *type;
        }
        const std::string_view foreign = foreign_ggml_type(number);
        if (!foreign.empty()) {
            return failure(errc::unsupported, *file_, label, ": the type ", foreign, " is not supported");
        }
        return bad(label, " has the unknown type ", number);
    }

    result<void> place_tensors() {
        const std::size_t begin = (cursor_.position() + alignment_ - 1) / alignment_ * alignment_;
        const std::span<const std::byte> data = bytes_.subspan(std::min(begin, bytes_.size()));
        std::size_t due = 0;
        for (std::size_t i = 0; i < tensors_.size(); ++i) {
            tensor_view& tensor = tensors_[i];
            QUELL_TRY(const std::size_t size, size_of(tensor));
            if (offsets_[i] != due) {
                return bad("tensor ", io::quoted(tensor.name), " claims to start at byte ", offsets_[i],
                           " of the data, but the tensors before it end at ", due);
            }
            if (due > data.size() || size > data.size() - due) {
                return bad("tensor ", io::quoted(tensor.name), " takes ", size, " bytes from byte ", due,
                           " of the data on, but the data has ", data.size(), " (truncated?)");
            }
            tensor.bytes = data.subspan(due, size);
            due += (size + alignment_ - 1) / alignment_ * alignment_;
        }
        return {};
    }

    result<std::size_t> size_of(const tensor_view& tensor) const {
        const std::size_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
        const dtype_traits block = traits(tensor.type);
        if (row % block.elems != 0) {
            return bad("tensor ", io::quoted(tensor.name), ": rows of ", row, " do not divide into ", block.name,
                       " blocks of ", block.elems);
        }
        if (const std::optional<std::size_t> size = tensor_bytes(tensor.type, tensor.shape)) {
            return *size;
        }
        return bad("tensor ", io::quoted(tensor.name), ": the size of ", to_text(tensor.shape), " overflows");
    }

    std::span<const std::byte> bytes_;
    std::shared_ptr<const std::string> file_;
    byte_cursor cursor_;
    gguf_metadata keys_;
    std::vector<tensor_view> tensors_;
    std::vector<std::uint64_t> offsets_;
    std::size_t alignment_ = 32;
};

}  // namespace detail

inline result<gguf_file> gguf_file::parse(std::span<const std::byte> bytes, const std::string& name) {
    detail::gguf_parser parser(bytes, name);
    QUELL_TRY_VOID(parser.run());
    gguf_file file(std::move(parser.keys()), tensor_list(std::move(parser.tensors())));
    if (const tensor_view* twice = file.tensors_.duplicate()) {
        return failure(errc::bad_format, name, "the tensor ", io::quoted(twice->name), " stands twice");
    }
    return file;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::io
