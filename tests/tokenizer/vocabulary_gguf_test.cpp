// SPDX-License-Identifier: MIT
#include "quell/io/gguf.hpp"
#include "support/small_vocabulary.hpp"
#include "transformer/tokenizer.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

using quell::errc;
using transformer::tokenizer;

namespace {

/// A GGUF file with the given keys and no tensors, written into memory.
class keys_only {
public:
    void text(const std::string& key, const std::string& value) { entry(key, 8) += text_bytes(value); }
    void boolean(const std::string& key, bool value) { entry(key, 7) += value ? '\1' : '\0'; }
    void u32(const std::string& key, std::uint32_t value) { entry(key, 4) += number(value); }
    void texts(const std::string& key, const std::vector<std::string>& values) {
        std::string& bytes = entry(key, 9);
        bytes += number(std::uint32_t{8}) + number(std::uint64_t{values.size()});
        for (const std::string& value : values) {
            bytes += text_bytes(value);
        }
    }
    void i32s(const std::string& key, const std::vector<std::int32_t>& values) {
        std::string& bytes = entry(key, 9);
        bytes += number(std::uint32_t{5}) + number(std::uint64_t{values.size()});
        for (const std::int32_t value : values) {
            bytes += number(value);
        }
    }
    void erase(const std::string& key) { entries_.erase(key); }

    [[nodiscard]] std::string file() const {
        std::string bytes =
            "GGUF" + number(std::uint32_t{3}) + number(std::uint64_t{0}) + number(std::uint64_t{entries_.size()});
        for (const auto& [key, value] : entries_) {
            bytes += text_bytes(key) + value;
        }
        return bytes + std::string((32 - bytes.size() % 32) % 32, '\0');
    }

private:
    template <typename Number>
    static std::string number(Number value) {
        std::string bytes(sizeof(value), '\0');
        std::memcpy(bytes.data(), &value, sizeof(value));
        return bytes;
    }
    static std::string text_bytes(const std::string& value) { return number(std::uint64_t{value.size()}) + value; }
    std::string& entry(const std::string& key, std::uint32_t type) { return entries_[key] = number(type); }

    std::map<std::string, std::string> entries_;
};

/// The 256 bytes, "ab" (256), "11" (257), "<|end|>" (258) control.
keys_only small() {
    const auto v = support::small_vocabulary({{"a", "b"}, {"1", "1"}});
    std::vector<std::string> tokens;
    for (const auto& t : v.tokens) {
        tokens.push_back(t.text);
    }
    tokens.emplace_back("<|end|>");
    std::vector<std::int32_t> types(tokens.size(), 1);
    types.back() = 3;
    keys_only keys;
    keys.text("tokenizer.ggml.model", "gpt2");
    keys.text("tokenizer.ggml.pre", "smollm");
    keys.texts("tokenizer.ggml.tokens", tokens);
    keys.i32s("tokenizer.ggml.token_type", types);
    keys.texts("tokenizer.ggml.merges", {"a b", "1 1"});
    keys.u32("tokenizer.ggml.bos_token_id", 258);
    keys.u32("tokenizer.ggml.eos_token_id", 258);
    return keys;
}

quell::result<tokenizer> read(const keys_only& keys) {
    const std::string bytes = keys.file();
    const auto file = quell::io::gguf_file::parse(std::as_bytes(std::span(bytes)), "t.gguf");
    if (!file) {
        return file.error();
    }
    return tokenizer::from_gguf(*file);
}

void expect_refused(const keys_only& keys, errc code, const std::string& part) {
    const auto t = read(keys);
    ASSERT_FALSE(t) << part;
    EXPECT_EQ(t.error().code, code) << t.error().message;
    EXPECT_EQ(t.error().message.rfind("t.gguf: ", 0), 0U) << t.error().message;
    EXPECT_NE(t.error().message.find(part), std::string::npos) << t.error().message;
}

}  // namespace

TEST(VocabularyGguf, ReadsTokensKindsMergesAndSpecialIds) {
    const auto t = read(small());
    ASSERT_TRUE(t) << t.error().message;
    EXPECT_EQ(t->size(), 259U);
    EXPECT_EQ(t->bos(), 258);
    EXPECT_EQ(t->eos(), 258);
    EXPECT_FALSE(t->add_bos());
    EXPECT_EQ(*t->encode("ab11<|end|>", {.parse_special = true}), (std::vector<std::int32_t>{256, '1', '1', 258}));
}

TEST(VocabularyGguf, KnowsThePatternsByName) {
    for (const auto& [name, ids] : std::map<std::string, std::vector<std::int32_t>>{{"smollm", {'1', '1'}},
                                                                                    {"gpt-2", {257}},
                                                                                    {"default", {257}},
                                                                                    {"llama-bpe", {257}},
                                                                                    {"qwen2", {'1', '1'}}}) {
        keys_only keys = small();
        keys.text("tokenizer.ggml.pre", name);
        const auto t = read(keys);
        ASSERT_TRUE(t) << t.error().message;
        EXPECT_EQ(*t->encode("11"), ids) << name;
        EXPECT_EQ(t->add_bos(), name == "llama-bpe");
    }
    keys_only keys = small();
    keys.erase("tokenizer.ggml.pre");
    EXPECT_EQ(*read(keys)->encode("11"), (std::vector<std::int32_t>{257}));
}

TEST(VocabularyGguf, TakesAddBosFromTheFile) {
    keys_only keys = small();
    keys.boolean("tokenizer.ggml.add_bos_token", true);
    EXPECT_TRUE(read(keys)->add_bos());
    keys.erase("tokenizer.ggml.bos_token_id");
    EXPECT_FALSE(read(keys)->add_bos());
}

TEST(VocabularyGguf, RefusesWhatItDoesNotKnow) {
    keys_only keys = small();
    keys.text("tokenizer.ggml.model", "llama");
    expect_refused(keys, errc::unsupported, "the tokenizer \"llama\"");
    keys = small();
    keys.text("tokenizer.ggml.pre", "deepseek-llm");
    expect_refused(keys, errc::unsupported, "\"deepseek-llm\"");
    keys = small();
    keys.erase("tokenizer.ggml.tokens");
    expect_refused(keys, errc::not_found, "tokenizer.ggml.tokens");
}

TEST(VocabularyGguf, RefusesContradictions) {
    keys_only keys = small();
    keys.i32s("tokenizer.ggml.token_type", {1, 1});
    expect_refused(keys, errc::bad_format, "259 tokens, but 2 token types");
    keys.i32s("tokenizer.ggml.token_type", std::vector<std::int32_t>(259, 9));
    expect_refused(keys, errc::bad_value, "token 0 has the unknown type 9");
    keys = small();
    keys.texts("tokenizer.ggml.merges", {"a b", "ab"});
    expect_refused(keys, errc::bad_format, "merge 1: \"ab\"");
    keys = small();
    keys.u32("tokenizer.ggml.eos_token_id", 259);
    expect_refused(keys, errc::bad_value, "eos token 259");
    keys = small();
    keys.texts("tokenizer.ggml.merges", {"a zz"});
    expect_refused(keys, errc::bad_format, "no token is \"zz\"");
    keys = small();
    keys.u32("tokenizer.ggml.tokens", 1);
    expect_refused(keys, errc::bad_format, "tokenizer.ggml.tokens");
}
