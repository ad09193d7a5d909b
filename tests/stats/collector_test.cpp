// SPDX-License-Identifier: MIT
#include "quell/stats/collector.hpp"

#include "quell/core/matrix.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"
#include "quell/stats/absmax.hpp"
#include "quell/stats/finite.hpp"
#include "quell/stats/moments.hpp"
#include "quell/stats/token_max.hpp"
#include "reference/statistics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace {

using quell::matrix;
using quell::matrix_view;
namespace stats = quell::stats;

static_assert(stats::collector<stats::absmax>);
static_assert(stats::collector<stats::token_max>);
static_assert(stats::collector<stats::moments>);

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

/// Rows with a large channel and a far-off mean, where naive moments cancel.
matrix<float> sample(std::size_t rows, std::size_t cols, std::uint64_t seed = 1) {
    matrix<float> x(rows, cols);
    quell::rng random(seed);
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t c = 0; c < cols; ++c) {
            const double scale = c % 5 == 3 ? 40.0 : 1.0;
            x(r, c) = static_cast<float>(random.normal() * scale + (c % 7 == 2 ? 1000.0 : 0.0));
        }
    }
    return x;
}

template <typename Collector>
Collector collect(matrix_view<const float> x) {
    Collector c;
    c.add(x);
    return c;
}

template <typename Collector>
Collector collect_in_halves(const matrix<float>& x, std::size_t cut) {
    auto first = collect<Collector>(x.view().block(0, 0, cut, x.cols()));
    first.merge(collect<Collector>(x.view().block(cut, 0, x.rows() - cut, x.cols())));
    return first;
}

std::vector<double> column(const matrix<float>& x, std::size_t c) {
    std::vector<double> values;
    for (std::size_t r = 0; r < x.rows(); ++r) {
        values.push_back(static_cast<double>(x(r, c)));
    }
    return values;
}

std::vector<float> copy(std::span<const float> values) {
    return {values.begin(), values.end()};
}

TEST(Absmax, IsTheLargestMagnitudeOfEveryChannel) {
    const matrix<float> x = sample(50, 37);
    const auto seen = collect<stats::absmax>(x.view());
    EXPECT_EQ(seen.count(), 50U);
    float overall = 0.0F;
    for (std::size_t c = 0; c < x.cols(); ++c) {
        float largest = 0.0F;
        for (std::size_t r = 0; r < x.rows(); ++r) {
            largest = std::max(largest, std::fabs(x(r, c)));
        }
        EXPECT_EQ(seen.per_channel()[c], largest);
        overall = std::max(overall, largest);
    }
    EXPECT_EQ(seen.overall(), overall);
}

TEST(Absmax, MergesExactly) {
    const matrix<float> x = sample(41, 19);
    const auto whole = collect<stats::absmax>(x.view());
    for (const std::size_t cut : {0U, 1U, 20U, 41U}) {
        const auto merged = collect_in_halves<stats::absmax>(x, cut);
        EXPECT_EQ(copy(merged.per_channel()), copy(whole.per_channel()));
        EXPECT_EQ(merged.count(), whole.count());
    }
}

TEST(Absmax, NeverLosesANan) {
    matrix<float> x = sample(9, 8);
    x(4, 3) = -nan;
    x(5, 3) = infinity;
    const auto merged = collect_in_halves<stats::absmax>(x, 5);
    EXPECT_TRUE(std::isnan(merged.per_channel()[3]));
    EXPECT_TRUE(std::isnan(merged.overall()));
    EXPECT_TRUE(std::isfinite(merged.per_channel()[2]));
}

TEST(Absmax, IsZeroBeforeAnyRow) {
    EXPECT_EQ(stats::absmax{}.overall(), 0.0F);
    EXPECT_EQ(stats::absmax{}.count(), 0U);
    EXPECT_TRUE(stats::absmax{}.per_channel().empty());
}

TEST(TokenMax, KeepsTheOrderOfTheTokens) {
    const matrix<float> x = sample(23, 11);
    const auto whole = collect<stats::token_max>(x.view());
    ASSERT_EQ(whole.count(), 23U);
    for (std::size_t r = 0; r < x.rows(); ++r) {
        float largest = 0.0F;
        for (const float v : x.row(r)) {
            largest = std::max(largest, std::fabs(v));
        }
        EXPECT_EQ(whole.values()[r], largest);
    }
    EXPECT_EQ(copy(collect_in_halves<stats::token_max>(x, 9).values()), copy(whole.values()));
}

TEST(Moments, MatchTwoPassesInDouble) {
    const matrix<float> x = sample(300, 14);
    const auto seen = collect<stats::moments>(x.view());
    for (std::size_t c = 0; c < x.cols(); ++c) {
        const reference::moment_values expected = reference::moments(column(x, c));
        EXPECT_NEAR(seen.channel(c).mean, expected.mean, 1e-10 * (1.0 + std::fabs(expected.mean)));
        EXPECT_NEAR(seen.channel(c).variance(), expected.variance, 1e-10 * expected.variance);
        EXPECT_NEAR(seen.channel(c).kurtosis(), expected.kurtosis, 1e-9 * expected.kurtosis);
    }
}

TEST(Moments, OverallAreThoseOfAllElements) {
    const matrix<float> x = sample(120, 9);
    const std::vector<double> all(x.elements().begin(), x.elements().end());
    const reference::moment_values expected = reference::moments(all);
    const stats::moment_sums overall = collect<stats::moments>(x.view()).overall();
    EXPECT_EQ(overall.n, 1080.0);
    EXPECT_NEAR(overall.mean, expected.mean, 1e-10 * expected.mean);
    EXPECT_NEAR(overall.variance(), expected.variance, 1e-10 * expected.variance);
    EXPECT_NEAR(overall.kurtosis(), expected.kurtosis, 1e-10 * expected.kurtosis);
}

TEST(Moments, MergeWithoutCancellation) {
    const matrix<float> x = sample(257, 8);
    const auto whole = collect<stats::moments>(x.view());
    for (const std::size_t cut : {0U, 1U, 100U, 257U}) {
        const auto merged = collect_in_halves<stats::moments>(x, cut);
        EXPECT_EQ(merged.count(), whole.count());
        for (std::size_t c = 0; c < x.cols(); ++c) {
            EXPECT_NEAR(merged.channel(c).mean, whole.channel(c).mean, 1e-12 * (1.0 + whole.channel(c).mean));
            EXPECT_NEAR(merged.channel(c).variance(), whole.channel(c).variance(), 1e-10 * whole.channel(c).variance());
            EXPECT_NEAR(merged.channel(c).kurtosis(), whole.channel(c).kurtosis(), 1e-9);
        }
    }
}

TEST(Moments, OfANormalSampleHaveKurtosisThree) {
    matrix<float> x(20000, 1);
    quell::rng random(5);
    for (float& v : x.elements()) {
        v = static_cast<float>(random.normal());
    }
    EXPECT_NEAR(collect<stats::moments>(x.view()).overall().kurtosis(), 3.0, 0.15);
}

TEST(Moments, OfAConstantChannelAreFinite) {
    matrix<float> x(10, 2);
    std::fill(x.elements().begin(), x.elements().end(), 0.3F);
    const stats::moment_sums channel = collect<stats::moments>(x.view()).channel(1);
    EXPECT_NEAR(channel.variance(), 0.0, 1e-15);
    EXPECT_TRUE(std::isfinite(channel.kurtosis()));
    EXPECT_EQ(stats::moments{}.overall().variance(), 0.0);
}

TEST(CheckFinite, NamesTheFirstBadNumber) {
    matrix<float> x = sample(6, 12);
    EXPECT_TRUE(stats::check_finite(x.view()).has_value());
    x(4, 1) = nan;
    x(3, 7) = -infinity;
    const auto checked = stats::check_finite(x.view());
    ASSERT_FALSE(checked.has_value());
    EXPECT_EQ(checked.error().code, quell::errc::bad_value);
    EXPECT_EQ(checked.error().message, "row 3, column 7 is -infinity, not a finite number");
}

TEST(CheckFinite, AcceptsTheEdgesOfFloat) {
    const std::vector<float> edges = {std::numeric_limits<float>::max(), -std::numeric_limits<float>::max(),
                                      std::numeric_limits<float>::denorm_min(), -0.0F};
    EXPECT_TRUE(stats::all_finite(edges));
    EXPECT_TRUE(stats::check_finite(matrix_view<const float>{}).has_value());
}

}  // namespace
