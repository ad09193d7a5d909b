// SPDX-License-Identifier: MIT
/// @file
/// `tensor_view`: a named tensor as a file holds it, still encoded; `tensor_list`: all tensors of a file, found by
/// name. The bytes may stand at any address: formats promise no alignment.
#pragma once

#include "quell/core/types.hpp"
#include "quell/io/message.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quell::io {
inline namespace QUELL_BASELINE {

static_assert(std::endian::native == std::endian::little, "the file formats are little-endian and used in place");

/// Shapes   shape is row-major, outermost first, also for GGUF, whose files store it the other way round.
struct tensor_view {
    std::string name;
    dtype type = dtype::f32;
    std::vector<std::size_t> shape = {};
    std::span<const std::byte> bytes = {};
    std::shared_ptr<const std::string> file = {};  ///< the file's name, for messages; may be null

    [[nodiscard]] std::size_t elements() const {
        std::size_t product = 1;
        for (const std::size_t size : shape) {
            product *= size;
        }
        return product;
    }
};

/// The bytes that a tensor takes; nothing where a number overflows or its rows do not divide into blocks.
[[nodiscard]] inline std::optional<std::size_t> tensor_bytes(dtype type, std::span<const std::size_t> shape) {
    const dtype_traits block = traits(type);
    const std::size_t row = shape.empty() ? 1 : shape.back();
    if (row % block.elems != 0) {
        return std::nullopt;
    }
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(row / block.elems, block.bytes, &bytes)) {
        return std::nullopt;
    }
    std::size_t elements = row;
    for (const std::size_t size : shape.first(shape.empty() ? 0 : shape.size() - 1)) {
        if (__builtin_mul_overflow(bytes, size, &bytes) || __builtin_mul_overflow(elements, size, &elements)) {
            return std::nullopt;
        }
    }
    return bytes;
}

/// "[3, 4]"
[[nodiscard]] inline std::string to_text(std::span<const std::size_t> shape) {
    std::string text = "[";
    for (const std::size_t size : shape) {
        text.append(text.size() > 1 ? ", " : "").append(std::to_string(size));
    }
    return text + "]";
}

class tensor_list {
public:
    tensor_list() = default;
    explicit tensor_list(std::vector<tensor_view> tensors) : tensors_(std::move(tensors)), by_name_(tensors_.size()) {
        for (std::size_t i = 0; i < by_name_.size(); ++i) {
            by_name_[i] = i;
        }
        std::sort(by_name_.begin(), by_name_.end(),
                  [&](std::size_t a, std::size_t b) { return tensors_[a].name < tensors_[b].name; });
    }

    [[nodiscard]] std::span<const tensor_view> all() const { return tensors_; }

    /// nullptr where there is none.
    [[nodiscard]] const tensor_view* find(std::string_view name) const {
        const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                         [&](std::size_t i, std::string_view n) { return tensors_[i].name < n; });
        return at != by_name_.end() && tensors_[*at].name == name ? &tensors_[*at] : nullptr;
    }

    /// A tensor whose name another one has too, or nullptr.
    [[nodiscard]] const tensor_view* duplicate() const {
        const auto at = std::adjacent_find(by_name_.begin(), by_name_.end(), [&](std::size_t a, std::size_t b) {
            return tensors_[a].name == tensors_[b].name;
        });
        return at == by_name_.end() ? nullptr : &tensors_[*at];
    }

private:
    std::vector<tensor_view> tensors_;
    std::vector<std::size_t> by_name_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::io
