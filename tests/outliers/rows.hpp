// SPDX-License-Identifier: MIT
/// @file
/// Rows with massive tokens, and what the tests of this folder compare.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/rng.hpp"
#include "quell/outliers/massive_tokens.hpp"
#include "reference/outliers.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

namespace {

/// Normal rows; about one in `every` has two channels that are a few hundred times larger, as often at equal size.
inline quell::matrix<float> rows_with_massive_tokens(std::size_t rows, std::size_t cols, std::size_t every,
                                                     std::uint64_t seed) {
    quell::matrix<float> x = random_matrix(rows, cols, seed);
    quell::rng random(seed + 1);
    for (std::size_t r = 0; r < rows; ++r) {
        if (random.uniform() * static_cast<double>(every) < 1.0) {
            x(r, r % cols) = 200.0F + 100.0F * static_cast<float>(r % 3);
            x(r, (r + 3) % cols) = -150.0F;
        }
    }
    return x;
}

inline reference::rows table_of(quell::matrix_view<const float> x) {
    reference::rows rows;
    for (std::size_t r = 0; r < x.rows(); ++r) {
        rows.emplace_back(x.row(r).begin(), x.row(r).end());
    }
    return rows;
}

inline void expect_same(const quell::outliers::massive_tokens& a, const quell::outliers::massive_tokens& b) {
    EXPECT_EQ(a.count(), b.count());
    EXPECT_EQ(a.windows(), b.windows());
    EXPECT_EQ(a.found(), b.found());
    ASSERT_EQ(a.examples().size(), b.examples().size());
    for (std::size_t i = 0; i < a.examples().size(); ++i) {
        const quell::outliers::massive_token& left = a.examples()[i];
        const quell::outliers::massive_token& right = b.examples()[i];
        EXPECT_EQ(left.window, right.window) << i;
        EXPECT_EQ(left.median, right.median) << i;
        EXPECT_EQ(left.token.position, right.token.position) << i;
        EXPECT_EQ(left.token.largest, right.token.largest) << i;
        EXPECT_EQ(left.token.channels, right.token.channels) << i;
        EXPECT_EQ(left.token.values, right.token.values) << i;
    }
}

}  // namespace
