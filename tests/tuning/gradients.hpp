// SPDX-License-Identifier: MIT
/// @file
/// What the tests of linears that are tuned expect of gradients.
#pragma once

#include "quell/core/matrix.hpp"

#include <gtest/gtest.h>

#include <cstddef>

/// The sum over all products of entries that stand in the same place.
inline double sum_of_products(const quell::matrix<float>& a, const quell::matrix<float>& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.elements().size(); ++i) {
        sum += double{a.elements()[i]} * double{b.elements()[i]};
    }
    return sum;
}

/// dx [tokens, in] is dy [tokens, out] times w [out, in].
inline void expect_product(const quell::matrix<float>& dx, const quell::matrix<float>& dy,
                           const quell::matrix<float>& w) {
    for (std::size_t t = 0; t < dx.rows(); ++t) {
        for (std::size_t j = 0; j < w.cols(); ++j) {
            double sum = 0.0;
            for (std::size_t o = 0; o < w.rows(); ++o) {
                sum += double{dy(t, o)} * double{w(o, j)};
            }
            ASSERT_NEAR(dx(t, j), sum, 1e-4) << t << ' ' << j;
        }
    }
}
