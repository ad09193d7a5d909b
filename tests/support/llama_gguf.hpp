// SPDX-License-Identifier: MIT
/// @file
/// Small LLaMA models as GGUF files: random weights in F32, a tokenizer of single bytes.
#pragma once

#include "quell/core/rng.hpp"
#include "support/gguf_builder.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace support {

struct llama_shape {
    std::size_t vocab = 256;
    std::size_t width = 32;
    std::size_t layers = 2;
    std::size_t heads = 4;
    std::size_t kv_heads = 2;
    std::size_t ff_width = 44;
    std::size_t context = 128;
    bool tied_head = true;
    std::uint64_t seed = 1;
};

/// GPT-2's printable stand-ins for the bytes 0 to 255, then "<unusedN>".
inline std::vector<std::string> byte_tokens(std::size_t count) {
    std::vector<std::string> tokens;
    unsigned next = 256;
    for (unsigned byte = 0; byte < 256; ++byte) {
        const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        const unsigned point = printable ? byte : next++;
        tokens.push_back(point < 128 ? std::string(1, static_cast<char>(point))
                                     : std::string{static_cast<char>(0xc0U | (point >> 6U)),
                                                   static_cast<char>(0x80U | (point & 63U))});
    }
    while (tokens.size() < count) {
        tokens.push_back("<unused" + std::to_string(tokens.size()) + ">");
    }
    tokens.resize(count);
    return tokens;
}

/// Normal weights with variance 1 / in_features.
inline std::vector<float> random_weight(quell::rng& random, std::size_t out, std::size_t in) {
    std::vector<float> weight(out * in);
    for (float& w : weight) {
        w = static_cast<float>(random.normal() / std::sqrt(static_cast<double>(in)));
    }
    return weight;
}

inline void add_llama_keys(gguf_builder& file, const llama_shape& s) {
    file.set("general.architecture", "llama")
        .set("llama.context_length", static_cast<std::uint32_t>(s.context))
        .set("llama.embedding_length", static_cast<std::uint32_t>(s.width))
        .set("llama.block_count", static_cast<std::uint32_t>(s.layers))
        .set("llama.feed_forward_length", static_cast<std::uint32_t>(s.ff_width))
        .set("llama.attention.head_count", static_cast<std::uint32_t>(s.heads))
        .set("llama.attention.head_count_kv", static_cast<std::uint32_t>(s.kv_heads))
        .set("llama.attention.layer_norm_rms_epsilon", 1e-5F)
        .set("llama.rope.dimension_count", static_cast<std::uint32_t>(s.width / s.heads))
        .set("llama.rope.freq_base", 10000.0F)
        .set("llama.vocab_size", static_cast<std::uint32_t>(s.vocab))
        .set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", "gpt-2")
        .set("tokenizer.ggml.tokens", byte_tokens(s.vocab))
        .set("tokenizer.ggml.token_type", std::vector<std::int32_t>(s.vocab, 1))
        .set("tokenizer.ggml.merges", std::vector<std::string>{})
        .set("tokenizer.ggml.add_bos_token", false);
}

/// A whole model. Change what the test is about before build().
inline gguf_builder llama_gguf(const llama_shape& s) {
    gguf_builder file;
    add_llama_keys(file, s);
    quell::rng random(s.seed);
    const auto linear = [&](const std::string& name, std::size_t out, std::size_t in) {
        file.add(name + ".weight", {out, in}, random_weight(random, out, in));
    };
    const auto norm = [&](const std::string& name) {
        file.add(name + ".weight", {s.width}, std::vector<float>(s.width, 1.0F));
    };
    linear("token_embd", s.vocab, s.width);
    for (std::size_t layer = 0; layer < s.layers; ++layer) {
        const std::string block = "blk." + std::to_string(layer) + ".";
        const std::size_t kv_width = s.width / s.heads * s.kv_heads;
        norm(block + "attn_norm");
        linear(block + "attn_q", s.width, s.width);
        linear(block + "attn_k", kv_width, s.width);
        linear(block + "attn_v", kv_width, s.width);
        linear(block + "attn_output", s.width, s.width);
        norm(block + "ffn_norm");
        linear(block + "ffn_gate", s.ff_width, s.width);
        linear(block + "ffn_up", s.ff_width, s.width);
        linear(block + "ffn_down", s.width, s.ff_width);
    }
    norm("output_norm");
    if (!s.tied_head) {
        linear("output", s.vocab, s.width);
    }
    return file;
}

}  // namespace support
