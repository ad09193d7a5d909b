// SPDX-License-Identifier: MIT
#include "transformer/unicode.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

using namespace transformer;

TEST(Unicode, CountsTheCodePointsOfVersionFourteen) {
    std::map<char_class, int> counts;
    for (char32_t c = 0; c <= 0x10ffff; ++c) {
        ++counts[classify(c)];
    }
    EXPECT_EQ(counts[char_class::letter], 131756);
    EXPECT_EQ(counts[char_class::number], 1791);
    EXPECT_EQ(counts[char_class::space], 25);
}

TEST(Unicode, ClassifiesTheEdgesOfRanges) {
    EXPECT_EQ(classify(U'@'), char_class::other);
    EXPECT_EQ(classify(U'A'), char_class::letter);
    EXPECT_EQ(classify(U'z'), char_class::letter);
    EXPECT_EQ(classify(U'{'), char_class::other);
    EXPECT_EQ(classify(U'_'), char_class::other);
    EXPECT_EQ(classify(0xaa), char_class::letter);
    EXPECT_EQ(classify(0xb2), char_class::number);  // superscript two
    EXPECT_EQ(classify(0xd7), char_class::other);   // multiplication sign, between letters
    EXPECT_EQ(classify(0x300), char_class::other);  // combining grave: a mark is not a letter
    EXPECT_EQ(classify(0x4e00), char_class::letter);
    EXPECT_EQ(classify(0x9fff), char_class::letter);
    EXPECT_EQ(classify(0x2167), char_class::number);  // Roman numeral eight
    EXPECT_EQ(classify(0x3000), char_class::space);
    EXPECT_EQ(classify(0x200b), char_class::other);    // zero width space is not white space
    EXPECT_EQ(classify(0x3134a), char_class::letter);  // the last letter
    EXPECT_EQ(classify(0x3134b), char_class::other);
    EXPECT_EQ(classify(0x10ffff), char_class::other);
}

TEST(Unicode, WritesAndReadsEveryCodePoint) {
    for (char32_t c = 0; c <= 0x10ffff; ++c) {
        std::string text;
        append_utf8(text, c);
        const bool surrogate = c >= 0xd800 && c <= 0xdfff;
        ASSERT_EQ(first_invalid_utf8(text).has_value(), surrogate) << static_cast<unsigned>(c);
        ASSERT_EQ(code_point_at(text, 0).value, c);
        ASSERT_EQ(code_point_at(text, 0).bytes, text.size());
    }
}

TEST(Unicode, FindsTheFirstInvalidByte) {
    const auto offset = [](const std::string& bad) { return first_invalid_utf8("a\u00e9" + bad); };
    EXPECT_EQ(offset(""), std::nullopt);
    EXPECT_EQ(offset("\x80"), 3U);      // stray continuation
    EXPECT_EQ(offset("b\xff"), 4U);     // never legal
    EXPECT_EQ(offset("\xc0\x80"), 3U);  // overlong, two bytes
    EXPECT_EQ(offset("\xc1\xbf"), 3U);
    EXPECT_EQ(offset("\xe0\x9f\xbf"), 3U);      // overlong, three
    EXPECT_EQ(offset("\xf0\x8f\xbf\xbf"), 3U);  // overlong, four
    EXPECT_EQ(offset("\xed\xa0\x80"), 3U);      // surrogates
    EXPECT_EQ(offset("\xed\xbf\xbf"), 3U);
    EXPECT_EQ(offset("\xf4\x90\x80\x80"), 3U);  // beyond U+10FFFF
    EXPECT_EQ(offset("\xf5\x80\x80\x80"), 3U);
    EXPECT_EQ(offset("\xc3"), 3U);  // cut short at the end
    EXPECT_EQ(offset("\xe2\x82"), 3U);
    EXPECT_EQ(offset("\xf0\x9f\x98"), 3U);
    EXPECT_EQ(offset("\xe2\x82z"), 3U);  // cut short in the middle
    EXPECT_EQ(offset("\xf4\x8f\xbf\xbf\xc3"), 7U);
}
