// SPDX-License-Identifier: MIT
/// @file
/// Hadamard matrices: which factors a row of n channels has, and the signs of the factor that is no power of two, made
/// from a rule instead of a table. H_n = (Had_K (x) Had_{2^m}) / sqrt(n): a row is viewed as [K][2^m], the fast
/// transform runs along the last axis, Had_K along the first.
///
/// Had_K is the first of these that exists: Paley's first construction (K - 1 a prime, 3 mod 4), Paley's second
/// (K / 2 - 1 a prime or a square of one, 1 mod 4), Williamson's array (156, 172). K is the smallest multiple of four
/// with n's odd part that has one, so that H of heads times 2^d channels is H_heads (x) Had_{2^d}.
#pragma once

#include "quell/core/target.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace quell::kernels {
inline namespace QUELL_BASELINE {

/// Beyond it the K additions for every element cost more than the smaller outliers are worth.
inline constexpr std::size_t max_hadamard_order = 1024;

/// `blocks` transforms side by side, each of Had_order (x) Had_block.
struct hadamard_shape {
    std::size_t order = 1;  ///< K: 1 or a multiple of 4
    std::size_t block = 1;  ///< 2^m
    std::size_t blocks = 0;

    [[nodiscard]] constexpr std::size_t size() const { return order * block * blocks; }
    /// One transform mixes all channels; otherwise only those of a block are mixed, as no Had_K is known.
    [[nodiscard]] constexpr bool is_full() const { return blocks <= 1; }
    /// Words of a row of signs.
    [[nodiscard]] constexpr std::size_t sign_words() const { return order == 1 ? 0 : (order + 63) / 64; }
    /// Floats that the kernel needs beside the row.
    [[nodiscard]] constexpr std::size_t scratch_floats() const { return order <= 64 ? 0 : 16 * order; }
    /// 1 / sqrt of what one transform mixes.
    [[nodiscard]] double scale() const { return 1.0 / std::sqrt(static_cast<double>(order * block)); }

    friend constexpr bool operator==(const hadamard_shape&, const hadamard_shape&) = default;
};

/// Rows of x become rows of y = H (x * channel_scale), computed in float: first the products with the channel's scale
/// and with 1 / sqrt(n), each rounded, then the butterflies of strides 1, 2, 4 ... and last, for every 64 of the K
/// inputs, the sums of four in order, each (a + b) + (c + d). So all levels give the same bits. A value that is not
/// finite leaves no finite value in what it is mixed with.
struct hadamard_args {
    const float* x = nullptr;
    std::size_t ldx = 0;
    std::size_t rows = 0;
    const float* channel_scale = nullptr;  ///< [shape.size()] or none
    hadamard_shape shape;
    const std::uint64_t* signs = nullptr;  ///< make_hadamard_signs; not read where order is 1
    float* y = nullptr;                    ///< x itself, or apart from it
    std::size_t ldy = 0;
    float* scratch = nullptr;  ///< [shape.scratch_floats()], one for every thread
};

namespace detail {

[[nodiscard]] constexpr bool is_prime(std::size_t n) {
    for (std::size_t d = 2; d * d <= n; ++d) {
        if (n % d == 0) {
            return false;
        }
    }
    return n > 1;
}

/// The number whose square is n; 0 where there is none.
[[nodiscard]] constexpr std::size_t exact_root(std::size_t n) {
    std::size_t root = 0;
    while (root * root < n) {
        ++root;
    }
    return root * root == n ? root : 0;
}

enum class construction { none, paley_1, paley_2, williamson };

[[nodiscard]] constexpr construction construction_of(std::size_t order) {
    if (order % 4 != 0 || order == 0) {
        return construction::none;
    }
    if (is_prime(order - 1)) {
        return construction::paley_1;
    }
    const std::size_t q = order / 2 - 1;
    if (q % 4 == 1 && (is_prime(q) || is_prime(exact_root(q)))) {
        return construction::paley_2;
    }
    return order == 156 || order == 172 ? construction::williamson : construction::none;
}

/// chi of a finite field of q elements, q an odd prime p or p^2: 1 for squares, -1 for others, 0 for 0. Element i of
/// GF(p^2) is i / p + (i % p) w with w^2 = t not a square of GF(p); it is a square where its norm is one.
class quadratic_character {
public:
    explicit quadratic_character(std::size_t q) : p_(is_prime(q) ? q : exact_root(q)), is_extended_(p_ != q) {
        for (std::size_t i = 1; i < p_; ++i) {
            is_square_[i * i % p_] = true;
        }
        while (is_square_[t_]) {
            ++t_;
        }
    }

    /// chi(i - j) is -1.
    [[nodiscard]] bool is_negative(std::size_t i, std::size_t j) const {
        if (!is_extended_) {
            return i != j && !is_square_[difference(i, j)];
        }
        const std::size_t a = difference(i / p_, j / p_);
        const std::size_t b = difference(i % p_, j % p_);
        return i != j && !is_square_[(a * a + (p_ - t_) * b % p_ * b) % p_];
    }

private:
    [[nodiscard]] std::size_t difference(std::size_t i, std::size_t j) const { return (i + p_ - j) % p_; }

    std::size_t p_;
    std::size_t t_ = 1;
    bool is_extended_;
    bool is_square_[max_hadamard_order] = {};
};

/// [[0, 1], [-1, chi(i - j)]] + I.
[[nodiscard]] inline bool paley_1_is_negative(const quadratic_character& chi, std::size_t i, std::size_t j) {
    return j == 0 ? i != 0 : i != 0 && chi.is_negative(i - 1, j - 1);
}

/// The symmetric conference matrix [[0, 1], [1, chi(i - j)]] with each entry c made two by two: c [[1, 1], [1, -1]],
/// and [[1, -1], [-1, -1]] on the diagonal.
[[nodiscard]] inline bool paley_2_is_negative(const quadratic_character& chi, std::size_t i, std::size_t j) {
    const std::size_t row = i / 2;
    const std::size_t col = j / 2;
    if (row == col) {
        return i % 2 == 1 || j % 2 == 1;
    }
    const bool is_corner = i % 2 == 1 && j % 2 == 1;
    return is_corner != (row != 0 && col != 0 && chi.is_negative(row - 1, col - 1));
}

/// [[A, B, C, D], [-B, A, -D, C], [-C, D, A, -B], [-D, -C, B, A]] of symmetric circulants, given by their first rows.
/// Source: Sloane's library of Hadamard matrices, as in the code of QuaRot, arXiv 2404.00456.
[[nodiscard]] inline bool williamson_is_negative(std::size_t order, std::size_t i, std::size_t j) {
    static constexpr std::string_view rows_156[] = {
        "+++--+-+-----+--++----++--+-----+-+--++",
        "++++---+--++----+-+--+-+----++--+---+++",
        "+++--++-+---+-+--+----+--+-+---+-++--++",
        "+---++-+-+-----+++-++-+++-----+-+-++---",
    };
    static constexpr std::string_view rows_172[] = {
        "+---++--++++-+-+++-++--++-+++-+-++++--++---",
        "++-++++++----+-+--++-++-++--+-+----++++++-+",
        "+++-+-++--+-+-++++-+----+-++++-+-+--++-+-++",
        "++---++++-+--+--++--------++--+--+-++++---+",
    };
    static constexpr bool block_is_negative[4][4] = {{false, false, false, false},
                                                     {true, false, true, false},
                                                     {true, false, false, true},
                                                     {true, true, false, false}};
    const std::size_t m = order / 4;
    const std::size_t row = i / m;
    const std::size_t col = j / m;
    const std::string_view first = (order == 156 ? rows_156 : rows_172)[row ^ col];
    return block_is_negative[row][col] != (first[(j % m + m - i % m) % m] == '-');
}

template <typename IsNegative>
void fill_signs(const hadamard_shape& shape, std::uint64_t* signs, IsNegative is_negative) {
    for (std::size_t i = 0; i < shape.order; ++i) {
        std::uint64_t* row = signs + i * shape.sign_words();
        for (std::size_t j = 0; j < shape.order; ++j) {
            row[j / 64] = (j % 64 == 0 ? 0 : row[j / 64]) | std::uint64_t{is_negative(i, j)} << j % 64;
        }
    }
}

}  // namespace detail

/// The factors of a row of n channels: the full transform where a Had_K is known with K <= max_hadamard_order,
/// otherwise blocks of the largest power of two in n. Nothing is ever padded. Of an odd n nothing is mixed.
[[nodiscard]] constexpr hadamard_shape hadamard_shape_of(std::size_t n) {
    if (n == 0) {
        return {};
    }
    const std::size_t power = n & (~n + 1);
    const std::size_t odd = n / power;
    if (odd == 1) {
        return {1, n, 1};
    }
    for (std::size_t factor = 4; factor <= power && odd * factor <= max_hadamard_order; factor *= 2) {
        if (detail::construction_of(odd * factor) != detail::construction::none) {
            return {odd * factor, power / factor, 1};
        }
    }
    return {1, power, odd};
}

/// Bytes that make_hadamard_signs() fills for rows of n channels; 0 where the transform needs no signs.
[[nodiscard]] constexpr std::size_t hadamard_matrix_bytes(std::size_t n) {
    const hadamard_shape shape = hadamard_shape_of(n);
    return shape.sign_words() * shape.order * sizeof(std::uint64_t);
}

/// Entry [i][j] of the Had_K that make_hadamard_signs() left is -1.
[[nodiscard]] inline bool hadamard_is_negative(const hadamard_shape& shape, const std::uint64_t* signs, std::size_t i,
                                               std::size_t j) {
    return shape.order != 1 && (signs[i * shape.sign_words() + j / 64] >> j % 64 & 1U) != 0;
}

/// Writes the signs of Had_K: bit j % 64 of signs[i * shape.sign_words() + j / 64] is set where entry [i][j] is -1.
/// Requires shape from hadamard_shape_of(n), hadamard_matrix_bytes(n) bytes.
/// Cost     K^2 steps; make them once.
/// Source   Paley, On orthogonal matrices (1933); Williamson, Hadamard's determinant theorem (1944).
inline void make_hadamard_signs(const hadamard_shape& shape, std::uint64_t* signs) {
    const std::size_t order = shape.order;
    switch (detail::construction_of(order)) {
        case detail::construction::paley_1: {
            const detail::quadratic_character chi(order - 1);
            return detail::fill_signs(
                shape, signs, [&](std::size_t i, std::size_t j) { return detail::paley_1_is_negative(chi, i, j); });
        }
        case detail::construction::paley_2: {
            const detail::quadratic_character chi(order / 2 - 1);
            return detail::fill_signs(
                shape, signs, [&](std::size_t i, std::size_t j) { return detail::paley_2_is_negative(chi, i, j); });
        }
        case detail::construction::williamson:
            return detail::fill_signs(shape, signs, [&](std::size_t i, std::size_t j) {
                return detail::williamson_is_negative(order, i, j);
            });
        case detail::construction::none: QUELL_EXPECTS(order == 1, "a shape from hadamard_shape_of()");
    }
}

}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
