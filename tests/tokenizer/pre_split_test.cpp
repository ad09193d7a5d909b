// SPDX-License-Identifier: MIT
#include "transformer/pre_split.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace transformer;

namespace {

using pieces = std::vector<std::string>;

pieces split(std::string_view text, split_pattern pattern) {
    pieces found;
    while (!text.empty()) {
        const std::size_t length = first_piece(text, pattern);
        found.emplace_back(text.substr(0, length));
        text.remove_prefix(length);
    }
    return found;
}

pieces gpt2(std::string_view text) {
    return split(text, split_pattern::gpt2);
}
pieces smollm(std::string_view text) {
    return split(text, split_pattern::smollm);
}
pieces llama3(std::string_view text) {
    return split(text, split_pattern::llama3);
}

}  // namespace

TEST(PreSplit, Gpt2KeepsTheSpaceBeforeAWord) {
    EXPECT_EQ(gpt2("Hello world, 12 of!"), (pieces{"Hello", " world", ",", " 12", " of", "!"}));
    EXPECT_EQ(gpt2(" = Robert ="), (pieces{" =", " Robert", " ="}));
}

TEST(PreSplit, Gpt2CutsContractions) {
    EXPECT_EQ(gpt2("it's we'll I'd"), (pieces{"it", "'s", " we", "'ll", " I", "'d"}));
    EXPECT_EQ(gpt2("IT'S they've'r"), (pieces{"IT", "'", "S", " they", "'ve", "'", "r"}));
    EXPECT_EQ(gpt2(" 's '''s"), (pieces{" '", "s", " '''", "s"}));
}

TEST(PreSplit, Gpt2LeavesTheLastOfManySpacesToTheWord) {
    EXPECT_EQ(gpt2("a   b"), (pieces{"a", "  ", " b"}));
    EXPECT_EQ(gpt2("a \n b"), (pieces{"a", " \n", " b"}));
    EXPECT_EQ(gpt2("a\nb"), (pieces{"a", "\n", "b"}));
    EXPECT_EQ(gpt2("a\t\tb  "), (pieces{"a", "\t", "\t", "b", "  "}));
    EXPECT_EQ(gpt2("a\u3000\u3000b"), (pieces{"a", "\u3000", "\u3000", "b"}));
}

TEST(PreSplit, Gpt2TakesMarksAndSymbolsAsOther) {
    EXPECT_EQ(gpt2("e\u0301t\u00e9"), (pieces{"e", "\u0301", "t\u00e9"}));
    EXPECT_EQ(gpt2("x\u00b2 \U0001f600\u20ac"), (pieces{"x", "\u00b2", " \U0001f600\u20ac"}));
}

TEST(PreSplit, SmollmPutsEveryNumberAlone) {
    EXPECT_EQ(smollm("in 1984, x2"), (pieces{"in", " ", "1", "9", "8", "4", ",", " x", "2"}));
    EXPECT_EQ(smollm("\u00bd\u2167"), (pieces{"\u00bd", "\u2167"}));
}

TEST(PreSplit, SmollmEndsTheTextAtANumber) {
    EXPECT_EQ(smollm("a   1"), (pieces{"a", "   ", "1"}));
    EXPECT_EQ(gpt2("a   1"), (pieces{"a", "  ", " 1"}));
}

TEST(PreSplit, Llama3GroupsDigitsByThree) {
    EXPECT_EQ(llama3("1234567 in 12"), (pieces{"123", "456", "7", " in", " ", "12"}));
    EXPECT_EQ(split("123", split_pattern::qwen2), (pieces{"1", "2", "3"}));
}

TEST(PreSplit, Llama3TakesOneLeadingCharacterIntoAWord) {
    EXPECT_EQ(llama3("(foo \tbar\nbaz"), (pieces{"(foo", " ", "\tbar", "\n", "baz"}));
    EXPECT_EQ(llama3("a.b  c"), (pieces{"a", ".b", " ", " c"}));
    EXPECT_EQ(llama3("..b"), (pieces{"..", "b"}));
    EXPECT_EQ(llama3("\u0301e"), (pieces{"\u0301e"}));
}

TEST(PreSplit, Llama3IgnoresCaseInContractions) {
    EXPECT_EQ(llama3("IT'S I'Ll x'RE"), (pieces{"IT", "'S", " I", "'Ll", " x", "'RE"}));
    EXPECT_EQ(llama3("a'\u017fb"), (pieces{"a", "'\u017f", "b"}));
    EXPECT_EQ(llama3("'so"), (pieces{"'s", "o"}));
}

TEST(PreSplit, Llama3EndsAPieceAfterNewlines) {
    EXPECT_EQ(llama3("end.\r\n\r\nNext"), (pieces{"end", ".\r\n\r\n", "Next"}));
    EXPECT_EQ(llama3("a \n \n  b"), (pieces{"a", " \n \n", " ", " b"}));
    EXPECT_EQ(llama3("a  \n"), (pieces{"a", "  \n"}));
    EXPECT_EQ(llama3("a  1"), (pieces{"a", " ", " ", "1"}));
}

TEST(PreSplit, NoneLeavesTheTextWhole) {
    EXPECT_EQ(split("a b 1", split_pattern::none), (pieces{"a b 1"}));
}

TEST(PreSplit, PiecesAlwaysAdvanceAndEndOnCharacters) {
    const std::string text = "'\u017f \r\n'\t\u3000'll\u0301 9\u00b2\U0001f600' '";
    for (const split_pattern p : {split_pattern::none, split_pattern::gpt2, split_pattern::smollm,
                                  split_pattern::llama3, split_pattern::qwen2}) {
        for (std::size_t begin = 0; begin < text.size(); begin += code_point_at(text, begin).bytes) {
            const std::string_view rest = std::string_view(text).substr(begin);
            const std::size_t length = first_piece(rest, p);
            ASSERT_GT(length, 0U);
            ASSERT_EQ(first_invalid_utf8(rest.substr(0, length)), std::nullopt);
        }
    }
}
