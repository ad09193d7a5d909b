// SPDX-License-Identifier: MIT
#include "quell/model/row_sample.hpp"

#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace {

using quell::matrix;
using quell::model::row_sample;

/// Row r holds r and noise below one half.
matrix<float> numbered_rows(std::size_t rows) {
    matrix<float> x(rows, 2);
    for (std::size_t r = 0; r < rows; ++r) {
        x(r, 0) = static_cast<float>(r % 100) * 0.001F;
        x(r, 1) = static_cast<float>(r);
    }
    return x;
}

TEST(RowSample, KeepsTheRowsThatItNames) {
    for (const std::size_t rows : {1U, 7U, 8U, 9U, 100U, 1000U}) {
        row_sample sample(8);
        sample.add(numbered_rows(rows).view());
        const std::vector<std::size_t> numbers = sample.numbers();
        const matrix<float> kept = sample.rows();
        ASSERT_EQ(kept.rows(), numbers.size());
        EXPECT_GE(numbers.size(), std::min<std::size_t>(rows, 8));
        EXPECT_LE(numbers.size(), 9U);
        EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
        EXPECT_EQ(std::adjacent_find(numbers.begin(), numbers.end()), numbers.end());
        for (std::size_t r = 0; r < numbers.size(); ++r) {
            EXPECT_EQ(kept(r, 1), static_cast<float>(numbers[r]));
        }
    }
}

TEST(RowSample, DoesNotDependOnBatches) {
    const matrix<float> x = random_matrix(1000, 3, 5);
    row_sample whole(50);
    whole.add(x.view());
    row_sample parts(50);
    for (std::size_t begin = 0; begin < 1000; begin += 40) {
        parts.add(x.view().block(begin, 0, 40, 3));
    }
    EXPECT_EQ(whole.numbers(), parts.numbers());
    EXPECT_TRUE(std::ranges::equal(whole.rows().elements(), parts.rows().elements()));
}

TEST(RowSample, AlwaysHoldsTheLargestRow) {
    for (const std::size_t peak : {0U, 1U, 333U, 999U}) {
        matrix<float> x = random_matrix(1000, 3, 6);
        x(peak, 1) = -50.0F;
        row_sample sample(4);
        sample.add(x.view());
        const std::vector<std::size_t> numbers = sample.numbers();
        EXPECT_EQ(std::count(numbers.begin(), numbers.end(), peak), 1);
    }
}

TEST(RowSample, FavoursNoPlaceInAWindow) {
    constexpr std::size_t window = 512;
    constexpr std::size_t rows = 48 * window;
    row_sample sample(2048);
    for (std::size_t begin = 0; begin < rows; begin += window) {
        sample.add(random_matrix(window, 1, begin).view());
    }
    std::vector<std::size_t> of_place(8, 0);
    std::vector<std::size_t> of_time(8, 0);
    std::size_t first_tokens = 0;
    for (const std::size_t number : sample.numbers()) {
        ++of_place[number % window / 64];
        ++of_time[number / (rows / 8)];
        first_tokens += number % window == 0 ? 1U : 0U;
    }
    for (std::size_t i = 0; i < 8; ++i) {
        EXPECT_NEAR(static_cast<double>(of_place[i]), 256.0, 5.0 * std::sqrt(256.0)) << i;
        EXPECT_NEAR(static_cast<double>(of_time[i]), 256.0, 5.0 * std::sqrt(256.0)) << i;
    }
    EXPECT_NEAR(static_cast<double>(first_tokens), 4.0, 8.0);  // 48 of 24576, so 4 of 2048; equal distances: 48
}

TEST(RowSample, OfNothingIsEmpty) {
    row_sample none;
    none.add(random_matrix(3, 2, 1).view());
    EXPECT_TRUE(none.empty());
    EXPECT_EQ(none.rows().rows(), 0U);
    const row_sample unfed(5);
    EXPECT_TRUE(unfed.numbers().empty());
}

}  // namespace
