// SPDX-License-Identifier: MIT
/// @file
/// Writing safetensors: the same tensors give the same bytes, whatever order they come in. The data starts at a
/// multiple of 64 bytes and the tensors stand in falling order of the largest power of two (up to 64) that divides
/// their size, so that each starts at a multiple of that power: packed weights, whose size is a multiple of 64, can be
/// used straight from a mapping.
#pragma once

#include "quell/core/utf8.hpp"
#include "quell/io/atomic_file.hpp"
#include "quell/io/safetensors.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace quell::io {
inline namespace QUELL_BASELINE {

/// Shapes   row-major; bytes holds product(shape) elements.
struct tensor_to_write {
    std::string name;
    dtype type = dtype::f32;
    std::vector<std::size_t> shape = {};
    std::span<const std::byte> bytes = {};
};

namespace detail {

constexpr std::size_t file_alignment = 64;

/// The largest power of two up to 64 that divides `size`; 64 for 0.
[[nodiscard]] constexpr std::size_t natural_alignment(std::size_t size) {
    const std::size_t bits = size | file_alignment;
    return bits & (~bits + 1);
}

[[nodiscard]] inline result<void> check_to_write(const std::string& path, const tensor_to_write& tensor) {
    const std::string label = "tensor " + io::quoted(tensor.name);
    if (tensor.name == "__metadata__") {
        return failure(errc::bad_value, path, label, ": the name is taken by the format");
    }
    if (!is_utf8(tensor.name)) {
        return failure(errc::bad_value, path, label, ": the name is not UTF-8");
    }
    if (traits(tensor.type).elems != 1) {
        return failure(errc::unsupported, path, label, ": safetensors has no ", traits(tensor.type).name);
    }
    const std::optional<std::size_t> wanted = tensor_bytes(tensor.type, tensor.shape);
    if (!wanted || *wanted != tensor.bytes.size()) {
        return failure(errc::bad_shape, path, label, ": ", tensor.bytes.size(), " bytes cannot be ",
                       traits(tensor.type).name, " ", to_text(tensor.shape));
    }
    return {};
}

[[nodiscard]] inline result<void> check_to_write(const std::string& path, const string_map& metadata) {
    for (const auto& [key, value] : metadata) {
        if (!is_utf8(key) || !is_utf8(value)) {
            return failure(errc::bad_value, path, "__metadata__: ", io::quoted(key), " or its value is not UTF-8");
        }
    }
    return {};
}

[[nodiscard]] inline std::vector<const tensor_to_write*> file_order(std::span<const tensor_to_write> tensors) {
    std::vector<const tensor_to_write*> order;
    for (const tensor_to_write& tensor : tensors) {
        order.push_back(&tensor);
    }
    std::sort(order.begin(), order.end(), [](const tensor_to_write* a, const tensor_to_write* b) {
        const std::size_t left = natural_alignment(a->bytes.size());
        const std::size_t right = natural_alignment(b->bytes.size());
        return left != right ? left > right : a->name < b->name;
    });
    return order;
}

/// The length and the header, padded with spaces.
[[nodiscard]] inline result<std::string> safetensors_header(const std::string& path,
                                                            std::span<const tensor_to_write* const> order,
                                                            const string_map& metadata) {
    nlohmann::json document = nlohmann::json::object();
    if (!metadata.empty()) {
        document["__metadata__"] = metadata;
    }
    std::size_t offset = 0;
    for (const tensor_to_write* tensor : order) {
        QUELL_TRY_VOID(check_to_write(path, *tensor));
        if (document.contains(tensor->name)) {
            return failure(errc::bad_value, path, "tensor ", io::quoted(tensor->name), " is there twice");
        }
        const std::size_t end = offset + tensor->bytes.size();
        document[tensor->name] = {
            {"dtype", traits(tensor->type).name}, {"shape", tensor->shape}, {"data_offsets", {offset, end}}};
        offset = end;
    }
    std::string text = document.dump();
    const std::size_t used = sizeof(std::uint64_t) + text.size();
    text.append((file_alignment - used % file_alignment) % file_alignment, ' ');
    if (text.size() > longest_header) {
        return failure(errc::unsupported, path, "a header of ", text.size(), " bytes, more than ", longest_header);
    }
    const auto length = std::bit_cast<std::array<char, sizeof(std::uint64_t)>>(std::uint64_t{text.size()});
    return std::string(length.begin(), length.end()) + text;
}

}  // namespace detail

/// Writes a whole file, or leaves the path as it was.
///
/// Errors   errc::io_failed; errc::bad_shape and errc::bad_value with the tensor; errc::unsupported for block formats.
[[nodiscard]] inline result<void> write_safetensors(const std::string& path, std::span<const tensor_to_write> tensors,
                                                    const string_map& metadata) {
    QUELL_TRY_VOID(detail::check_to_write(path, metadata));
    const std::vector<const tensor_to_write*> order = detail::file_order(tensors);
    QUELL_TRY(const std::string header, detail::safetensors_header(path, order, metadata));
    QUELL_TRY(atomic_file file, atomic_file::create(path));
    QUELL_TRY_VOID(file.write(std::as_bytes(std::span(header))));
    for (const tensor_to_write* tensor : order) {
        QUELL_TRY_VOID(file.write(tensor->bytes));
    }
    return file.commit();
}

}  // namespace QUELL_BASELINE
}  // namespace quell::io
