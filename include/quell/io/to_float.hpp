// SPDX-License-Identifier: MIT
/// @file
/// Any run of a tensor's elements as floats, decoded straight from the file's bytes. Numbers are passed on as they
/// stand, NaN and infinity too: whoever quantizes them says no.
#pragma once

#include "quell/io/block_formats.hpp"
#include "quell/io/tensor_view.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>

namespace quell::io {
inline namespace QUELL_BASELINE {
namespace detail {

/// Decodes elements first ... first + out.size() - 1; the blocks at the two ends may be cut.
template <typename Format>
void decode_range(const std::byte* bytes, std::size_t first, std::span<float> out) {
    constexpr dtype_traits block = traits(Format::type);
    const std::byte* from = bytes + first / block.elems * block.bytes;
    std::size_t skipped = first % block.elems;
    std::size_t done = 0;
    while (done < out.size()) {
        if (skipped == 0) {
            for (; out.size() - done >= block.elems; done += block.elems, from += block.bytes) {
                Format::decode(from, out.data() + done);
            }
        }
        if (done < out.size()) {
            std::array<float, block.elems> whole;
            Format::decode(from, whole.data());
            const std::size_t part = std::min(block.elems - skipped, out.size() - done);
            std::copy_n(whole.data() + skipped, part, out.data() + done);
            done += part;
            from += block.bytes;
            skipped = 0;
        }
    }
}

using decoder = void (*)(const std::byte* bytes, std::size_t first, std::span<float> out);

/// nullptr where the type holds no weights.
[[nodiscard]] inline decoder decoder_of(dtype type) {
    switch (type) {
        case dtype::f32: return &decode_range<f32_format>;
        case dtype::f16: return &decode_range<f16_format>;
        case dtype::bf16: return &decode_range<bf16_format>;
        case dtype::f64: return &decode_range<f64_format>;
        case dtype::q4_0: return &decode_range<q4_0_format>;
        case dtype::q4_1: return &decode_range<q4_1_format>;
        case dtype::q5_0: return &decode_range<q5_0_format>;
        case dtype::q5_1: return &decode_range<q5_1_format>;
        case dtype::q8_0: return &decode_range<q8_0_format>;
        case dtype::q4_k: return &decode_range<q4_k_format>;
        case dtype::q5_k: return &decode_range<q5_k_format>;
        case dtype::q6_k: return &decode_range<q6_k_format>;
        default: return nullptr;
    }
}

[[nodiscard]] inline std::string label(const tensor_view& tensor) {
    return (tensor.file ? *tensor.file + ": " : "") + "tensor " + io::quoted(tensor.name);
}

}  // namespace detail

/// Decodes out.size() elements from element `first_element` on, in row-major order.
///
/// Errors   errc::unsupported for a type that holds no weights (integers); errc::bad_shape beyond the tensor's bytes.
/// Cost     one pass, no allocation; threads may decode different parts.
[[nodiscard]] inline result<void> to_float(const tensor_view& tensor, std::size_t first_element, std::span<float> out) {
    const dtype_traits block = traits(tensor.type);
    const std::size_t stored = tensor.bytes.size() / block.bytes * block.elems;
    if (first_element > stored || out.size() > stored - first_element) {
        return failure(errc::bad_shape, detail::label(tensor), out.size(), " elements from element ", first_element,
                       " on are wanted of ", stored);
    }
    const detail::decoder decode = detail::decoder_of(tensor.type);
    if (decode == nullptr) {
        return failure(errc::unsupported, detail::label(tensor), "its type ", block.name, " cannot be read as float");
    }
    decode(tensor.bytes.data(), first_element, out);
    return {};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::io
