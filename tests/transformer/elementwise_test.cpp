// SPDX-License-Identifier: MIT
#include "transformer/elementwise.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace {

TEST(Elementwise, ExpIsRightToOneInAMillion) {
    double worst = 0;
    for (float x = -86.9F; x < 86.9F; x += 0.0137F) {
        const double exact = std::exp(static_cast<double>(x));
        worst = std::max(worst, std::abs(static_cast<double>(transformer::exp_approx(x)) / exact - 1.0));
    }
    EXPECT_LT(worst, 1e-6);
    EXPECT_EQ(transformer::exp_approx(0.0F), 1.0F);
}

TEST(Elementwise, ExpStaysFiniteBeyondItsRangeAndKeepsNan) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (const float x : {-88.0F, -1000.0F, -3e38F, -infinity}) {
        EXPECT_GT(transformer::exp_approx(x), 0.0F);
        EXPECT_LT(transformer::exp_approx(x), 2e-38F);
    }
    for (const float x : {89.0F, 1000.0F, 3e38F, infinity}) {
        EXPECT_GT(transformer::exp_approx(x), 6e37F);
        EXPECT_TRUE(std::isfinite(transformer::exp_approx(x)));
    }
    EXPECT_TRUE(std::isnan(transformer::exp_approx(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Elementwise, ActivationsMatchTheirDefinitionsInDouble) {
    for (float x = -30.0F; x < 30.0F; x += 0.0173F) {
        const double v = x;
        const double bound = 1e-6 * std::max(1.0, std::abs(v));
        EXPECT_NEAR(transformer::silu(x), v / (1.0 + std::exp(-v)), bound);
        EXPECT_NEAR(transformer::gelu_erf(x), 0.5 * v * (1.0 + std::erf(v / std::sqrt(2.0))), bound);
        const double inner = std::sqrt(2.0 / std::acos(-1.0)) * (v + 0.044715 * v * v * v);
        EXPECT_NEAR(transformer::gelu_tanh(x), 0.5 * v * (1.0 + std::tanh(inner)), bound);
    }
}

TEST(Elementwise, ReductionsTakeEveryElementOfAnyLength) {
    for (std::size_t n = 1; n < 70; ++n) {
        std::vector<float> row(n);
        std::iota(row.begin(), row.end(), 1.0F);
        std::reverse(row.begin() + static_cast<std::ptrdiff_t>(n / 2), row.end());
        const auto count = static_cast<float>(n);
        EXPECT_EQ(transformer::largest(row), count);
        EXPECT_EQ(transformer::sum_of(row), count * (count + 1.0F) / 2.0F);
        EXPECT_EQ(transformer::sum_of_squares(row), count * (count + 1.0F) * (2.0F * count + 1.0F) / 6.0F);
    }
}

TEST(Elementwise, SoftmaxNumeratorsIgnoreAShift) {
    for (const std::size_t n : {std::size_t{1}, std::size_t{5}, std::size_t{16}, std::size_t{100}}) {
        std::vector<float> row(n);
        std::vector<float> shifted(n);
        double sum = 0;
        for (std::size_t i = 0; i < n; ++i) {
            row[i] = static_cast<float>(i % 7) - 9.0F;
            shifted[i] = row[i] + 500.0F;
            sum += std::exp(0.25 * (static_cast<double>(i % 7) - static_cast<double>(std::min<std::size_t>(n - 1, 6))));
        }
        EXPECT_NEAR(transformer::softmax_numerators(row, 0.25F), sum, 1e-6 * sum);
        EXPECT_NEAR(transformer::softmax_numerators(shifted, 0.25F), sum, 1e-6 * sum);
        EXPECT_EQ(row, shifted);
        EXPECT_EQ(*std::max_element(row.begin(), row.end()), 1.0F);
    }
}

}  // namespace
