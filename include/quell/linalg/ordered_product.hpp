// SPDX-License-Identifier: MIT
/// @file
/// C -= A B in double, where every element is one chain in the order of k: c = (c - a_0 b_0) - a_1 b_1 ... Each product
/// is rounded before it is subtracted, so the bits depend on nothing: neither on compiler, instruction set and
/// contraction, nor on how the matrices are cut into blocks. What decides codes (rounding/gptq.hpp) stands on this.
#pragma once

#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/dispatch.hpp"
#include "quell/kernels/table.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace quell::linalg {
inline namespace QUELL_BASELINE {

namespace detail {

/// A rounded product that no compiler can merge with the subtraction that follows: its last bit is cleared.
[[nodiscard]] QUELL_ALWAYS_INLINE double unfused(double product) {
    return std::bit_cast<double>(std::bit_cast<std::uint64_t>(product) & ~std::uint64_t{1});
}

inline constexpr std::size_t tile_depth = 128;  ///< rows of B that stay in the first cache, and rows of C at once

/// Some rows of B, as wide as the kernel's tile and without gaps, zeros where B ends.
struct packed_tile {
    double values[tile_depth * kernels::f64_columns];

    void load(matrix_view<const double> b) {
        for (std::size_t k = 0; k < b.rows(); ++k) {
            const double* row = b.data() + k * b.stride();
            double* to = &values[k * kernels::f64_columns];
            if (b.cols() == kernels::f64_columns) {
                std::memcpy(to, row, kernels::f64_columns * sizeof(double));  // of known size: a few vectors
            } else {
                std::fill(std::copy_n(row, b.cols(), to), to + kernels::f64_columns, 0.0);
            }
        }
    }
};

inline void subtract_columns(matrix_view<double> c, matrix_view<const double> a, const packed_tile& b) {
    kernels::product_f64_args args{.a = a.data(),
                                   .lda = a.stride(),
                                   .b = b.values,
                                   .c = c.data(),
                                   .ldc = c.stride(),
                                   .rows = c.rows(),
                                   .depth = a.cols()};
    if (c.cols() == kernels::f64_columns) {
        kernels::best().subtract_f64(args);
        return;
    }
    double whole[tile_depth * kernels::f64_columns] = {};  // the last columns of C, as wide as the kernel's tile
    const auto each_row = [&](const auto& move) {
        for (std::size_t r = 0; r < c.rows(); ++r) {
            move(c.data() + r * c.stride(), &whole[r * kernels::f64_columns]);
        }
    };
    each_row([&](const double* from, double* to) { std::copy_n(from, c.cols(), to); });
    args.c = whole;
    args.ldc = kernels::f64_columns;
    kernels::best().subtract_f64(args);
    each_row([&](double* to, const double* from) { std::copy_n(from, c.cols(), to); });
}

}  // namespace detail

/// Shapes   c [m, n]; a [m, k]; b [k, n]. c overlaps neither.
/// Cost     m n k multiply-subtracts in one thread: callers cut c among theirs, in any way.
/// Oracle   three plain loops (tests/linalg/ordered_product_test.cpp), bit for bit.
inline void subtract_product(matrix_view<double> c, matrix_view<const double> a, matrix_view<const double> b) {
    QUELL_EXPECTS(c.rows() == a.rows() && a.cols() == b.rows() && b.cols() == c.cols(), "shapes that fit");
    detail::packed_tile tile;
    for (std::size_t j = 0; j < c.cols(); j += kernels::f64_columns) {
        const std::size_t cols = std::min(kernels::f64_columns, c.cols() - j);
        for (std::size_t k = 0; k < a.cols(); k += detail::tile_depth) {
            const std::size_t depth = std::min(detail::tile_depth, a.cols() - k);
            tile.load(b.block(k, j, depth, cols));
            for (std::size_t r = 0; r < c.rows(); r += detail::tile_depth) {
                const std::size_t rows = std::min(detail::tile_depth, c.rows() - r);
                detail::subtract_columns(c.block(r, j, rows, cols), a.block(r, k, rows, depth), tile);
            }
        }
    }
}

}  // namespace QUELL_BASELINE
}  // namespace quell::linalg
