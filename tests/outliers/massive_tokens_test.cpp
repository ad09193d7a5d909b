// SPDX-License-Identifier: MIT
#include "quell/outliers/massive_tokens.hpp"

#include "outliers/rows.hpp"
#include "quell/outliers/spike_ratio.hpp"
#include "reference/outliers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace {

namespace outliers = quell::outliers;
using outliers::massive_token;
using outliers::massive_tokens;
using outliers::spike_ratio;
using quell::matrix;
using quell::matrix_view;

static_assert(quell::stats::collector<spike_ratio>);
static_assert(quell::stats::collector<massive_tokens>);

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

/// One add() for each window of the rows.
template <typename Collector>
Collector collect_windows(matrix_view<const float> x, std::size_t window) {
    Collector c;
    for (std::size_t r = 0; r < x.rows(); r += window) {
        c.add(x.block(r, 0, std::min(window, x.rows() - r), x.cols()));
    }
    return c;
}

TEST(MassiveTokens, AreThoseOfTheOracle) {
    const std::size_t window = 50;
    const matrix<float> x = rows_with_massive_tokens(435, 12, 20, 5);
    const auto expected = reference::massive_tokens(reference::windows_of(table_of(x.view()), window), 20.0F);
    const auto seen = collect_windows<massive_tokens>(x.view(), window);
    ASSERT_GT(expected.size(), 5U);
    ASSERT_LE(expected.size(), massive_tokens::kept);
    EXPECT_EQ(seen.found(), expected.size());
    EXPECT_EQ(seen.windows(), 9U);
    ASSERT_EQ(seen.examples().size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const massive_token& found = seen.examples()[i];
        EXPECT_EQ(found.token.largest, expected[i].largest);
        EXPECT_EQ(found.window, expected[i].window);
        EXPECT_EQ(found.token.position, expected[i].position);
        for (std::size_t c = 0; c < outliers::large_token::kept_channels; ++c) {
            EXPECT_EQ(found.token.channels[c], expected[i].channels[c]);
            EXPECT_EQ(found.token.values[c], x(found.window * window + found.token.position, expected[i].channels[c]));
        }
    }
}

TEST(MassiveTokens, MergeExactlyAtTheEndsOfWindows) {
    const std::size_t window = 40;
    const matrix<float> x = rows_with_massive_tokens(1000, 10, 10, 6);
    const auto whole = collect_windows<massive_tokens>(x.view(), window);
    EXPECT_GT(whole.found(), massive_tokens::kept);
    EXPECT_EQ(whole.examples().size(), massive_tokens::kept);
    for (const std::size_t cut : {0U, 40U, 520U, 1000U}) {
        auto merged = collect_windows<massive_tokens>(x.view().block(0, 0, cut, 10), window);
        merged.merge(collect_windows<massive_tokens>(x.view().block(cut, 0, 1000 - cut, 10), window));
        expect_same(merged, whole);
    }
}

TEST(MassiveTokens, AreAllCountedButFewOfAWindowAreDescribed) {
    matrix<float> x = random_matrix(100, 6, 7);
    for (std::size_t r = 0; r < 20; ++r) {
        x(5 * r, 2) = 1000.0F + static_cast<float>(r % 7);
    }
    massive_tokens seen;
    seen.add(x.view());
    EXPECT_EQ(seen.found(), 20U);
    ASSERT_EQ(seen.examples().size(), outliers::token_window::kept_tokens);
    const auto expected = reference::massive_tokens({table_of(x.view())}, 20.0F);
    for (std::size_t i = 0; i < seen.examples().size(); ++i) {
        EXPECT_EQ(seen.examples()[i].token.position, expected[i].position);
    }
}

TEST(MassiveTokens, ObeyTheThreshold) {
    matrix<float> x(5, 1);
    std::fill(x.elements().begin(), x.elements().end(), 1.0F);
    x(3, 0) = 8.0F;
    massive_tokens at_eight(8.0F);
    at_eight.add(x.view());
    EXPECT_EQ(at_eight.found(), 0U);
    massive_tokens below(7.5F);
    below.add(x.view());
    EXPECT_EQ(below.found(), 1U);
}

TEST(MassiveTokens, OfNarrowRowsHaveFewChannels) {
    matrix<float> x(9, 2);
    std::fill(x.elements().begin(), x.elements().end(), 0.5F);
    x(4, 1) = -77.0F;
    massive_tokens seen;
    seen.add(x.view());
    ASSERT_EQ(seen.examples().size(), 1U);
    EXPECT_EQ(seen.examples()[0].token.channels, (std::array<std::uint64_t, 4>{1, 0, 0, 0}));
    EXPECT_EQ(seen.examples()[0].token.values, (std::array<float, 4>{-77.0F, 0.5F, 0.0F, 0.0F}));
}

TEST(TokenWindow, DoesNotCareInWhatPartsRowsCome) {
    const matrix<float> x = rows_with_massive_tokens(200, 8, 6, 8);
    outliers::token_window whole;
    whole.add(x.view());
    outliers::token_window parts;
    for (const auto& [first, rows] : {std::pair<std::size_t, std::size_t>{0, 3}, {3, 1}, {4, 96}, {100, 100}}) {
        parts.add(x.view().block(first, 0, rows, 8));
    }
    EXPECT_TRUE(std::ranges::equal(whole.maxima(), parts.maxima()));
    massive_tokens of_whole;
    of_whole.add(whole);
    massive_tokens of_parts;
    of_parts.add(parts);
    EXPECT_GT(of_whole.found(), 8U);
    expect_same(of_whole, of_parts);
}

TEST(TokenWindow, PrefersTheEarlierOfEquals) {
    matrix<float> x(12, 6);
    std::fill(x.elements().begin(), x.elements().end(), -2.0F);
    x(9, 5) = 3.0F;
    outliers::token_window window;
    window.add(x.view());
    ASSERT_EQ(window.largest().size(), outliers::token_window::kept_tokens);
    EXPECT_EQ(window.largest()[0].position, 9U);
    EXPECT_EQ(window.largest()[0].channels, (std::array<std::uint64_t, 4>{5, 0, 1, 2}));
    for (std::size_t i = 1; i < window.largest().size(); ++i) {
        EXPECT_EQ(window.largest()[i].position, i - 1);
        EXPECT_EQ(window.largest()[i].channels, (std::array<std::uint64_t, 4>{0, 1, 2, 3}));
    }
}

TEST(SpikeRatio, IsThatOfTheOracle) {
    const matrix<float> x = rows_with_massive_tokens(333, 9, 30, 9);
    const auto seen = collect_windows<spike_ratio>(x.view(), 64);
    const double expected = reference::spike_ratio(reference::windows_of(table_of(x.view()), 64));
    EXPECT_EQ(seen.sequences(), 6U);
    EXPECT_EQ(seen.count(), 333U);
    EXPECT_NEAR(seen.mean(), expected, 1e-6 * expected);
}

TEST(SpikeRatio, TakesTheLowerMedian) {
    matrix<float> x(4, 1);
    const float maxima[] = {2.0F, 10.0F, 4.0F, 1.0F};
    std::ranges::copy(maxima, x.elements().begin());
    spike_ratio seen;
    seen.add(x.view());
    EXPECT_EQ(seen.mean(), 5.0);
}

TEST(SpikeRatio, IsOneForEqualTokensKnowsNoUnitAndRisesToSpikeOverMedian) {
    matrix<float> x(64, 3);
    for (std::size_t t = 0; t < 64; ++t) {
        x(t, t % 3) = t % 2 == 0 ? 0.75F : -0.75F;
    }
    const auto ratio = [&x](float unit) {
        matrix<float> scaled = matrix<float>::copy_of(x.view());
        for (float& v : scaled.elements()) {
            v *= unit;
        }
        spike_ratio seen;
        seen.add(scaled.view());
        return seen.mean();
    };
    EXPECT_EQ(ratio(1.0F), 1.0);
    x(40, 1) = -1500.0F;
    EXPECT_EQ(ratio(1.0F), 2000.0);
    EXPECT_EQ(ratio(0x1p-20F), 2000.0);
    EXPECT_EQ(ratio(0x1p30F), 2000.0);
}

TEST(SpikeRatio, MergesExactly) {
    const matrix<float> x = rows_with_massive_tokens(960, 7, 25, 10);
    const auto whole = collect_windows<spike_ratio>(x.view(), 32);
    for (const std::size_t cut : {0U, 32U, 480U, 960U}) {
        auto merged = collect_windows<spike_ratio>(x.view().block(0, 0, cut, 7), 32);
        merged.merge(collect_windows<spike_ratio>(x.view().block(cut, 0, 960 - cut, 7), 32));
        EXPECT_EQ(merged.sum(), whole.sum());
        EXPECT_EQ(merged.sequences(), whole.sequences());
    }
}

TEST(TokenRules, OfOneTokenOrOfZerosAreFlat) {
    const matrix<float> x = random_matrix(1, 5, 11);
    const matrix<float> zeros(6, 5);
    for (const matrix<float>* rows : {&x, &zeros}) {
        spike_ratio spikes;
        spikes.add(rows->view());
        EXPECT_EQ(spikes.mean(), 1.0);
        massive_tokens massive;
        massive.add(rows->view());
        EXPECT_EQ(massive.found(), 0U);
        EXPECT_EQ(massive.windows(), 1U);
    }
    EXPECT_EQ(spike_ratio{}.mean(), 1.0);
    EXPECT_EQ(collect_windows<massive_tokens>(zeros.view().block(0, 0, 0, 5), 3).windows(), 0U);
}

TEST(TokenRules, SayWhereOnlyOneTokenIsAlive) {
    matrix<float> x(6, 5);
    x(2, 4) = 0.25F;
    spike_ratio spikes;
    spikes.add(x.view());
    EXPECT_EQ(spikes.mean(), static_cast<double>(infinity));
    massive_tokens massive;
    massive.add(x.view());
    ASSERT_EQ(massive.found(), 1U);
    EXPECT_EQ(massive.examples()[0].token.position, 2U);
    EXPECT_EQ(massive.examples()[0].token.channels[0], 4U);
}

TEST(TokenRules, KeepANanVisibleAndFindTheInfinite) {
    matrix<float> x = random_matrix(9, 5, 13);
    x(4, 1) = -infinity;
    massive_tokens massive;
    massive.add(x.view());
    ASSERT_EQ(massive.found(), 1U);
    EXPECT_EQ(massive.examples()[0].token.values[0], -infinity);
    x(5, 2) = nan;
    spike_ratio spikes;
    spikes.add(x.view());
    EXPECT_TRUE(std::isnan(spikes.mean()));
    massive.add(x.view());
    EXPECT_EQ(massive.found(), 2U);
}

}  // namespace
