// SPDX-License-Identifier: MIT
#include "support/small_vocabulary.hpp"
#include "transformer/tokenizer.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

using nlohmann::json;
using quell::errc;
using transformer::tokenizer;

namespace {

using ids = std::vector<std::int32_t>;

const char* const llama3_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const qwen2_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

json byte_level(bool use_regex) {
    return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

json split_by(const std::string& regex) {
    const json split = {
        {"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
    return {{"type", "Sequence"}, {"pretokenizers", {split, byte_level(false)}}};
}

json digits_alone() {
    return {{"type", "Sequence"},
            {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)}}};
}

json added(std::size_t id, const std::string& text, bool special) {
    return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
            {"rstrip", false}, {"normalized", false}, {"special", special}};
}

/// The 256 bytes, "ab" (256), " a" (257), "11" (258), "<|end|>" (259) special.
json file() {
    const auto v = support::small_vocabulary({{"a", "b"}, {" ", "a"}, {"1", "1"}});
    json vocab = json::object();
    json merges = json::array();
    for (std::size_t id = 0; id < v.tokens.size(); ++id) {
        vocab[v.tokens[id].text] = id;
    }
    for (const auto& merge : v.merges) {
        merges.push_back(merge.left + " " + merge.right);
    }
    return {{"version", "1.0"},
            {"normalizer", nullptr},
            {"pre_tokenizer", byte_level(true)},
            {"post_processor", nullptr},
            {"added_tokens", json::array({added(259, "<|end|>", true)})},
            {"model",
             {{"type", "BPE"},
              {"dropout", nullptr},
              {"unk_token", nullptr},
              {"continuing_subword_prefix", nullptr},
              {"byte_fallback", false},
              {"vocab", vocab},
              {"merges", merges}}}};
}

ids encoded(const json& source, const std::string& text, const std::string& config = {}) {
    const auto t = tokenizer::from_json(source.dump(), "t.json", config);
    EXPECT_TRUE(t) << t.error().message;
    return t ? *t->encode(text, {.parse_special = true}) : ids{};
}

void expect_refused(const json& source, errc code, const std::string& part, const std::string& config = {}) {
    const auto t = tokenizer::from_json(source.dump(), "t.json", config);
    ASSERT_FALSE(t) << part;
    EXPECT_EQ(t.error().code, code) << t.error().message;
    EXPECT_EQ(t.error().message.rfind("t.json: ", 0), 0U) << t.error().message;
    EXPECT_NE(t.error().message.find(part), std::string::npos) << t.error().message;
}

}  // namespace

TEST(VocabularyJson, ReadsMergesAsStringsAndAsPairs) {
    json source = file();
    EXPECT_EQ(encoded(source, "ab ac<|end|>"), (ids{256, 257, 'c', 259}));
    source["model"]["merges"] = json::parse(R"([["a", "b"], ["\u0120", "a"], ["1", "1"]])");
    EXPECT_EQ(encoded(source, "ab ac<|end|>"), (ids{256, 257, 'c', 259}));
}

TEST(VocabularyJson, RecognisesThePreTokenizers) {
    json source = file();
    EXPECT_EQ(encoded(source, " 1111"), (ids{' ', 258, 258}));
    source["pre_tokenizer"] = digits_alone();
    EXPECT_EQ(encoded(source, " 1111"), (ids{' ', '1', '1', '1', '1'}));
    source["pre_tokenizer"] = split_by(llama3_regex);
    EXPECT_EQ(encoded(source, " 1111"), (ids{' ', 258, '1', '1'}));
    source["pre_tokenizer"] = split_by(qwen2_regex);
    EXPECT_EQ(encoded(source, "11"), (ids{'1', '1'}));
}

TEST(VocabularyJson, RefusesOtherPreTokenizersByName) {
    json source = file();
    source["pre_tokenizer"] = {{"type", "Metaspace"}};
    expect_refused(source, errc::unsupported, "Metaspace");
    source["pre_tokenizer"] = split_by("\\w+");
    expect_refused(source, errc::unsupported, "w+");
    source["pre_tokenizer"] = byte_level(true);
    source["pre_tokenizer"]["add_prefix_space"] = true;
    expect_refused(source, errc::unsupported, "add_prefix_space");
    source["pre_tokenizer"] = digits_alone();
    source["pre_tokenizer"]["pretokenizers"][0]["individual_digits"] = false;
    expect_refused(source, errc::unsupported, "pre_tokenizer");
    source["pre_tokenizer"]["pretokenizers"] = json::array();
    expect_refused(source, errc::unsupported, "pre_tokenizer");
    source["pre_tokenizer"] = nullptr;
    expect_refused(source, errc::unsupported, "pre_tokenizer");
}

TEST(VocabularyJson, TakesNfcAndRefusesOtherNormalizers) {
    json source = file();
    source["normalizer"] = {{"type", "NFC"}};
    EXPECT_EQ(encoded(source, "ab"), ids{256});
    source["normalizer"] = {{"type", "Lowercase"}};
    expect_refused(source, errc::unsupported, "Lowercase");
}

TEST(VocabularyJson, RefusesOtherModels) {
    json source = file();
    source["model"]["type"] = "Unigram";
    expect_refused(source, errc::unsupported, "Unigram");
    source = file();
    source["model"]["byte_fallback"] = true;
    expect_refused(source, errc::unsupported, "byte_fallback");
    source = file();
    source["model"]["end_of_word_suffix"] = "</w>";
    expect_refused(source, errc::unsupported, "</w>");
}

TEST(VocabularyJson, TakesWholePiecesWhereMergesAreIgnored) {
    json source = file();
    source["model"]["vocab"]["xyz"] = 259;
    source["added_tokens"] = json::array();
    EXPECT_EQ(encoded(source, "xyz"), (ids{'x', 'y', 'z'}));
    source["model"]["ignore_merges"] = true;
    EXPECT_EQ(encoded(source, "xyz"), ids{259});
}

TEST(VocabularyJson, LetsAnAddedTokenRepeatAnEntryOfTheVocabulary) {
    json source = file();
    source["model"]["vocab"]["<|end|>"] = 259;
    EXPECT_EQ(encoded(source, "<|end|>"), ids{259});
    source["added_tokens"][0]["id"] = 258;
    expect_refused(source, errc::bad_format, "the id 258 is given to both \"11\" and \"<|end|>\"");
}

TEST(VocabularyJson, RefusesIdsThatLeaveGapsOrRepeat) {
    json source = file();
    source["added_tokens"][0]["id"] = 260;
    expect_refused(source, errc::bad_format, "has the id 260");
    source["added_tokens"][0]["id"] = -1;
    expect_refused(source, errc::bad_format, "has the id -1");
    source["added_tokens"][0].erase("id");
    expect_refused(source, errc::bad_format, "has the id null");
    source = file();
    source["model"]["vocab"]["a"] = 98;
    expect_refused(source, errc::bad_format, "the id 98 is given to both");
    source["model"]["vocab"]["a"] = "97";
    expect_refused(source, errc::bad_format, "has the id");
}

TEST(VocabularyJson, RefusesWhatIsNotAVocabulary) {
    expect_refused(json::array(), errc::bad_format, "not a JSON object");
    expect_refused(json::object(), errc::unsupported, "pre_tokenizer");
    json source = file();
    source["model"].erase("vocab");
    expect_refused(source, errc::bad_format, "vocab");
    source = file();
    source["model"]["merges"] = 7;
    expect_refused(source, errc::bad_format, "merges");
    source["model"]["merges"] = json::parse(R"(["a b", ["a"]])");
    expect_refused(source, errc::bad_format, "merge 1");
    source["model"]["merges"] = json::array({"a zz"});
    expect_refused(source, errc::bad_format, "merge 0: no token is \"zz\"");
    source = file();
    source["added_tokens"] = "none";
    expect_refused(source, errc::bad_format, "added_tokens");
    source["added_tokens"] = json::array({1, 2});
    expect_refused(source, errc::bad_format, "id null");
    source["added_tokens"] = json::array({added(259, "<mask>", true)});
    source["added_tokens"][0]["lstrip"] = true;
    expect_refused(source, errc::unsupported, "lstrip of the added token \"<mask>\"");
    const auto cut = tokenizer::from_json(file().dump().substr(0, 1000), "t.json");
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().code, errc::bad_format);
}

TEST(VocabularyJson, ReadsSpecialTokensFromTheConfig) {
    const auto t =
        tokenizer::from_json(file().dump(), "t.json",
                             R"({"bos_token": {"content": "<|end|>"}, "eos_token": "<|end|>", "add_bos_token": true})");
    ASSERT_TRUE(t) << t.error().message;
    EXPECT_EQ(t->bos(), 259);
    EXPECT_EQ(t->eos(), 259);
    EXPECT_TRUE(t->add_bos());
    expect_refused(file(), errc::bad_format, "eos_token \"<s>\" is not in the vocabulary", R"({"eos_token": "<s>"})");
    expect_refused(file(), errc::bad_format, "not a JSON object", "[]");
    EXPECT_FALSE(tokenizer::from_json(file().dump(), "t.json")->eos());
}

TEST(VocabularyJson, ReadsTheStartOfTextFromTheTemplate) {
    json source = file();
    source["post_processor"] = {
        {"type", "Sequence"},
        {"processors",
         {byte_level(true),
          {{"type", "TemplateProcessing"},
           {"single", {{{"SpecialToken", {{"id", "<|end|>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}}}}}}}}}};
    const auto t = tokenizer::from_json(source.dump(), "t.json");
    ASSERT_TRUE(t) << t.error().message;
    EXPECT_EQ(t->bos(), 259);
    EXPECT_TRUE(t->add_bos());
}
