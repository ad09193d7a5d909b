// SPDX-License-Identifier: MIT
/// @file
/// Oracle of linalg/cholesky: textbook loops over one element at a time, in reversed order. A product whose last bit is
/// cleared before it is subtracted is all that is particular about them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace reference {

using square = std::vector<std::vector<double>>;

inline double minus_product(double v, double a, double b) {
    const double product = a * b;
    return v - std::bit_cast<double>(std::bit_cast<std::uint64_t>(product) / 2 * 2);
}

/// L with H = L L^T.
inline square cholesky(const square& h) {
    const std::size_t n = h.size();
    square l(n, std::vector<double>(n, 0.0));
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double v = h[i][j];
            for (std::size_t k = 0; k < j; ++k) {
                v = minus_product(v, l[i][k], l[j][k]);
            }
            l[i][j] = i == j ? std::sqrt(v) : v / l[j][j];
        }
    }
    return l;
}

/// L^-1, by forward substitution into the unit matrix.
inline square inverse_of_lower(const square& l) {
    const std::size_t n = l.size();
    square x(n, std::vector<double>(n, 0.0));
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t i = j; i < n; ++i) {
            double v = i == j ? 1.0 : 0.0;
            for (std::size_t k = j; k < i; ++k) {
                v = minus_product(v, l[i][k], x[k][j]);
            }
            x[i][j] = v / l[i][i];
        }
    }
    return x;
}

inline square reversed(const square& h) {
    square r(h.rbegin(), h.rend());
    for (auto& row : r) {
        std::reverse(row.begin(), row.end());
    }
    return r;
}

/// Upper triangular U with H^-1 = U^T U.
inline square inverse_factor(const square& h) {
    return reversed(inverse_of_lower(cholesky(reversed(h))));
}

}  // namespace reference
