// SPDX-License-Identifier: MIT
#include "quell/core/scheme.hpp"

#include <gtest/gtest.h>

namespace {

using quell::code_set;
using quell::granularity;
using quell::scheme;

TEST(Scheme, SymmetricCodesUseAllBitsBelowEight) {
    for (int bits = 2; bits < 8; ++bits) {
        const quell::code_range codes = quell::codes_of({.bits = bits});
        EXPECT_EQ(codes.low, -(1 << (bits - 1)));
        EXPECT_EQ(codes.high, (1 << (bits - 1)) - 1);
    }
}

TEST(Scheme, EightBitCodesLeaveOutTheLowestWithAZeroPointToo) {
    for (const code_set codes : {code_set::symmetric, code_set::zero_point}) {
        EXPECT_EQ(quell::codes_of({.bits = 8, .codes = codes}).low, -127);
        EXPECT_EQ(quell::codes_of({.bits = 8, .codes = codes}).high, 127);
    }
}

TEST(Scheme, ZeroPointCodesStartAtZero) {
    const quell::code_range codes = quell::codes_of({.bits = 4, .codes = code_set::zero_point});
    EXPECT_EQ(codes.low, 0);
    EXPECT_EQ(codes.high, 15);
}

TEST(Scheme, SignsAreZeroAndOne) {
    for (const code_set codes : {code_set::sign, code_set::sign_mean}) {
        EXPECT_EQ(quell::codes_of({.bits = 1, .codes = codes}).low, 0);
        EXPECT_EQ(quell::codes_of({.bits = 1, .codes = codes}).high, 1);
    }
}

TEST(Scheme, LastGroupOfARowMayBeShort) {
    const scheme groups{.reach = granularity::group, .group = 128};
    EXPECT_EQ(quell::groups_per_row(groups, 576), 5U);
    EXPECT_EQ(quell::groups_per_row(groups, 512), 4U);
    EXPECT_EQ(quell::groups_per_row(groups, 1), 1U);
    EXPECT_EQ(quell::groups_per_row(groups, 0), 0U);
}

TEST(Scheme, OtherReachesHaveOneScaleARow) {
    for (const granularity reach : {granularity::tensor, granularity::channel, granularity::token}) {
        EXPECT_EQ(quell::groups_per_row({.reach = reach}, 576), 1U);
        EXPECT_EQ(quell::group_length({.reach = reach}, 576), 576U);
    }
}

TEST(Scheme, ComparesByValue) {
    EXPECT_EQ((scheme{.bits = 4}), (scheme{.bits = 4}));
    EXPECT_FALSE((scheme{.bits = 4}) == (scheme{.bits = 3}));
}

TEST(Scheme, CountsTheBitsOfScales) {
    EXPECT_EQ(quell::bits_of(quell::scale_type::f32), 32);
    EXPECT_EQ(quell::bits_of(quell::scale_type::f16), 16);
    EXPECT_EQ(quell::bits_of(quell::scale_type::bf16), 16);
    EXPECT_EQ(quell::bits_of(quell::scale_type::codes8), 8);
}

}  // namespace
