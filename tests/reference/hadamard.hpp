// SPDX-License-Identifier: MIT
/// @file
/// Oracle of the Hadamard transforms: the definition of a Kronecker product, entry by entry, in double.
#pragma once

#include "quell/kernels/hadamard.hpp"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace reference {

/// Entry [i][j] of Had_order (x) Had_block is negative: the first factor's sign times that of Sylvester's matrix.
inline bool hadamard_sign(const quell::kernels::hadamard_shape& shape, const std::vector<std::uint64_t>& signs,
                          std::size_t i, std::size_t j) {
    const bool sylvester = std::popcount(i % shape.block & j % shape.block) % 2 == 1;
    return sylvester != quell::kernels::hadamard_is_negative(shape, signs.data(), i / shape.block, j / shape.block);
}

/// H x with the scale, every block on its own.
inline std::vector<double> hadamard_product(const quell::kernels::hadamard_shape& shape,
                                            const std::vector<std::uint64_t>& signs, const std::vector<double>& x) {
    const std::size_t mixed = shape.order * shape.block;
    std::vector<double> y(x.size(), 0.0);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t first = i / mixed * mixed;
        for (std::size_t j = 0; j < mixed; ++j) {
            y[i] += hadamard_sign(shape, signs, i - first, j) ? -x[first + j] : x[first + j];
        }
        y[i] /= std::sqrt(static_cast<double>(mixed));
    }
    return y;
}

}  // namespace reference
