// SPDX-License-Identifier: MIT
/// @file
/// Oracle of rounding/propagated_target: the normal equations V H = W (H + S), solved by elimination with pivots.
#pragma once

#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

namespace reference {

/// The row v with v H = b, for symmetric H.
inline std::vector<double> solve_row(std::vector<std::vector<double>> h, std::vector<double> b) {
    const std::size_t n = b.size();
    for (std::size_t k = 0; k < n; ++k) {
        std::size_t best = k;
        for (std::size_t i = k; i < n; ++i) {
            best = std::abs(h[i][k]) > std::abs(h[best][k]) ? i : best;
        }
        std::swap(h[k], h[best]);
        std::swap(b[k], b[best]);
        for (std::size_t i = k + 1; i < n; ++i) {
            const double factor = h[i][k] / h[k][k];
            for (std::size_t j = k; j < n; ++j) {
                h[i][j] -= factor * h[k][j];
            }
            b[i] -= factor * b[k];
        }
    }
    for (std::size_t k = n; k-- > 0;) {
        for (std::size_t j = k + 1; j < n; ++j) {
            b[k] -= h[k][j] * b[j];
        }
        b[k] /= h[k][k];
    }
    return b;
}

/// A row of W + strength W S H^-1, with damping times the mean of the diagonal added to that of gram.
inline std::vector<double> propagated_target(const std::vector<double>& w, const std::vector<std::vector<double>>& gram,
                                             const std::vector<std::vector<double>>& shift, double strength,
                                             double damping) {
    const std::size_t n = w.size();
    std::vector<std::vector<double>> h = gram;
    double mean = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        mean += gram[i][i] / static_cast<double>(n);
    }
    std::vector<double> moved(n, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
        h[i][i] += damping * mean;
        for (std::size_t j = 0; j < n; ++j) {
            moved[j] += w[i] * shift[i][j];
        }
    }
    std::vector<double> v = solve_row(h, moved);
    for (std::size_t i = 0; i < n; ++i) {
        v[i] = w[i] + strength * v[i];
    }
    return v;
}

}  // namespace reference
