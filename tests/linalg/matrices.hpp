// SPDX-License-Identifier: MIT
/// @file
/// Matrices of double for tests: seeded ones, and products by plain loops.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/rng.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

inline quell::matrix<double> random_doubles(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    quell::rng random(seed);
    quell::matrix<double> m(rows, cols);
    for (double& v : m.elements()) {
        v = random.normal();
    }
    return m;
}

/// a b^T
inline quell::matrix<double> times(const quell::matrix<double>& a, const quell::matrix<double>& b) {
    quell::matrix<double> y(a.rows(), b.rows());
    for (std::size_t r = 0; r < a.rows(); ++r) {
        for (std::size_t c = 0; c < b.rows(); ++c) {
            for (std::size_t k = 0; k < a.cols(); ++k) {
                y(r, c) += a(r, k) * b(c, k);
            }
        }
    }
    return y;
}

/// X^T X / rows of random rows, plus `ridge` on the diagonal.
inline quell::matrix<double> random_definite(std::size_t n, std::uint64_t seed, double ridge = 0.1) {
    const std::size_t rows = 2 * n + 1;
    const quell::matrix<double> x = random_doubles(rows, n, seed);
    quell::matrix<double> h(n, n);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            for (std::size_t r = 0; r < rows; ++r) {
                h(i, j) += x(r, i) * x(r, j) / static_cast<double>(rows);
            }
        }
        h(i, i) += ridge;
    }
    return h;
}

inline bool same_bits(const quell::matrix<double>& a, const quell::matrix<double>& b) {
    return std::ranges::equal(a.elements(), b.elements(), [](double x, double y) {
        return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y);
    });
}
