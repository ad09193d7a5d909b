// SPDX-License-Identifier: MIT
#include "quell/transforms/random_orthogonal.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace {

TEST(RandomOrthogonal, RowsAreOrthonormal) {
    for (const std::size_t n : {1U, 2U, 7U, 68U, 142U}) {
        const quell::matrix<double> q = quell::transforms::random_orthogonal(n, 3);
        for (std::size_t r = 0; r < n; ++r) {
            for (std::size_t c = 0; c < n; ++c) {
                double product = 0.0;
                for (std::size_t k = 0; k < n; ++k) {
                    product += q(r, k) * q(c, k);
                }
                EXPECT_NEAR(product, r == c ? 1.0 : 0.0, 1e-13) << n << ": " << r << ", " << c;
            }
        }
    }
}

TEST(RandomOrthogonal, SpreadsOneChannelOverAllAndFollowsItsSeed) {
    constexpr std::size_t n = 142;
    const quell::matrix<double> q = quell::transforms::random_orthogonal(n, 3);
    const quell::matrix<double> other = quell::transforms::random_orthogonal(n, 4);
    double largest = 0.0;
    double difference = 0.0;
    for (std::size_t i = 0; i < n * n; ++i) {
        largest = std::max(largest, std::abs(q.elements()[i]));
        difference = std::max(difference, std::abs(q.elements()[i] - other.elements()[i]));
    }
    EXPECT_LT(largest, 6.0 / std::sqrt(double(n)));
    EXPECT_GT(difference, 0.1);
    EXPECT_EQ(quell::transforms::random_orthogonal(n, 3)(5, 7), q(5, 7));
}

}  // namespace
