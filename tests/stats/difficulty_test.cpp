// SPDX-License-Identifier: MIT
#include "quell/stats/difficulty.hpp"

#include "reference/statistics.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <vector>

namespace {

namespace stats = quell::stats;

TEST(Difficulty, IsTheSampleDeviationOfTheNorms) {
    const stats::difficulty d = stats::difficulty_of(std::vector<double>{1.0, 2.0, 3.0, 6.0});
    EXPECT_DOUBLE_EQ(d.mean, 3.0);
    EXPECT_DOUBLE_EQ(d.deviation, std::sqrt(14.0 / 3.0));
    EXPECT_DOUBLE_EQ(d.relative(), std::sqrt(14.0 / 3.0) / 3.0);
    for (const std::size_t channels : {2U, 5U, 100U}) {
        const quell::matrix<float> norms = random_matrix(1, channels, channels, 3.0);
        const std::vector<double> values(norms.elements().begin(), norms.elements().end());
        EXPECT_NEAR(stats::difficulty_of(values).deviation, reference::sample_deviation(values), 1e-12);
    }
}

TEST(Difficulty, GrowsWithTheTensorButNotRelatively) {
    const std::vector<double> norms = {1.0, 4.0, 2.0};
    const std::vector<double> tenfold = {10.0, 40.0, 20.0};
    EXPECT_NEAR(stats::difficulty_of(tenfold).deviation, 10.0 * stats::difficulty_of(norms).deviation, 1e-12);
    EXPECT_NEAR(stats::difficulty_of(tenfold).relative(), stats::difficulty_of(norms).relative(), 1e-12);
}

TEST(Difficulty, IsZeroWhereNothingVaries) {
    for (const std::vector<double>& norms : {std::vector<double>{}, {5.0}, {0.0, 0.0}}) {
        EXPECT_EQ(stats::difficulty_of(norms).deviation, 0.0);
        EXPECT_EQ(stats::difficulty_of(norms).relative(), 0.0);
    }
}

}  // namespace
