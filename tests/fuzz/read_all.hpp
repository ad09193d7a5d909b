// SPDX-License-Identifier: MIT
/// @file
/// What a user of a parsed file does, for the fuzzers: touches every byte that a view shows.
#pragma once

#include "quell/io/to_float.hpp"

#include <array>
#include <cstddef>
#include <cstdlib>
#include <span>

namespace fuzz {

/// A parser that hands out what cannot be read is broken.
inline void read_all(std::span<const quell::io::tensor_view> tensors) {
    for (const quell::io::tensor_view& tensor : tensors) {
        std::array<float, 300> part = {};
        for (std::size_t first = 0; first < tensor.elements(); first += part.size()) {
            const std::size_t size = std::min(part.size(), tensor.elements() - first);
            if (quell::io::detail::decoder_of(tensor.type) != nullptr &&
                !quell::io::to_float(tensor, first, std::span(part).first(size))) {
                std::abort();
            }
        }
    }
}

}  // namespace fuzz
