// SPDX-License-Identifier: MIT
/// @file
/// What calibration would have found out about the inputs of a weight, for the tests of this folder.
#pragma once

#include "quell/core/matrix.hpp"
#include "support/planted.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

/// X^T X of correlated rows with a few large channels; inputs named in `dead` are never active.
inline quell::matrix<double> gram_of(std::size_t n, std::size_t tokens, std::uint64_t seed,
                                     std::vector<std::size_t> dead = {}) {
    const quell::matrix<float> base = random_matrix(tokens, n, seed);
    quell::matrix<double> x(tokens, n);
    for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t j = 0; j < n; ++j) {
            x(t, j) = double{base(t, j)} + 0.8 * double{base(t, j / 3)};
            x(t, j) *= j % 17 == 5 ? 6.0 : 1.0;
        }
        for (const std::size_t j : dead) {
            x(t, j) = 0.0;
        }
    }
    quell::matrix<double> gram(n, n);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            for (std::size_t t = 0; t < tokens; ++t) {
                gram(i, j) += x(t, i) * x(t, j);
            }
        }
    }
    return gram;
}
