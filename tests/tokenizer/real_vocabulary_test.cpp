// SPDX-License-Identifier: MIT
#include "quell/io/gguf.hpp"
#include "quell/io/mapped_file.hpp"
#include "support/shared_data.hpp"
#include "transformer/tokenizer.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using nlohmann::json;
using transformer::tokenizer;

namespace {

const char* const model_file = "data/SmolLM2-135M-Instruct.Q4_1.gguf";

std::string text_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<std::int32_t> ids_of(const std::string& path) {
    std::ifstream in(path);
    return {std::istream_iterator<std::int32_t>(in), std::istream_iterator<std::int32_t>()};
}

/// The same vocabulary as Hugging Face writes it.
std::string as_json(const quell::io::gguf_metadata& file) {
    json vocab = json::object();
    json added = json::array();
    const auto tokens = *file.string_array("tokenizer.ggml.tokens");
    const auto kinds = *file.int_array("tokenizer.ggml.token_type");
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        vocab[std::string(tokens[id])] = id;
        if (kinds[id] == 3) {
            added.push_back({{"id", id}, {"content", tokens[id]}, {"special", true}});
        }
    }
    const json digits = {{"type", "Digits"}, {"individual_digits", true}};
    const json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
    return json{{"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {digits, bytes}}}},
                {"added_tokens", added},
                {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", *file.string_array("tokenizer.ggml.merges")}}}}
        .dump();
}

class RealVocabulary : public testing::Test {
protected:
    void SetUp() override {
        const auto path = shared_file(model_file);
        if (!path) {
            GTEST_SKIP() << "no " << model_file << " in the shared folder";
        }
        auto file = quell::io::gguf_file::open(*path);
        ASSERT_TRUE(file) << file.error().message;
        file_.emplace(*std::move(file));
        auto made = tokenizer::from_gguf(*file_);
        ASSERT_TRUE(made) << made.error().message;
        tokenizer_.emplace(*std::move(made));
    }

    void expect_ids(const std::string& name) {
        const auto text_path = shared_file(("data/" + name + ".txt").c_str());
        const auto ids_path = shared_file(("data/" + name + ".ids").c_str());
        if (!text_path || !ids_path) {
            GTEST_SKIP() << "no " << name << " in the shared folder";
        }
        const std::string text = text_of(*text_path);
        const auto begin = std::chrono::steady_clock::now();
        const auto ids = tokenizer_->encode(text);
        const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
        std::printf("%s: %zu bytes, %zu tokens, %.0f ms\n", name.c_str(), text.size(), ids->size(), spent.count());
        EXPECT_TRUE(*ids == ids_of(*ids_path));
        EXPECT_EQ(tokenizer_->decode(*ids), text);
        const auto again = tokenizer::from_json(as_json(*file_), "tokenizer.json");
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_TRUE(*again->encode(text) == *ids);
    }

    std::optional<quell::io::gguf_file> file_;
    std::optional<tokenizer> tokenizer_;
};

}  // namespace

TEST_F(RealVocabulary, GivesTheReferenceIdsOfTheEvaluationText) {
    expect_ids("wikitext2-evaluation");
}

TEST_F(RealVocabulary, GivesTheReferenceIdsOfTheCalibrationText) {
    expect_ids("wikitext2-calibration");
}

TEST_F(RealVocabulary, StartsAnotherTextAsTheReferenceDoes) {
    const auto path = shared_file("data/tinyshakespeare.txt");
    if (!path) {
        GTEST_SKIP() << "no tinyshakespeare.txt in the shared folder";
    }
    const auto ids = tokenizer_->encode(text_of(*path));
    ASSERT_EQ(ids->size(), 341094U);
    EXPECT_EQ(std::vector<std::int32_t>(ids->begin(), ids->begin() + 8),
              (std::vector<std::int32_t>{5345, 32062, 42, 198, 6121, 392, 7219, 750}));
}

TEST_F(RealVocabulary, HasItsSpecialTokens) {
    EXPECT_EQ(tokenizer_->size(), 49152U);
    EXPECT_EQ(tokenizer_->bos(), 1);
    EXPECT_EQ(tokenizer_->eos(), 2);
    EXPECT_FALSE(tokenizer_->add_bos());
    EXPECT_EQ(*tokenizer_->encode("<|im_start|><|im_end|>", {.parse_special = true}),
              (std::vector<std::int32_t>{1, 2}));
    EXPECT_GT(tokenizer_->encode("<|im_start|>")->size(), 1U);
}
