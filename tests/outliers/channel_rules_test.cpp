// SPDX-License-Identifier: MIT
#include "quell/outliers/channel_rules.hpp"

#include "reference/outliers.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace {

using quell::outliers::k_sigma;
using quell::outliers::lower_median;
using quell::outliers::mad_rule;

using channels = std::vector<std::size_t>;

/// About normal around 10, with a few large ones.
std::vector<double> magnitudes_with(std::size_t n, const channels& large, double magnitude) {
    const quell::matrix<float> noise = random_matrix(1, n, n);
    std::vector<double> m(n);
    for (std::size_t c = 0; c < n; ++c) {
        m[c] = 10.0 + double{noise(0, c)};
    }
    for (const std::size_t c : large) {
        m[c] = magnitude;
    }
    return m;
}

TEST(ChannelRules, AgreeWithTheOracle) {
    for (const std::size_t n : {1U, 2U, 9U, 64U, 501U}) {
        for (const double k : {0.5, 1.0, 3.0}) {
            const std::vector<double> m = magnitudes_with(n, {n / 2}, 40.0);
            EXPECT_EQ((k_sigma{.k = k}.detect(m)), reference::k_sigma(m, k)) << n;
            EXPECT_EQ((mad_rule{.k = k}.detect(m)), reference::mad_rule(m, k)) << n;
        }
    }
}

TEST(ChannelRules, FindWhatWasPlanted) {
    const std::vector<double> m = magnitudes_with(576, {7, 100, 431}, 90.0);
    EXPECT_EQ(k_sigma{}.detect(m), (channels{7, 100, 431}));
    EXPECT_EQ((mad_rule{.k = 6.0}.detect(m)), (channels{7, 100, 431}));
}

TEST(ChannelRules, OnlyTheMedianStandsAQuarterOfOutliers) {
    channels large;
    for (std::size_t c = 0; c < 100; c += 4) {
        large.push_back(c);
    }
    const std::vector<double> m = magnitudes_with(100, large, 90.0);
    EXPECT_TRUE(k_sigma{}.detect(m).empty());
    EXPECT_EQ((mad_rule{.k = 6.0}.detect(m)), large);
}

TEST(ChannelRules, DoNotDependOnTheScale) {
    std::vector<double> m = magnitudes_with(64, {5}, 30.0);
    const channels before = mad_rule{}.detect(m);
    const channels before_sigma = k_sigma{}.detect(m);
    for (double& v : m) {
        v *= 1024.0;
    }
    EXPECT_EQ(mad_rule{}.detect(m), before);
    EXPECT_EQ(k_sigma{}.detect(m), before_sigma);
    EXPECT_FALSE(before.empty());
}

TEST(ChannelRules, FindNothingWhereAllAreAlikeOrDead) {
    for (const std::vector<double>& m : {std::vector<double>{}, {4.0}, {4.0, 4.0, 4.0}, {0.0, 0.0}}) {
        EXPECT_TRUE(k_sigma{}.detect(m).empty());
        EXPECT_TRUE(mad_rule{}.detect(m).empty());
    }
    EXPECT_EQ(mad_rule{}.detect(std::vector<double>{0.0, 0.0, 0.0, 1e-9, 0.0}), channels{3});
}

TEST(ChannelRules, AreNotLedAstrayByNan) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_TRUE(k_sigma{}.detect(std::vector<double>{1.0, nan, 50.0}).empty());
    EXPECT_TRUE(mad_rule{}.detect(std::vector<double>{nan, nan, nan, 50.0}).empty());
    EXPECT_EQ(mad_rule{}.detect(std::vector<double>{nan, 1.0, 1.5, 50.0, 2.0}), channels{3});
}

TEST(LowerMedian, IsTheSmallerMiddle) {
    EXPECT_EQ(lower_median(std::vector<float>{}), 0.0F);
    EXPECT_EQ(lower_median(std::vector<float>{4.0F, 1.0F, 3.0F, 2.0F}), 2.0F);
    EXPECT_EQ(lower_median(std::vector<double>{5.0, 1.0, 3.0}), 3.0);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(lower_median(std::vector<float>{nan, 1.0F, nan, 2.0F}), 2.0F);
    EXPECT_TRUE(std::isnan(lower_median(std::vector<float>{nan, nan, 2.0F})));
}

}  // namespace
