// SPDX-License-Identifier: MIT
#include "quell/report/error_stats.hpp"

#include "quell/core/rng.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace {

using quell::report::error_stats;

TEST(ErrorStats, CountsByHand) {
    error_stats stats;
    stats.add(std::array{3.0F, -4.0F}, std::array{3.5F, -4.0F});
    EXPECT_EQ(stats.count, 2U);
    EXPECT_DOUBLE_EQ(stats.max, 0.5);
    EXPECT_DOUBLE_EQ(stats.mean_square(), 0.125);
    EXPECT_DOUBLE_EQ(stats.relative(), 0.1);
    EXPECT_NEAR(stats.snr_db(), 20.0, 1e-12);
}

TEST(ErrorStats, IsPerfectWhereNothingDiffers) {
    error_stats stats;
    EXPECT_EQ(stats.mean_square(), 0.0);
    stats.add(0.0F, 0.0F);
    EXPECT_EQ(stats.relative(), 0.0);
    EXPECT_EQ(stats.snr_db(), std::numeric_limits<double>::infinity());
}

TEST(ErrorStats, MergesHalvesIntoTheWhole) {
    quell::rng random(1);
    std::vector<float> exact(64);
    std::vector<float> close(64);
    for (std::size_t i = 0; i < exact.size(); ++i) {
        exact[i] = static_cast<float>(random.below(1000)) / 8.0F;  // sums of squares are exact in any order
        close[i] = exact[i] + static_cast<float>(random.below(16)) / 8.0F;
    }
    const std::span<const float> e(exact);
    const std::span<const float> c(close);
    error_stats whole;
    whole.add(e, c);
    error_stats first;
    first.add(e.first(20), c.first(20));
    error_stats second;
    second.add(e.subspan(20), c.subspan(20));
    first.merge(second);
    EXPECT_EQ(first.count, whole.count);
    EXPECT_EQ(first.max, whole.max);
    EXPECT_EQ(first.error_squares, whole.error_squares);
    EXPECT_EQ(first.reference_squares, whole.reference_squares);
}

TEST(ErrorStats, KeepsANan) {
    error_stats stats;
    stats.add(1.0F, std::numeric_limits<float>::quiet_NaN());
    stats.add(1.0F, 2.0F);
    EXPECT_TRUE(std::isnan(stats.max));
    error_stats other;
    other.add(1.0F, 1.0F);
    other.merge(stats);
    EXPECT_TRUE(std::isnan(other.max));
}

}  // namespace
