// SPDX-License-Identifier: MIT
/// @file
/// A random rotation of any number of channels: what spreads an outlier where no Hadamard matrix is known. Dense, so it
/// can only be folded into weights, never applied online.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/target.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace quell::transforms {
inline namespace QUELL_BASELINE {

namespace detail {

inline double inner_product(std::span<const double> a, std::span<const double> b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

/// Takes the part along each row of `basis` out of v.
inline void make_orthogonal(std::span<double> v, matrix_view<const double> basis) {
    for (std::size_t r = 0; r < basis.rows(); ++r) {
        const double share = inner_product(v, basis.row(r));
        for (std::size_t i = 0; i < v.size(); ++i) {
            v[i] -= share * basis(r, i);
        }
    }
}

}  // namespace detail

/// Q [n, n] with Q Q^T = I to 1e-13, drawn evenly from all rotations and reflections.
///
/// Cost     4 n^3 multiply-adds, in one thread.
/// Oracle   Q Q^T = I (tests/transforms/random_orthogonal_test.cpp).
[[nodiscard]] inline matrix<double> random_orthogonal(std::size_t n, std::uint64_t seed) {
    matrix<double> q(n, n);
    rng random(seed);
    for (std::size_t r = 0; r < n; ++r) {
        const std::span<double> row = q.view().row(r);
        for (double& v : row) {
            v = random.normal();
        }
        detail::make_orthogonal(row, q.view().block(0, 0, r, n));
        detail::make_orthogonal(row, q.view().block(0, 0, r, n));  // the second pass takes out what the first rounded
        const double length = std::sqrt(detail::inner_product(row, row));
        for (double& v : row) {
            v /= length;
        }
    }
    return q;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::transforms
