// SPDX-License-Identifier: MIT
/// @file
/// Reading safetensors: 8 bytes of length, a JSON header, then the tensors without gaps. Every rule of the format is
/// checked before a view is handed out, the strict ones too: no hole, no overlap, no byte left over, no key twice.
/// Source: the safetensors specification and its reference reader.
#pragma once

#include "quell/io/json.hpp"
#include "quell/io/mapped_file.hpp"
#include "quell/io/tensor_view.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace quell::io {
inline namespace QUELL_BASELINE {

/// The `__metadata__` of a safetensors file.
using string_map = std::map<std::string, std::string, std::less<>>;

/// A safetensors file, mapped. The views live as long as it does; it may be moved.
class safetensors_file {
public:
    /// Errors   errc::io_failed; errc::bad_format with the tensor and the number; errc::unsupported for element types
    ///          that quell does not know.
    [[nodiscard]] static result<safetensors_file> open(const std::string& path) {
        QUELL_TRY(mapped_file mapping, mapped_file::open(path));
        QUELL_TRY(safetensors_file file, parse(mapping.bytes(), path));
        file.mapping_ = std::move(mapping);
        return file;
    }

    /// The same for bytes that the caller keeps; `name` stands for the file's name in errors.
    [[nodiscard]] static result<safetensors_file> parse(std::span<const std::byte> bytes, const std::string& name);

    /// In the order of their bytes.
    [[nodiscard]] std::span<const tensor_view> tensors() const { return tensors_.all(); }
    /// nullptr where there is none.
    [[nodiscard]] const tensor_view* find(std::string_view name) const { return tensors_.find(name); }
    [[nodiscard]] const string_map& metadata() const { return metadata_; }
    /// The tensor's pages may leave memory; reading it again is slow but right.
    void drop(const tensor_view& tensor) const {
        if (!mapping_.bytes().empty()) {
            mapping_.drop(tensor.bytes);
        }
    }

private:
    mapped_file mapping_;
    tensor_list tensors_;
    string_map metadata_;
};

namespace detail {

constexpr std::size_t longest_header = 100'000'000;

/// The types that safetensors and quell share, under safetensors' names.
[[nodiscard]] inline std::optional<dtype> safetensors_type(std::string_view name) {
    for (const dtype type : {dtype::f32, dtype::f16, dtype::bf16, dtype::f64, dtype::i8, dtype::i16, dtype::i32,
                             dtype::i64, dtype::u8, dtype::u16, dtype::u32, dtype::u64, dtype::boolean}) {
        if (traits(type).name == name) {
            return type;
        }
    }
    return std::nullopt;
}

class safetensors_parser {
public:
    using json = nlohmann::json;

    safetensors_parser(std::span<const std::byte> bytes, const std::string& name)
        : bytes_(bytes), file_(std::make_shared<const std::string>(name)) {}

    /// Reads everything; afterwards tensors() and metadata() are whole.
    result<void> run() {
        QUELL_TRY(const std::string_view text, header());
        QUELL_TRY(const json document, parse_json(text, *file_ + ": header"));
        const auto* members = document.get_ptr<const json::object_t*>();
        if (members == nullptr) {
            return bad("the header is not a JSON object");
        }
        for (const auto& [name, value] : *members) {
            QUELL_TRY_VOID(name == "__metadata__" ? read_metadata(value) : read_tensor(name, value));
        }
        return check_layout();
    }

    [[nodiscard]] std::vector<tensor_view>& tensors() { return tensors_; }
    [[nodiscard]] string_map& metadata() { return metadata_; }

private:
    template <typename... Parts>
    [[nodiscard]] error bad(const Parts&... parts) const {
        return failure(errc::bad_format, *file_, parts...);
    }

    /// Checks the length, remembers where the data stands, and gives the header's text.
    result<std::string_view> header() {
        std::uint64_t length = 0;
        if (bytes_.size() < sizeof(length)) {
            return bytes_.empty() ? bad("is empty")
                                  : bad("ends inside the length of its header, after ", bytes_.size(), " bytes");
        }
        std::memcpy(&length, bytes_.data(), sizeof(length));
        const std::size_t rest = bytes_.size() - sizeof(length);
        if (length > longest_header) {
            return bad("claims a header of ", length, " bytes, more than ", longest_header,
                       " (not a safetensors file?)");
        }
        if (length > rest) {
            return bad("claims a header of ", length, " bytes, but only ", rest, " follow (truncated?)");
        }
        data_ = bytes_.subspan(sizeof(length) + static_cast<std::size_t>(length));
        const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + sizeof(length),
                                    static_cast<std::size_t>(length));
        const std::size_t brace = text.find_first_not_of(" \t\r\n");
        if (brace == std::string_view::npos || text[brace] != '{') {
            return bad("the header does not start with '{'");
        }
        return text;
    }

    result<void> read_metadata(const json& value) {
        const auto* members = value.get_ptr<const json::object_t*>();
        if (members == nullptr) {
            return bad("__metadata__ is not an object");
        }
        for (const auto& [key, entry] : *members) {
            const auto* text = entry.get_ptr<const std::string*>();
            if (text == nullptr) {
                return bad("__metadata__: the value of ", io::quoted(key), " is not a string");
            }
            metadata_.emplace(key, *text);
        }
        return {};
    }

    result<void> read_tensor(const std::string& name, const json& value) {
        const std::string tensor = "tensor " + io::quoted(name);
        const auto* members = value.get_ptr<const json::object_t*>();
        if (members == nullptr) {
            return bad(tensor, " is not described by an object");
        }
        QUELL_TRY(const dtype type, read_type(tensor, *members));
        QUELL_TRY(std::vector<std::size_t> shape, read_numbers(tensor, *members, "shape"));
        QUELL_TRY(const std::vector<std::size_t> range, read_numbers(tensor, *members, "data_offsets"));
        if (range.size() != 2) {
            return bad(tensor, ": data_offsets holds ", range.size(), " numbers, not 2");
        }
        if (range[0] > range[1] || range[1] > data_.size()) {
            return bad(tensor, ": its bytes ", range[0], " to ", range[1], " are not inside the ", data_.size(),
                       " bytes of data");
        }
        const std::optional<std::size_t> wanted = tensor_bytes(type, shape);
        if (!wanted) {
            return bad(tensor, ": the size of ", to_text(shape), " overflows");
        }
        if (*wanted != range[1] - range[0]) {
            return bad(tensor, ": ", traits(type).name, " ", to_text(shape), " takes ", *wanted,
                       " bytes, its data_offsets span ", range[1] - range[0]);
        }
        tensors_.push_back({name, type, std::move(shape), data_.subspan(range[0], *wanted), file_});
        return {};
    }

    result<dtype> read_type(const std::string& tensor, const json::object_t& members) const {
        const auto member = members.find("dtype");
        const auto* name = member == members.end() ? nullptr : member->second.get_ptr<const std::string*>();
        if (name == nullptr) {
            return bad(tensor, " has no dtype");
        }
        if (const std::optional<dtype> type = safetensors_type(*name)) {
            return *type;
        }
        return failure(errc::unsupported, *file_, tensor, ": the dtype ", io::quoted(*name), " is not supported");
    }

    result<std::vector<std::size_t>> read_numbers(const std::string& tensor, const json::object_t& members,
                                                  std::string_view key) const {
        const auto member = members.find(key);
        const auto* array = member == members.end() ? nullptr : member->second.get_ptr<const json::array_t*>();
        if (array == nullptr) {
            return bad(tensor, " has no ", key);
        }
        std::vector<std::size_t> numbers;
        for (const json& entry : *array) {
            if (!entry.is_number_unsigned()) {
                return bad(tensor, ": ", key, "[", numbers.size(), "] is not a whole number from 0 to 2^64 - 1");
            }
            numbers.push_back(entry.get<std::size_t>());
        }
        return numbers;
    }

    /// The tensors in the order of their bytes must cover the data exactly.
    result<void> check_layout() {
        const auto place = [](const tensor_view& t) { return std::tuple(t.bytes.data(), t.bytes.size()); };
        std::stable_sort(tensors_.begin(), tensors_.end(),
                         [&](const tensor_view& a, const tensor_view& b) { return place(a) < place(b); });
        std::size_t covered = 0;
        for (const tensor_view& tensor : tensors_) {
            const auto begin = static_cast<std::size_t>(tensor.bytes.data() - data_.data());
            if (begin != covered) {
                return bad(
                    "tensor ", io::quoted(tensor.name), " begins at byte ", begin, " of the data, ",
                    begin < covered ? "inside the tensor before it, which ends at " : "after a hole that begins at ",
                    covered);
            }
            covered += tensor.bytes.size();
        }
        if (covered != data_.size()) {
            return bad("the tensors end at byte ", covered, " of the data, the file at byte ", data_.size());
        }
        return {};
    }

    std::span<const std::byte> bytes_;
    std::span<const std::byte> data_;
    std::shared_ptr<const std::string> file_;
    std::vector<tensor_view> tensors_;
    string_map metadata_;
};

}  // namespace detail

inline result<safetensors_file> safetensors_file::parse(std::span<const std::byte> bytes, const std::string& name) {
    detail::safetensors_parser parser(bytes, name);
    QUELL_TRY_VOID(parser.run());
    safetensors_file file;
    file.tensors_ = tensor_list(std::move(parser.tensors()));
    file.metadata_ = std::move(parser.metadata());
    return file;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::io
