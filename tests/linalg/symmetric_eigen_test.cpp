// SPDX-License-Identifier: MIT
#include "quell/linalg/symmetric_eigen.hpp"

#include "matrices.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace {

using namespace quell;

TEST(SymmetricEigen, PutsTheMatrixTogetherAgain) {
    for (const std::size_t n : {0U, 1U, 2U, 5U, 40U, 97U}) {
        matrix<double> a = random_doubles(n, n, n + 1);
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < i; ++j) {
                a(j, i) = a(i, j);
            }
        }
        const auto system = linalg::symmetric_eigen(a.view());
        ASSERT_TRUE(system) << n;
        const matrix<double>& v = system->vectors;
        const double bound = n == 0 ? 0.0 : 1e-12 * std::max(system->values[0], -system->values[n - 1]);
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
                double together = 0.0;
                double overlap = 0.0;
                for (std::size_t k = 0; k < n; ++k) {
                    together += v(i, k) * system->values[k] * v(j, k);
                    overlap += v(k, i) * v(k, j);
                }
                EXPECT_NEAR(together, a(i, j), bound) << n;
                EXPECT_NEAR(overlap, i == j ? 1.0 : 0.0, 1e-12) << n;
            }
        }
    }
}

TEST(SymmetricEigen, OrdersValuesAndFixesSigns) {
    const matrix<double> a = random_definite(30, 3);
    const auto system = linalg::symmetric_eigen(a.view());
    ASSERT_TRUE(system);
    EXPECT_TRUE(std::is_sorted(system->values.begin(), system->values.end(), std::greater<>()));
    for (std::size_t i = 0; i < 30; ++i) {
        double largest = 0.0;
        for (std::size_t r = 0; r < 30; ++r) {
            const double v = system->vectors(r, i);
            largest = std::abs(v) > std::abs(largest) ? v : largest;
        }
        EXPECT_GT(largest, 0.0) << i;
    }
}

TEST(SymmetricEigen, SolvesASmallCaseByHand) {
    matrix<double> a(2, 2);
    a(0, 0) = a(1, 1) = 2.0;
    a(0, 1) = a(1, 0) = -1.0;
    const auto system = linalg::symmetric_eigen(a.view());
    ASSERT_TRUE(system);
    EXPECT_NEAR(system->values[0], 3.0, 1e-14);
    EXPECT_NEAR(system->values[1], 1.0, 1e-14);
    EXPECT_NEAR(system->vectors(0, 0), -system->vectors(1, 0), 1e-14);
    EXPECT_NEAR(system->vectors(0, 1), std::sqrt(0.5), 1e-14);
    EXPECT_NEAR(system->vectors(1, 1), std::sqrt(0.5), 1e-14);
}

TEST(SymmetricEigen, NamesWhatIsWrong) {
    matrix<double> a = random_definite(4, 3);
    EXPECT_EQ(linalg::symmetric_eigen(matrix<double>(2, 3).view()).error().code, errc::bad_shape);
    a(2, 1) = NAN;
    EXPECT_EQ(linalg::symmetric_eigen(a.view()).error().code, errc::bad_value);
}

}  // namespace
