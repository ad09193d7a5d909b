// SPDX-License-Identifier: MIT
#include "transformer/tokenizer.hpp"

#include "quell/core/rng.hpp"
#include "support/small_vocabulary.hpp"
#include "transformer/config_fields.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

using namespace transformer;
using quell::errc;
using support::small_vocabulary;

namespace {

using ids = std::vector<std::int32_t>;

tokenizer made(const vocabulary& v) {
    auto t = tokenizer::make(v);
    EXPECT_TRUE(t) << t.error().message;
    return t ? *std::move(t) : tokenizer::bytes();
}

ids encoded(const tokenizer& t, const std::string& text, const encode_options& options = {}) {
    const auto found = t.encode(text, options);
    EXPECT_TRUE(found) << found.error().message;
    return found ? *found : ids{};
}

void expect_refused(const vocabulary& v, errc code, const std::string& part) {
    const auto t = tokenizer::make(v);
    ASSERT_FALSE(t);
    EXPECT_EQ(t.error().code, code);
    EXPECT_NE(t.error().message.find(part), std::string::npos) << t.error().message;
}

vocabulary with_specials() {
    vocabulary v = small_vocabulary({});
    v.tokens.push_back({"<|end|>", token_kind::control});             // 256
    v.tokens.push_back({"<|end|>>", token_kind::control});            // 257
    v.tokens.push_back({"<user \u00e9>", token_kind::user_defined});  // 258
    v.tokens.push_back({"", token_kind::unused});                     // 259
    return v;
}

std::string random_text(quell::rng& random, std::size_t length) {
    static constexpr char32_t some[] = {U' ', U'\n', U'a', U'b', U'\'', U's', U'9', 0, 0xe9, 0x301, 0x3000, 0x1f600};
    std::string text;
    for (std::size_t i = 0; i < length; ++i) {
        char32_t c = some[random.below(std::size(some))];
        if (random.below(4) == 0) {
            c = static_cast<char32_t>(random.below(0x110000));
        }
        append_utf8(text, c >= 0xd800 && c <= 0xdfff ? U'x' : c);
    }
    return text;
}

}  // namespace

TEST(Tokenizer, MergesByRankNotByLength) {
    const tokenizer t = made(small_vocabulary({{"b", "c"}, {"a", "b"}, {"ab", "c"}}));
    EXPECT_EQ(encoded(t, "abc"), (ids{'a', 256}));  // b+c comes first, and then nothing makes abc
    EXPECT_EQ(encoded(t, "ab abc"), (ids{257, ' ', 'a', 256}));
}

TEST(Tokenizer, NeverMergesAcrossPieces) {
    const tokenizer t = made(small_vocabulary({{"a", " "}, {" ", "b"}}));
    EXPECT_EQ(encoded(t, "a b"), (ids{'a', 257}));
}

TEST(Tokenizer, TakesWholePiecesOnlyWhereTheModelDoes) {
    vocabulary v = small_vocabulary({{"b", "c"}, {"a", "b"}, {"ab", "c"}});
    v.whole_pieces = true;
    EXPECT_EQ(encoded(made(v), "abc abcd"), (ids{258, ' ', 'a', 256, 'd'}));
}

TEST(Tokenizer, LeavesControlTokensInTheTextUnlessAsked) {
    const tokenizer t = made(with_specials());
    EXPECT_EQ(encoded(t, "<|end|>").size(), 7U);
    EXPECT_EQ(encoded(t, "a<|end|>b", {.parse_special = true}), (ids{'a', 256, 'b'}));
    EXPECT_EQ(encoded(t, "<|end|>>>", {.parse_special = true}), (ids{257, '>'}));
    EXPECT_EQ(encoded(t, "<|end|><|end", {.parse_special = true}), (ids{256, '<', '|', 'e', 'n', 'd'}));
}

TEST(Tokenizer, AlwaysCutsUserDefinedTokens) {
    EXPECT_EQ(encoded(made(with_specials()), "x<user \u00e9>"), (ids{'x', 258}));
}

TEST(Tokenizer, DecodesSpecialTokensAsTextAndUnknownIdsAsNothing) {
    const tokenizer t = made(with_specials());
    EXPECT_EQ(t.decode(ids{'h', 256, 259, 'i', 260, -1, 1 << 30}), "h<|end|>i");
    EXPECT_EQ(t.size(), 260U);
}

TEST(Tokenizer, DecodesWhatItEncoded) {
    vocabulary v = small_vocabulary({{"a", "b"}, {" ", "a"}, {"\xc3", "\xa9"}, {" a", "b"}, {"'", "s"}, {"9", "9"}});
    v.tokens.push_back({"ab", token_kind::user_defined});
    quell::rng random(7);
    for (const split_pattern p : {split_pattern::none, split_pattern::gpt2, split_pattern::smollm,
                                  split_pattern::llama3, split_pattern::qwen2}) {
        v.split = p;
        const tokenizer t = made(v);
        for (std::size_t length = 0; length < 60; ++length) {
            const std::string text = random_text(random, length);
            ASSERT_EQ(t.decode(encoded(t, text)), text);
        }
    }
}

TEST(Tokenizer, BytesHasOneTokenAByte) {
    const tokenizer t = tokenizer::bytes();
    EXPECT_EQ(t.size(), 256U);
    EXPECT_EQ(encoded(t, std::string("a\u00e9\0", 4)), (ids{'a', 0xc3, 0xa9, 0}));
    EXPECT_EQ(t.decode(ids{0xc3, 0xa9}), "\u00e9");
    EXPECT_FALSE(t.eos());
    EXPECT_FALSE(t.add_bos());
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8WithTheOffset) {
    for (const tokenizer& t : {tokenizer::bytes(), made(small_vocabulary({}))}) {
        const auto found = t.encode("abc\xc3(");
        ASSERT_FALSE(found);
        EXPECT_EQ(found.error().code, errc::bad_format);
        EXPECT_EQ(found.error().message, "the text is not UTF-8: byte 3 is 0xc3");
    }
}

TEST(Tokenizer, GivesTheUnknownTokenForAByteWithoutOne) {
    vocabulary v = with_specials();
    v.tokens['!'] = {"nothing", token_kind::unused};
    const auto found = made(v).encode("ab!");
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, errc::unsupported);
    EXPECT_EQ(found.error().message, "byte 2 of the text is 0x21, for which the vocabulary has no token");
    v.unknown = 256;
    EXPECT_EQ(encoded(made(v), "ab!"), (ids{'a', 'b', 256}));
}

TEST(Tokenizer, KnowsItsSpecialIds) {
    vocabulary v = with_specials();
    v.bos = 0;
    v.eos = 256;
    v.add_bos = true;
    const tokenizer t = made(v);
    EXPECT_EQ(t.bos(), 0);
    EXPECT_EQ(t.eos(), 256);
    EXPECT_TRUE(t.add_bos());
    EXPECT_EQ(encoded(t, "a"), ids{'a'});
}

TEST(Tokenizer, EncodesAnEmptyText) {
    EXPECT_TRUE(encoded(made(with_specials()), "").empty());
}

TEST(Tokenizer, EncodesAMegabyteOfOneLetter) {
    const tokenizer t = made(small_vocabulary({{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}}));
    EXPECT_EQ(encoded(t, std::string(std::size_t{1} << 20U, 'a')).size(), std::size_t{1} << 17U);
}

TEST(Tokenizer, RefusesAnEmptyVocabulary) {
    expect_refused({}, errc::bad_format, "0 tokens");
}

TEST(Tokenizer, RefusesATokenThatStandsTwice) {
    vocabulary v = with_specials();
    v.tokens.push_back({"a"});
    expect_refused(v, errc::bad_format, "token 260 \"a\" repeats token 97");
    v.tokens.back() = {"<|end|>", token_kind::user_defined};
    expect_refused(v, errc::bad_format, "repeats token 256");
}

TEST(Tokenizer, RefusesATokenThatIsNotByteLevel) {
    for (const char* text : {"a b", "\u0400", "\u00ad", "\xff", "\xc3"}) {
        vocabulary v = small_vocabulary({});
        v.tokens.push_back({text});
        expect_refused(v, errc::bad_format, "token 256");
    }
}

TEST(Tokenizer, RefusesAnEmptyToken) {
    vocabulary v = small_vocabulary({});
    v.tokens.push_back({""});
    expect_refused(v, errc::bad_format, "token 256 \"\" is empty");
    v.tokens.back().kind = token_kind::control;
    expect_refused(v, errc::bad_format, "is empty");
}

TEST(Tokenizer, RefusesMergesOfAbsentTokens) {
    vocabulary v = small_vocabulary({{"a", "b"}});
    v.merges.push_back({"ab", "c"});
    expect_refused(v, errc::bad_format, "merge 1: no token is \"abc\"");
    v.merges.back() = {"xy", "c"};
    expect_refused(v, errc::bad_format, "merge 1: no token is \"xy\"");
    v.merges.back() = {"a", "b"};
    expect_refused(v, errc::bad_format, "merge 1: \"a b\" stands twice");
}

TEST(Tokenizer, RefusesSpecialIdsOutOfRange) {
    vocabulary v = small_vocabulary({});
    v.eos = 256;
    expect_refused(v, errc::bad_value, "eos token 256 of a vocabulary of 256");
    v.eos = std::uint64_t{1} << 40U;
    expect_refused(v, errc::bad_value, "eos token");
}

TEST(Tokenizer, GivesItsVocabularyBackAndSurvivesATextOfIt) {
    vocabulary v = with_specials();
    v.tokens.push_back({in_byte_alphabet("ab")});  // 260
    v.merges.push_back({in_byte_alphabet("a"), in_byte_alphabet("b")});
    v.split = split_pattern::qwen2;
    v.whole_pieces = v.add_bos = true;
    v.bos = 256;
    v.eos = 257;
    const auto text = to_text(made(v).words());
    ASSERT_TRUE(text) << text.error().message;
    const auto read = vocabulary_from_text(*text, "F");
    ASSERT_TRUE(read) << read.error().message;
    for (std::size_t id = 0; id < v.tokens.size(); ++id) {
        EXPECT_EQ(read->tokens.at(id).text, v.tokens[id].text) << id;
        EXPECT_EQ(read->tokens.at(id).kind, v.tokens[id].kind) << id;
    }
    EXPECT_EQ(read->merges.at(0).left + "+" + read->merges.at(0).right, "a+b");
    EXPECT_EQ(read->split, v.split);
    EXPECT_TRUE(read->whole_pieces && read->add_bos);
    EXPECT_EQ(read->bos, v.bos);
    EXPECT_EQ(read->eos, v.eos);
    EXPECT_EQ(read->unknown, std::nullopt);
    EXPECT_EQ(encoded(made(*read), "<|end|>ab<user \u00e9>", {.parse_special = true}), (ids{256, 260, 258}));
}

TEST(Tokenizer, RefusesToWriteATokenThatIsNotUtf8) {
    vocabulary v = with_specials();
    v.tokens[259].text = "\xff";
    const auto text = to_text(made(v).words());
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().message, "token 259 is not UTF-8 and cannot be written");
}

TEST(ParseMerge, WantsExactlyOneSpaceBetweenTwoTokens) {
    EXPECT_TRUE(parse_merge("a b", 0));
    for (const char* line : {"", "ab", " ab", "ab ", "a  b", "a b c", " "}) {
        const auto rule = parse_merge(line, 5);
        ASSERT_FALSE(rule) << line;
        EXPECT_NE(rule.error().message.find("merge 5"), std::string::npos);
    }
}
