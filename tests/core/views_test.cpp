// SPDX-License-Identifier: MIT
#include "quell/core/views.hpp"

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <type_traits>

namespace {

using quell::matrix_view;

std::array<int, 12> counted() {
    std::array<int, 12> values{};
    std::iota(values.begin(), values.end(), 0);
    return values;
}

TEST(Views, StepsOverThePadding) {
    std::array<int, 12> data = counted();
    const matrix_view<int> m(data.data(), 3, 2, 4);
    EXPECT_EQ(m(0, 1), 1);
    EXPECT_EQ(m(2, 1), 9);
    EXPECT_EQ(m.row(1).size(), 2U);
    EXPECT_EQ(m.row(1)[0], 4);
    EXPECT_EQ(m.stride(), 4U);
}

TEST(Views, WritesThrough) {
    std::array<int, 12> data{};
    const matrix_view<int> m(data.data(), 3, 4);
    m(1, 2) = 5;
    m.row(2)[3] = 6;
    EXPECT_EQ(data[6], 5);
    EXPECT_EQ(data[11], 6);
}

TEST(Views, BlockKeepsTheStride) {
    std::array<int, 12> data = counted();
    const matrix_view<int> block = matrix_view<int>(data.data(), 3, 4).block(1, 1, 2, 3);
    EXPECT_EQ(block.rows(), 2U);
    EXPECT_EQ(block.cols(), 3U);
    EXPECT_EQ(block(0, 0), 5);
    EXPECT_EQ(block(1, 2), 11);
}

TEST(Views, BlockMayBeEmptyAtTheEnd) {
    std::array<int, 12> data{};
    const matrix_view<int> m(data.data(), 3, 4);
    EXPECT_TRUE(m.block(3, 0, 0, 4).empty());
    EXPECT_TRUE(m.block(0, 4, 3, 0).empty());
}

TEST(Views, BecomesReadOnlyButNeverBack) {
    std::array<int, 12> data = counted();
    const matrix_view<const int> m = matrix_view<int>(data.data(), 3, 4);
    EXPECT_EQ(m(2, 3), 11);
    static_assert(!std::is_constructible_v<matrix_view<int>, matrix_view<const int>>);
    static_assert(!std::is_constructible_v<matrix_view<float>, matrix_view<int>>);
}

TEST(Views, IsEmptyWithoutRowsOrColumns) {
    EXPECT_TRUE(matrix_view<float>().empty());
    EXPECT_TRUE(matrix_view<float>(nullptr, 0, 4).empty());
    EXPECT_TRUE(matrix_view<float>(nullptr, 4, 0).empty());
}

}  // namespace
