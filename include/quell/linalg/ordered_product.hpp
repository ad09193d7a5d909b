// SPDX-License-Identifier: MIT
/// @file
/// C -= A B in double, where every element is one chain in the order of k: c = (c - a_0 b_0) - a_1 b_1 ... Each product
/// is rounded before it is subtracted, so the bits depend on nothing: neither on compiler, instruction set and
/// contraction, nor on how the matrices are cut into blocks. What decides codes (rounding/gptq.hpp) stands on this.
#pragma once

#include "quell/core/target.hpp"
#include "quell/core/views.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace quell::linalg {
inline namespace QUELL_BASELINE {

namespace detail {

/// A rounded product that no compiler can merge with the subtraction that follows: its last bit is cleared.
[[nodiscard]] QUELL_ALWAYS_INLINE double unfused(double product) {
    return std::bit_cast<double>(std::bit_cast<std::uint64_t>(product) & ~std::uint64_t{1});
}

inline constexpr std::size_t tile_rows = 4;
inline constexpr std::size_t tile_cols = 8;
inline constexpr std::size_t tile_depth = 128;

/// Some rows of B, eight columns wide and without gaps, zeros where B ends.
struct packed_tile {
    double values[tile_depth * tile_cols];

    void load(matrix_view<const double> b) {
        for (std::size_t k = 0; k < b.rows(); ++k) {
            const double* row = b.data() + k * b.stride();
            std::fill(std::copy_n(row, b.cols(), &values[k * tile_cols]), &values[(k + 1) * tile_cols], 0.0);
        }
    }
};

/// `Rows` x tile_cols sums in registers over the whole depth.
template <std::size_t Rows>
QUELL_ALWAYS_INLINE void subtract_tile(matrix_view<double> c, matrix_view<const double> a, const packed_tile& b) {
    double sums[Rows][tile_cols] = {};
    for (std::size_t r = 0; r < Rows; ++r) {
        std::copy_n(c.data() + r * c.stride(), c.cols(), sums[r]);
    }
    for (std::size_t k = 0; k < a.cols(); ++k) {
        for (std::size_t r = 0; r < Rows; ++r) {
            const double factor = a.data()[r * a.stride() + k];
            for (std::size_t j = 0; j < tile_cols; ++j) {
                sums[r][j] -= unfused(factor * b.values[k * tile_cols + j]);
            }
        }
    }
    for (std::size_t r = 0; r < Rows; ++r) {
        std::copy_n(sums[r], c.cols(), c.data() + r * c.stride());
    }
}

inline void subtract_rows(matrix_view<double> c, matrix_view<const double> a, const packed_tile& b) {
    std::size_t r = 0;
    for (; r + tile_rows <= c.rows(); r += tile_rows) {
        subtract_tile<tile_rows>(c.block(r, 0, tile_rows, c.cols()), a.block(r, 0, tile_rows, a.cols()), b);
    }
    for (; r < c.rows(); ++r) {
        subtract_tile<1>(c.block(r, 0, 1, c.cols()), a.block(r, 0, 1, a.cols()), b);
    }
}

}  // namespace detail

/// Shapes   c [m, n]; a [m, k]; b [k, n]. c overlaps neither.
/// Cost     m n k multiply-subtracts in one thread: callers cut c among theirs, in any way.
/// Oracle   three plain loops (tests/linalg/ordered_product_test.cpp), bit for bit.
inline void subtract_product(matrix_view<double> c, matrix_view<const double> a, matrix_view<const double> b) {
    QUELL_EXPECTS(c.rows() == a.rows() && a.cols() == b.rows() && b.cols() == c.cols(), "shapes that fit");
    detail::packed_tile tile;
    for (std::size_t j = 0; j < c.cols(); j += detail::tile_cols) {
        const std::size_t cols = std::min(detail::tile_cols, c.cols() - j);
        for (std::size_t k = 0; k < a.cols(); k += detail::tile_depth) {
            const std::size_t depth = std::min(detail::tile_depth, a.cols() - k);
            tile.load(b.block(k, j, depth, cols));
            detail::subtract_rows(c.block(0, j, c.rows(), cols), a.block(0, k, a.rows(), depth), tile);
        }
    }
}

}  // namespace QUELL_BASELINE
}  // namespace quell::linalg
