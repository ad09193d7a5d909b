// SPDX-License-Identifier: MIT
#include "quell/core/utf8.hpp"

#include <gtest/gtest.h>

#include <string_view>

namespace {

using quell::is_utf8;
using quell::utf8_length;

TEST(Utf8, AcceptsEveryLength) {
    EXPECT_TRUE(is_utf8(""));
    EXPECT_TRUE(is_utf8("a\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
}

TEST(Utf8, RefusesWhatIsOverlongOrCutOrOutOfRange) {
    for (const std::string_view bad :
         {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
          "\xf5\x80\x80\x80", "\xff", "a\xc2", "\xe2\x82", "\xf0\x90\x80", "\xc2\x20", "\xe2\x28\xa1", "\xe2\x82\x28",
          "\xf0\x90\x80\xc0"}) {
        EXPECT_FALSE(is_utf8(bad));
    }
}

TEST(Utf8, MeasuresTheCharacterInFront) {
    EXPECT_EQ(utf8_length(""), 0U);
    EXPECT_EQ(utf8_length("ab"), 1U);
    EXPECT_EQ(utf8_length("\xc2\x80g"), 2U);
    EXPECT_EQ(utf8_length("\xe0\xa0\x80g"), 3U);
    EXPECT_EQ(utf8_length("\xf0\x90\x80\x80g"), 4U);
    EXPECT_EQ(utf8_length("\x80g"), 0U);
    EXPECT_EQ(utf8_length("\xe0\xa0"), 0U);
}

}  // namespace
