// SPDX-License-Identifier: MIT
#include "quell/stats/gram.hpp"

#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"
#include "reference/statistics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

namespace {

namespace stats = quell::stats;
using quell::matrix;
using quell::matrix_view;

static_assert(stats::collector<stats::gram>);

/// Normal rows; every 200th is `massive` times as large in a few channels.
matrix<float> tokens(std::size_t rows, std::size_t channels, std::uint64_t seed, float massive = 1.0F) {
    matrix<float> x(rows, channels);
    quell::rng random(seed);
    for (std::size_t t = 0; t < rows; ++t) {
        for (std::size_t c = 0; c < channels; ++c) {
            x(t, c) = static_cast<float>(random.normal()) * (t % 200 == 3 && c % 9 == 2 ? massive : 1.0F);
        }
    }
    return x;
}

stats::gram gram_of(matrix_view<const float> x) {
    stats::gram g;
    g.add(x);
    return g;
}

/// The exact sums, and the sums of magnitudes by which errors are measured.
struct exact_gram {
    matrix<double> sum;
    matrix<double> magnitudes;

    explicit exact_gram(const matrix<float>& x) : sum(x.cols(), x.cols()), magnitudes(x.cols(), x.cols()) {
        std::vector<std::vector<float>> rows;
        std::vector<std::vector<float>> sizes;
        for (std::size_t t = 0; t < x.rows(); ++t) {
            rows.emplace_back(x.row(t).begin(), x.row(t).end());
            sizes.push_back(rows.back());
            for (float& v : sizes.back()) {
                v = std::fabs(v);
            }
        }
        for (std::size_t i = 0; i < x.cols(); ++i) {
            for (std::size_t j = 0; j < x.cols(); ++j) {
                sum(i, j) = reference::gram_element(rows, i, j);
                magnitudes(i, j) = reference::gram_element(sizes, i, j);
            }
        }
    }
};

void expect_equal(const matrix<double>& a, const matrix<double>& b) {
    ASSERT_EQ(a.rows(), b.rows());
    for (std::size_t i = 0; i < a.rows(); ++i) {
        for (std::size_t j = 0; j < a.cols(); ++j) {
            ASSERT_EQ(a(i, j), b(i, j)) << i << " " << j;
        }
    }
}

TEST(Gram, StaysWithinItsBoundOfTheExactSums) {
    constexpr std::pair<std::size_t, std::size_t> shapes[] = {{1, 1},   {3, 15},    {40, 16},
                                                              {70, 33}, {600, 130}, {1100, 97}};
    for (const auto& [rows, channels] : shapes) {
        const matrix<float> x = tokens(rows, channels, rows);
        const matrix<double> seen = gram_of(x.view()).sum();
        const exact_gram exact(x);
        for (std::size_t i = 0; i < channels; ++i) {
            for (std::size_t j = 0; j < channels; ++j) {
                ASSERT_NEAR(seen(i, j), exact.sum(i, j), 0x1p-19 * exact.magnitudes(i, j)) << rows << " " << channels;
                ASSERT_EQ(seen(i, j), seen(j, i));
            }
        }
    }
}

TEST(Gram, SumsOfSmallIntegersAreExact) {
    matrix<float> x(700, 50);
    quell::rng random(4);
    for (float& v : x.elements()) {
        v = static_cast<float>(random.below(9)) - 4.0F;
    }
    expect_equal(gram_of(x.view()).sum(), exact_gram(x).sum);
}

TEST(Gram, MassiveTokensDoNotDrownTheOthers) {
    const matrix<float> with = tokens(600, 40, 5, 3000.0F);
    matrix<float> without = matrix<float>::copy_of(with.view());
    matrix<float> massive(3, 40);
    for (std::size_t k = 0; k < 3; ++k) {
        std::copy_n(with.row(200 * k + 3).begin(), 40, massive.row(k).begin());
        std::fill_n(without.row(200 * k + 3).begin(), 40, 0.0F);
    }
    const matrix<double> all = gram_of(with.view()).sum();
    const matrix<double> apart = exact_gram(massive).sum;
    const exact_gram rest(without);
    for (std::size_t i = 0; i < 40; ++i) {
        for (std::size_t j = 0; j < 40; ++j) {
            const double rounding_of_doubles = 600 * 0x1p-53 * std::sqrt(apart(i, i) * apart(j, j));
            EXPECT_NEAR(all(i, j) - apart(i, j), rest.sum(i, j), 0x1p-19 * rest.magnitudes(i, j) + rounding_of_doubles);
        }
    }
}

TEST(Gram, HasTheSameBitsForAnyBatchesThreadsAndLevels) {
    const matrix<float> x = tokens(1300, 131, 6, 900.0F);
    const matrix<double> whole = gram_of(x.view()).sum();
    quell::thread_pool pool(3);
    stats::gram batched;
    std::size_t first = 0;
    for (const std::size_t n : {1U, 511U, 0U, 13U, 600U, 175U}) {
        batched.add(x.view().block(first, 0, n, x.cols()), pool);
        first += n;
    }
    EXPECT_EQ(first, x.rows());
    EXPECT_EQ(batched.count(), 1300U);
    expect_equal(batched.sum(pool), whole);
    matrix<float> wide(1300, 140);
    const matrix_view<float> strided = wide.view().block(0, 5, 1300, 131);
    for (std::size_t t = 0; t < 1300; ++t) {
        std::copy(x.row(t).begin(), x.row(t).end(), strided.row(t).begin());
    }
    expect_equal(gram_of(strided).sum(), whole);
    for (const quell::kernels::isa level : quell::kernels::available()) {
        ASSERT_TRUE(quell::kernels::lower_to(level));
        expect_equal(gram_of(x.view()).sum(), whole);
    }
    ASSERT_TRUE(quell::kernels::lower_to(quell::kernels::available().back()));
}

TEST(Gram, MergesWithinOneRoundingExactlyAtItsChunks) {
    const matrix<float> x = tokens(1200, 21, 7);
    const matrix<double> whole = gram_of(x.view()).sum();
    for (const std::size_t cut : {0U, 512U, 1024U, 1200U}) {
        stats::gram merged = gram_of(x.view().block(0, 0, cut, 21));
        merged.merge(gram_of(x.view().block(cut, 0, 1200 - cut, 21)));
        EXPECT_EQ(merged.count(), 1200U);
        expect_equal(merged.sum(), whole);
    }
    stats::gram merged = gram_of(x.view().block(0, 0, 700, 21));
    merged.merge(gram_of(x.view().block(700, 0, 500, 21)));
    const matrix<double> sum = merged.sum();
    for (std::size_t i = 0; i < 21; ++i) {
        for (std::size_t j = 0; j < 21; ++j) {
            EXPECT_NEAR(sum(i, j), whole(i, j), 0x1p-19 * std::sqrt(whole(i, i) * whole(j, j)));
        }
    }
}

TEST(Gram, ShowsWhatIsNotFiniteOnItsDiagonal) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        for (const std::size_t rows : {30U, 600U}) {
            matrix<float> x = tokens(rows, 20, 8);
            x(17, 11) = bad;
            const matrix<double> sum = gram_of(x.view()).sum();
            for (std::size_t i = 0; i < 20; ++i) {
                EXPECT_EQ(std::isfinite(sum(i, i)), i != 11) << i;
            }
        }
    }
}

TEST(Gram, OfNothingIsEmpty) {
    EXPECT_EQ(stats::gram().sum().rows(), 0U);
    stats::gram none;
    none.add(matrix<float>(0, 12).view());
    EXPECT_EQ(none.sum().rows(), 12U);
    EXPECT_EQ(none.sum()(3, 3), 0.0);
    none.merge(stats::gram());
    EXPECT_EQ(none.count(), 0U);
}

}  // namespace
