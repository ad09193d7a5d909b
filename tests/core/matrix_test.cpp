// SPDX-License-Identifier: MIT
#include "quell/core/matrix.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>

namespace {

using quell::matrix;
using quell::matrix_view;

TEST(Matrix, IsDenseAlignedAndZero) {
    const matrix<float> m(3, 5);
    EXPECT_EQ(m.rows(), 3U);
    EXPECT_EQ(m.cols(), 5U);
    EXPECT_EQ(m.view().stride(), 5U);
    EXPECT_EQ(m.elements().size(), 15U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(m.elements().data()) % 64, 0U);
    EXPECT_EQ(m(2, 4), 0.0F);
}

TEST(Matrix, RowsAreViewsOfIt) {
    matrix<int> m(2, 3);
    m.row(1)[2] = 8;
    m(0, 1) = 4;
    EXPECT_EQ(m.elements()[5], 8);
    EXPECT_EQ(m.elements()[1], 4);
}

TEST(Matrix, CopiesOnlyTheColumnsOfAPaddedView) {
    const std::array<int, 8> data = {1, 2, 3, -1, 4, 5, 6, -1};
    const matrix<int> copy = matrix<int>::copy_of(matrix_view<const int>(data.data(), 2, 3, 4));
    const std::array<int, 6> expected = {1, 2, 3, 4, 5, 6};
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), copy.elements().begin()));
}

TEST(Matrix, StandsBesideAnother) {
    matrix<int> left(2, 2);
    matrix<int> right(2, 1);
    std::iota(left.elements().begin(), left.elements().end(), 1);
    std::iota(right.elements().begin(), right.elements().end(), 5);
    const matrix<int> joined = side_by_side(left, right);
    const std::array<int, 6> expected = {1, 2, 5, 3, 4, 6};
    ASSERT_EQ(joined.cols(), 3U);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), joined.elements().begin()));
    EXPECT_EQ(side_by_side(left, matrix<int>(2, 0)).cols(), 2U);
}

TEST(Matrix, MayHaveNoElements) {
    const matrix<float> rows_only(4, 0);
    EXPECT_EQ(rows_only.rows(), 4U);
    EXPECT_TRUE(rows_only.view().empty());
    EXPECT_EQ(matrix<float>::copy_of(rows_only.view()).rows(), 4U);
}

}  // namespace
