// SPDX-License-Identifier: MIT
/// @file
/// Seeded random matrices, and activations in which a few channels are much larger than the rest.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/rng.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>

inline quell::matrix<float> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed, double sigma = 1.0) {
    quell::rng random(seed);
    quell::matrix<float> m(rows, cols);
    for (float& v : m.elements()) {
        v = static_cast<float>(sigma * random.normal());
    }
    return m;
}

/// Normal rows with the named channels `factor` times as large.
inline quell::matrix<float> planted_activations(std::size_t rows, std::size_t cols, std::uint64_t seed,
                                                std::initializer_list<std::size_t> large, float factor) {
    quell::matrix<float> m = random_matrix(rows, cols, seed);
    for (std::size_t r = 0; r < rows; ++r) {
        for (const std::size_t c : large) {
            m(r, c) *= factor;
        }
    }
    return m;
}
