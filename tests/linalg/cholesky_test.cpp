// SPDX-License-Identifier: MIT
#include "quell/linalg/cholesky.hpp"

#include "matrices.hpp"
#include "quell/core/thread_pool.hpp"
#include "reference/inverse_factor.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>

namespace {

using namespace quell;

constexpr std::size_t sizes[] = {0, 1, 2, 7, 63, 64, 65, 150, 201};

TEST(InverseFactor, IsUpperTriangularAndInvertsH) {
    for (const std::size_t n : sizes) {
        const matrix<double> h = random_definite(n, n + 1);
        const auto u = linalg::inverse_factor(matrix<double>::copy_of(h.view()));
        ASSERT_TRUE(u) << n;
        for (std::size_t i = 0; i < n; ++i) {
            EXPECT_GT((*u)(i, i), 0.0);
            for (std::size_t j = 0; j < i; ++j) {
                ASSERT_EQ((*u)(i, j), 0.0);
            }
        }
        matrix<double> inverse(n, n);
        matrix<double> unit(n, n);
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
                for (std::size_t k = 0; k < n; ++k) {
                    inverse(i, j) += (*u)(k, i) * (*u)(k, j);
                }
            }
        }
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
                for (std::size_t k = 0; k < n; ++k) {
                    unit(i, j) += inverse(i, k) * h(k, j);
                }
                EXPECT_NEAR(unit(i, j), i == j ? 1.0 : 0.0, 1e-12) << n;
            }
        }
    }
}

TEST(InverseFactor, EqualsTheOracleBitForBit) {
    for (const std::size_t n : sizes) {
        const matrix<double> h = random_definite(n, n + 2);
        reference::square rows(n);
        for (std::size_t i = 0; i < n; ++i) {
            rows[i].assign(h.row(i).begin(), h.row(i).end());
        }
        const reference::square oracle = reference::inverse_factor(rows);
        matrix<double> expected(n, n);
        for (std::size_t i = 0; i < n; ++i) {
            std::copy(oracle[i].begin(), oracle[i].end(), expected.row(i).begin());
        }
        EXPECT_TRUE(same_bits(*linalg::inverse_factor(matrix<double>::copy_of(h.view())), expected)) << n;
    }
}

TEST(InverseFactor, HasTheSameBitsOnAnyNumberOfThreads) {
    const matrix<double> h = random_definite(300, 5);
    const auto serial = linalg::inverse_factor(matrix<double>::copy_of(h.view()));
    thread_pool pool(3);
    EXPECT_TRUE(same_bits(*serial, *linalg::inverse_factor(matrix<double>::copy_of(h.view()), pool)));
}

TEST(InverseFactor, ReadsOnlyTheUpperHalf) {
    matrix<double> h = random_definite(90, 6);
    const auto whole = linalg::inverse_factor(matrix<double>::copy_of(h.view()));
    for (std::size_t i = 0; i < 90; ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            h(i, j) = NAN;
        }
    }
    EXPECT_TRUE(same_bits(*whole, *linalg::inverse_factor(matrix<double>::copy_of(h.view()))));
}

TEST(InverseFactor, NamesThePivotThatIsNotPositive) {
    const auto message_of = [](const matrix<double>& h) {
        const auto u = linalg::inverse_factor(matrix<double>::copy_of(h.view()));
        EXPECT_FALSE(u);
        EXPECT_EQ(u.error().code, errc::not_positive_definite);
        return u.error().message;
    };
    for (const std::size_t bad : {3U, 70U, 99U}) {
        matrix<double> h(100, 100);
        for (std::size_t i = 0; i < 100; ++i) {
            h(i, i) = i == bad ? -2.0 : 1.0;
        }
        EXPECT_EQ(message_of(h), "not positive definite: pivot " + std::to_string(bad) + " is -2.000000");
        h(bad, bad) = NAN;
        EXPECT_NE(message_of(h).find("pivot " + std::to_string(bad)), std::string::npos);
        h(bad, bad) = INFINITY;
        EXPECT_NE(message_of(h).find("pivot " + std::to_string(bad)), std::string::npos);
    }
    EXPECT_EQ(linalg::inverse_factor(matrix<double>(3, 4)).error().code, errc::bad_shape);
}

}  // namespace
