// SPDX-License-Identifier: MIT
#include "quell/stats/channel_magnitude.hpp"

#include "quell/stats/absmax.hpp"
#include "quell/stats/moments.hpp"
#include "reference/statistics.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

namespace {

namespace stats = quell::stats;

static_assert(stats::collector<stats::channel_magnitude>);
static_assert(stats::channelwise_collector<stats::channel_magnitude>);
static_assert(stats::channelwise_collector<stats::absmax>);
static_assert(stats::channelwise_collector<stats::moments>);

std::vector<double> values_of_channel(const quell::matrix<float>& x, std::size_t c) {
    std::vector<double> values;
    for (std::size_t r = 0; r < x.rows(); ++r) {
        values.push_back(double{x(r, c)});
    }
    return values;
}

TEST(ChannelMagnitude, HasTheBitsOfAPlainLoop) {
    for (const std::size_t channels : {1U, 7U, 8U, 33U}) {
        const quell::matrix<float> x = random_matrix(70, channels, channels, 5.0);
        stats::channel_magnitude seen;
        seen.add(x.view());
        ASSERT_EQ(seen.channels(), channels);
        for (std::size_t c = 0; c < channels; ++c) {
            const reference::channel_sums expected = reference::sums_of_channel(values_of_channel(x, c));
            EXPECT_EQ(seen.sums_of_magnitudes()[c], expected.magnitudes) << c;
            EXPECT_EQ(seen.sums_of_squares()[c], expected.squares) << c;
            EXPECT_EQ(seen.norms()[c], std::sqrt(expected.squares));
            EXPECT_EQ(seen.mean_magnitudes()[c], expected.magnitudes / 70.0);
            EXPECT_EQ(seen.mean_squares()[c], expected.squares / 70.0);
        }
    }
}

TEST(ChannelMagnitude, HasTheSameBitsForAnyBatches) {
    const quell::matrix<float> x = random_matrix(50, 21, 3);
    stats::channel_magnitude whole;
    whole.add(x.view());
    stats::channel_magnitude batched;
    for (std::size_t r = 0; r < 50; r += 10) {
        batched.add(x.view().block(r, 0, 10, 21));
    }
    EXPECT_EQ(batched.count(), 50U);
    EXPECT_EQ(batched.norms(), whole.norms());
    EXPECT_EQ(batched.mean_magnitudes(), whole.mean_magnitudes());
}

TEST(ChannelMagnitude, MergesWithinOneRounding) {
    const quell::matrix<float> x = random_matrix(64, 9, 4);
    stats::channel_magnitude whole;
    whole.add(x.view());
    for (const std::size_t cut : {0U, 30U, 64U}) {
        stats::channel_magnitude merged;
        merged.add(x.view().block(0, 0, cut, 9));
        stats::channel_magnitude rest;
        rest.add(x.view().block(cut, 0, 64 - cut, 9));
        merged.merge(rest);
        EXPECT_EQ(merged.count(), 64U);
        for (std::size_t c = 0; c < 9; ++c) {
            EXPECT_NEAR(merged.sums_of_squares()[c], whole.sums_of_squares()[c], 1e-14 * whole.sums_of_squares()[c]);
        }
    }
}

TEST(ChannelMagnitude, IsZeroBeforeAnyRowAndOfADeadChannel) {
    EXPECT_TRUE(stats::channel_magnitude{}.norms().empty());
    const quell::matrix<float> zeros(3, 2);
    stats::channel_magnitude seen;
    seen.add(zeros.view());
    EXPECT_EQ(seen.norms(), (std::vector<double>{0.0, 0.0}));
    seen = {};
    seen.add(zeros.view().block(0, 0, 0, 2));
    EXPECT_EQ(seen.mean_squares(), (std::vector<double>{0.0, 0.0}));
}

/// The state of a collector that was fed whole, or a few columns at a time, the last ones first.
template <typename Collector>
std::pair<Collector, Collector> fed_in_two_ways(const quell::matrix<float>& x) {
    Collector whole;
    whole.add(x.view());
    Collector parts;
    parts.announce(x.rows(), x.cols());
    for (std::size_t first = (x.cols() - 1) / 5 * 5 + 5; first > 0;) {
        first -= 5;
        parts.add_columns(x.view().block(0, first, x.rows(), std::min<std::size_t>(5, x.cols() - first)), first);
    }
    return {whole, parts};
}

TEST(ChannelwiseCollectors, DoNotCareWhichColumnsComeTogether) {
    const quell::matrix<float> x = random_matrix(130, 33, 8);
    const auto [absmax, absmax_parts] = fed_in_two_ways<stats::absmax>(x);
    EXPECT_TRUE(std::ranges::equal(absmax.per_channel(), absmax_parts.per_channel()));
    const auto [magnitude, magnitude_parts] = fed_in_two_ways<stats::channel_magnitude>(x);
    EXPECT_EQ(magnitude.norms(), magnitude_parts.norms());
    EXPECT_EQ(magnitude.mean_magnitudes(), magnitude_parts.mean_magnitudes());
    const auto [moments, moments_parts] = fed_in_two_ways<stats::moments>(x);
    EXPECT_EQ(moments_parts.count(), 130U);
    for (std::size_t c = 0; c < x.cols(); ++c) {
        EXPECT_EQ(moments.channel(c).mean, moments_parts.channel(c).mean);
        EXPECT_EQ(moments.channel(c).m4, moments_parts.channel(c).m4);
    }
}

TEST(Moments, SurviveAnOddFirstRowAndADrift) {
    quell::matrix<float> x = random_matrix(1000, 6, 12);
    for (std::size_t r = 0; r < 1000; ++r) {
        for (std::size_t c = 0; c < 6; ++c) {
            x(r, c) += r == 0 ? 3e4F : static_cast<float>(r);
        }
    }
    stats::moments seen;
    seen.add(x.view());
    for (std::size_t c = 0; c < 6; ++c) {
        const reference::moment_values expected = reference::moments(values_of_channel(x, c));
        EXPECT_NEAR(seen.channel(c).mean, expected.mean, 1e-10 * expected.mean);
        EXPECT_NEAR(seen.channel(c).variance(), expected.variance, 1e-10 * expected.variance);
        EXPECT_NEAR(seen.channel(c).kurtosis(), expected.kurtosis, 1e-9 * expected.kurtosis);
    }
}

}  // namespace
