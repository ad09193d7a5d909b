// SPDX-License-Identifier: MIT
#include "quell/linalg/ordered_product.hpp"

#include "matrices.hpp"
#include "reference/inverse_factor.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace {

using namespace quell;

TEST(OrderedProduct, EqualsThreePlainLoopsBitForBit) {
    rng random(7);
    for (int sample = 0; sample < 60; ++sample) {
        const std::size_t m = random.below(14);
        const std::size_t n = random.below(30);
        const std::size_t k = sample % 4 == 0 ? random.below(400) : random.below(20);
        const matrix<double> a = random_doubles(m, k, random());
        const matrix<double> b = random_doubles(k, n, random());
        matrix<double> c = random_doubles(m, n, random());
        matrix<double> expected = matrix<double>::copy_of(c.view());
        for (std::size_t r = 0; r < m; ++r) {
            for (std::size_t j = 0; j < n; ++j) {
                for (std::size_t i = 0; i < k; ++i) {
                    expected(r, j) = reference::minus_product(expected(r, j), a(r, i), b(i, j));
                }
            }
        }
        linalg::subtract_product(c.view(), a.view(), b.view());
        EXPECT_TRUE(same_bits(c, expected)) << m << " " << n << " " << k;
    }
}

TEST(OrderedProduct, DoesNotDependOnHowTheMatricesAreCut) {
    const matrix<double> a = random_doubles(37, 300, 1);
    const matrix<double> b = random_doubles(300, 43, 2);
    matrix<double> whole = random_doubles(37, 43, 3);
    matrix<double> pieces = matrix<double>::copy_of(whole.view());
    linalg::subtract_product(whole.view(), a.view(), b.view());
    for (const auto& [begin, count] : {std::pair<std::size_t, std::size_t>{0, 129}, {129, 1}, {130, 170}}) {
        for (const auto& [first, cols] : {std::pair<std::size_t, std::size_t>{0, 5}, {5, 38}}) {
            linalg::subtract_product(pieces.view().block(0, first, 37, cols),
                                     std::as_const(a).view().block(0, begin, 37, count),
                                     std::as_const(b).view().block(begin, first, count, cols));
        }
    }
    EXPECT_TRUE(same_bits(whole, pieces));
}

}  // namespace
