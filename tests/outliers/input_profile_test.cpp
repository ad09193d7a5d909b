// SPDX-License-Identifier: MIT
#include "quell/outliers/input_profile.hpp"

#include "outliers/rows.hpp"
#include "quell/core/thread_pool.hpp"
#include "reference/outliers.hpp"
#include "reference/statistics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

namespace {

namespace outliers = quell::outliers;
using outliers::input_profile;
using outliers::profile_collector;
using quell::matrix;
using quell::matrix_view;

static_assert(quell::stats::collector<profile_collector>);

matrix<float> profile_rows(std::size_t rows, std::size_t cols) {
    return rows_with_massive_tokens(rows, cols, 40, 21);
}

/// Equal in everything whose bits are promised for any portions; `and_moments`: in those too.
void expect_same(const input_profile& a, const input_profile& b, bool and_moments) {
    EXPECT_EQ(a.count(), b.count());
    EXPECT_TRUE(std::ranges::equal(a.absmax.per_channel(), b.absmax.per_channel()));
    EXPECT_EQ(a.magnitude.norms(), b.magnitude.norms());
    EXPECT_EQ(a.magnitude.mean_magnitudes(), b.magnitude.mean_magnitudes());
    EXPECT_TRUE(std::ranges::equal(a.elements.counts(), b.elements.counts()));
    EXPECT_TRUE(std::ranges::equal(a.token_maxima.counts(), b.token_maxima.counts()));
    EXPECT_EQ(a.spikes.sum(), b.spikes.sum());
    EXPECT_EQ(a.spikes.sequences(), b.spikes.sequences());
    expect_same(a.massive, b.massive);
    for (std::size_t c = 0; and_moments && c < a.moments.channels(); ++c) {
        EXPECT_EQ(a.moments.channel(c).m2, b.moments.channel(c).m2);
        EXPECT_EQ(a.moments.channel(c).m4, b.moments.channel(c).m4);
    }
}

input_profile profile_of(matrix_view<const float> x, std::size_t window, std::size_t portion,
                         const quell::executor& threads = {}) {
    profile_collector c({.window = window});
    for (std::size_t r = 0; r < x.rows(); r += portion) {
        c.add(x.block(r, 0, std::min(portion, x.rows() - r), x.cols()), threads);
    }
    return c.profile();
}

TEST(InputProfile, HoldsWhatEachCollectorWouldHold) {
    for (const std::size_t cols : {1U, 63U, 64U, 201U}) {
        const matrix<float> x = profile_rows(150, cols);
        const input_profile seen = profile_of(x.view(), 0, 150);
        input_profile expected;
        expected.absmax.add(x.view());
        expected.magnitude.add(x.view());
        expected.moments.add(x.view());
        expected.elements.add(x.elements());
        expected.token_maxima.add(reference::token_maxima(table_of(x.view())));
        expected.spikes.add(x.view());
        expected.massive.add(x.view());
        expect_same(seen, expected, true);
        EXPECT_EQ(seen.elements.count(), 150 * cols);
        EXPECT_EQ(seen.token_maxima.count(), 150U);
    }
}

TEST(InputProfile, HasTheSameBitsForAnyThreads) {
    const matrix<float> x = profile_rows(300, 333);
    const input_profile serial = profile_of(x.view(), 128, 70);
    for (const std::size_t threads : {2U, 3U, 16U}) {
        quell::thread_pool pool(threads);
        expect_same(profile_of(x.view(), 128, 70, pool), serial, true);
    }
}

TEST(InputProfile, PutsWindowsTogetherAgain) {
    const matrix<float> x = profile_rows(500, 20);
    const input_profile expected = profile_of(x.view(), 0, 90);
    EXPECT_EQ(expected.spikes.sequences(), 6U);
    for (const std::size_t portion : {1U, 7U, 90U, 100U, 500U}) {
        const input_profile seen = profile_of(x.view(), 90, portion);
        expect_same(seen, expected, false);
        for (std::size_t c = 0; c < 20; ++c) {
            EXPECT_NEAR(seen.moments.channel(c).m4, expected.moments.channel(c).m4,
                        1e-9 * expected.moments.channel(c).m4);
        }
    }
}

TEST(InputProfile, MergesExactlyButForSums) {
    const matrix<float> x = profile_rows(480, 30);
    const input_profile whole = profile_of(x.view(), 60, 60);
    for (const std::size_t cut : {0U, 60U, 240U, 480U}) {
        profile_collector merged({.window = 60});
        merged.add(x.view().block(0, 0, cut, 30));
        profile_collector rest({.window = 60});
        rest.add(x.view().block(cut, 0, 480 - cut, 30));
        merged.merge(rest);
        const input_profile seen = merged.profile();
        EXPECT_EQ(seen.count(), 480U);
        EXPECT_TRUE(std::ranges::equal(seen.absmax.per_channel(), whole.absmax.per_channel()));
        EXPECT_TRUE(std::ranges::equal(seen.elements.counts(), whole.elements.counts()));
        EXPECT_TRUE(std::ranges::equal(seen.token_maxima.counts(), whole.token_maxima.counts()));
        EXPECT_EQ(seen.spikes.sum(), whole.spikes.sum());
        expect_same(seen.massive, whole.massive);
        for (std::size_t c = 0; c < 30; ++c) {
            const double square = whole.magnitude.sums_of_squares()[c];
            EXPECT_NEAR(seen.magnitude.sums_of_squares()[c], square, 1e-14 * square);
            EXPECT_NEAR(seen.moments.channel(c).m2, whole.moments.channel(c).m2, 1e-10 * whole.moments.channel(c).m2);
        }
    }
}

TEST(InputProfile, MergingEndsTheWindowOfTheEarlierHalf) {
    const matrix<float> x = profile_rows(50, 4);
    profile_collector left({.window = 40});
    left.add(x.view().block(0, 0, 25, 4));
    profile_collector right({.window = 40});
    right.add(x.view().block(25, 0, 15, 4));
    left.merge(right);
    left.add(x.view().block(40, 0, 10, 4));
    EXPECT_EQ(left.profile().spikes.sequences(), 2U);
    EXPECT_EQ(left.profile().massive.count(), 50U);
    left.add(x.view().block(0, 0, 16, 4));
    EXPECT_EQ(left.profile().spikes.sequences(), 3U);
}

TEST(InputProfile, OfNothingOrOfDeadChannelsIsFlat) {
    EXPECT_EQ(profile_collector{}.profile().count(), 0U);
    profile_collector none;
    none.add(matrix<float>(0, 7).view());
    EXPECT_EQ(none.profile().spikes.sequences(), 0U);
    const input_profile dead = profile_of(matrix<float>(3, 70).view(), 0, 3);
    EXPECT_EQ(dead.absmax.overall(), 0.0F);
    EXPECT_EQ(dead.elements.quantile(1.0), 0.0F);
    EXPECT_EQ(dead.spikes.mean(), 1.0);
    EXPECT_EQ(dead.massive.found(), 0U);
    EXPECT_EQ(dead.moments.overall().kurtosis(), 0.0);
}

TEST(InputProfile, OfOneTokenIsThatToken) {
    const matrix<float> x = profile_rows(1, 70);
    const input_profile seen = profile_of(x.view(), 512, 1);
    EXPECT_EQ(seen.count(), 1U);
    for (std::size_t c = 0; c < 70; ++c) {
        EXPECT_EQ(seen.absmax.per_channel()[c], std::fabs(x(0, c)));
        EXPECT_NEAR(seen.magnitude.norms()[c], std::fabs(double{x(0, c)}), 1e-12);
        EXPECT_EQ(seen.moments.channel(c).variance(), 0.0);
    }
    EXPECT_EQ(seen.spikes.sequences(), 1U);
    EXPECT_EQ(seen.spikes.mean(), 1.0);
}

TEST(InputProfile, NeverLosesANan) {
    matrix<float> x = profile_rows(70, 80);
    x(66, 70) = std::numeric_limits<float>::quiet_NaN();
    quell::thread_pool pool(2);
    const input_profile seen = profile_of(x.view(), 32, 70, pool);
    EXPECT_TRUE(std::isnan(seen.absmax.per_channel()[70]));
    EXPECT_TRUE(std::isnan(seen.spikes.mean()));
    EXPECT_TRUE(std::isnan(seen.token_maxima.quantile(1.0)));
}

}  // namespace
