// SPDX-License-Identifier: MIT
/// @file
/// Small networks with random weights for the tests of the example transformer, and their files in both formats.
#pragma once

#include "gguf_writer.hpp"
#include "quell/core/rng.hpp"
#include "quell/io/safetensors_writer.hpp"
#include "support/small_vocabulary.hpp"
#include "transformer/config.hpp"
#include "transformer/load.hpp"
#include "transformer/rope.hpp"
#include "transformer/session.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

namespace support {

using weight_map = std::map<std::string, std::vector<float>>;

/// Sizes that divide by nothing convenient: heads of 8, three query heads on one key-value head.
inline transformer::config small_config() {
    transformer::config c;
    c.vocab = 512;
    c.width = 40;
    c.layers = 1;
    c.heads = 3;
    c.kv_heads = 1;
    c.head_size = 8;
    c.ff_width = 172;
    c.context = 1024;
    c.rope_base = 1000.0;
    return c;
}

inline std::vector<std::int32_t> random_ids(std::size_t n, std::size_t vocab, std::uint64_t seed = 5) {
    quell::rng random(seed);
    std::vector<std::int32_t> ids(n);
    for (std::int32_t& id : ids) {
        id = static_cast<std::int32_t>(random.below(vocab));
    }
    return ids;
}

/// The logits behind all of these ids, in a session of their own.
inline std::vector<float> logits_of(const transformer::model& m, const std::vector<std::int32_t>& ids) {
    transformer::session s(m, {}, ids.size());
    EXPECT_TRUE(s.prefill(ids));
    quell::matrix<float> logits(ids.size(), m.shape.vocab);
    s.logits(s.hidden(), logits.view());
    return {logits.elements().begin(), logits.elements().end()};
}

inline std::vector<float> logits_of(const transformer::model& m) {
    return logits_of(m, random_ids(20, m.shape.vocab));
}

struct random_model {
    transformer::config shape;
    std::map<std::string, std::vector<std::size_t>> shapes;  ///< of the tensors by their Hugging Face names
    weight_map weights;

    explicit random_model(const transformer::config& c, std::uint64_t seed = 1) : shape(c), random_(seed) {
        add_matrix("model.embed_tokens", c.vocab, c.width, 1.0);
        for (std::size_t l = 0; l < c.layers; ++l) {
            add_block("model.layers." + std::to_string(l) + ".");
        }
        add_gain("model.norm");
        if (!c.tied_head) {
            add_matrix("lm_head", c.vocab, c.width, 1.0);
        }
    }

private:
    void add_block(const std::string& name) {
        const transformer::config& c = shape;
        add_gain(name + "input_layernorm");
        add_matrix(name + "self_attn.q_proj", c.query_width(), c.width, 3.0);
        add_matrix(name + "self_attn.k_proj", c.kv_width(), c.width, 3.0);
        add_matrix(name + "self_attn.v_proj", c.kv_width(), c.width, 1.0);
        add_matrix(name + "self_attn.o_proj", c.width, c.query_width(), 1.0);
        if (c.qkv_bias) {
            add_vector(name + "self_attn.q_proj.bias", c.query_width(), 0.0);
            add_vector(name + "self_attn.k_proj.bias", c.kv_width(), 0.0);
            add_vector(name + "self_attn.v_proj.bias", c.kv_width(), 0.0);
        }
        add_gain(name + "post_attention_layernorm");
        if (c.act == transformer::activation::swiglu) {
            add_matrix(name + "mlp.gate_proj", c.ff_width, c.width, 1.0);
        }
        add_matrix(name + "mlp.up_proj", c.ff_width, c.width, 1.0);
        add_matrix(name + "mlp.down_proj", c.width, c.ff_width, 1.0);
    }

    void add_gain(const std::string& name) { add_vector(name + ".weight", shape.width, 1.0); }
    void add_vector(const std::string& name, std::size_t n, double mean) { add(name, {n}, mean, 0.3); }
    void add_matrix(const std::string& name, std::size_t out, std::size_t in, double gain) {
        add(name + ".weight", {out, in}, 0.0, gain / std::sqrt(static_cast<double>(in)));
    }
    void add(const std::string& name, std::vector<std::size_t> sizes, double mean, double deviation) {
        std::vector<float> values(sizes.size() == 1 ? sizes[0] : sizes[0] * sizes[1]);
        for (float& v : values) {
            v = static_cast<float>(mean + deviation * random_.normal());
        }
        shapes[name] = std::move(sizes);
        weights[name] = std::move(values);
    }

    quell::rng random_;
};

/// The text of its config.json.
inline nlohmann::json config_json(const transformer::config& c) {
    const char* gelu = c.gelu == transformer::gelu_form::erf ? "gelu" : "gelu_new";
    return {{"model_type", c.architecture},
            {"vocab_size", c.vocab},
            {"hidden_size", c.width},
            {"num_hidden_layers", c.layers},
            {"num_attention_heads", c.heads},
            {"num_key_value_heads", c.kv_heads},
            {"head_dim", c.head_size},
            {"intermediate_size", c.ff_width},
            {"max_position_embeddings", c.context},
            {"rms_norm_eps", c.norm_eps},
            {"rope_theta", c.rope_base},
            {"tie_word_embeddings", c.tied_head},
            {"attention_bias", c.qkv_bias},
            {"hidden_act", c.act == transformer::activation::swiglu ? "silu" : gelu}};
}

/// A folder that vanishes with the object.
class temporary_folder {
public:
    temporary_folder() {
        const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
        std::string name = std::string("quell_") + (test == nullptr ? "" : test->name());
        for (char& c : name) {
            c = c == '/' ? '_' : c;
        }
        path_ = ::testing::TempDir() + name + "_" + std::to_string(::getpid()) + "_" + std::to_string(count_++) + "/";
        std::filesystem::create_directories(path_);
    }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    ~temporary_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] std::string path(const std::string& file = "") const { return path_ + file; }
    void write(const std::string& file, const std::string& text) const { std::ofstream(path_ + file) << text; }

private:
    static inline int count_ = 0;
    std::string path_;
};

/// Writes the tensors that `chosen` names, or all where it is empty.
inline void write_tensors(const random_model& m, const std::string& path, const quell::io::string_map& metadata,
                          const std::vector<std::string>& chosen = {}) {
    std::vector<quell::io::tensor_to_write> tensors;
    for (const auto& [name, values] : m.weights) {
        if (chosen.empty() || std::find(chosen.begin(), chosen.end(), name) != chosen.end()) {
            tensors.push_back({.name = name,
                               .type = quell::dtype::f32,
                               .shape = m.shapes.at(name),
                               .bytes = std::as_bytes(std::span(values))});
        }
    }
    const auto written = quell::io::write_safetensors(path, tensors, metadata);
    ASSERT_TRUE(written) << written.error().message;
}

/// One file that carries everything, as the toys do.
inline void write_self_contained(const random_model& m, const std::string& path) {
    write_tensors(m, path, {{"config", config_json(m.shape).dump()}, {"tokenizer", "bytes"}});
}

/// A byte-level tokenizer without merges; the first `tokens` ids mean something.
inline std::vector<std::string> byte_tokens() {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) {
        texts.push_back(in_byte_alphabet(std::string(1, static_cast<char>(byte))));
    }
    return texts;
}

inline std::string tokenizer_json() {
    nlohmann::json vocabulary = nlohmann::json::object();
    std::size_t id = 0;
    for (const std::string& text : byte_tokens()) {
        vocabulary[text] = id++;
    }
    return nlohmann::json{{"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
                          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", nlohmann::json::array()}}}}
        .dump();
}

/// A Hugging Face folder; with several shards the tensors are dealt out in turn.
inline void write_folder(const random_model& m, const temporary_folder& folder, std::size_t shards = 1) {
    folder.write("config.json", config_json(m.shape).dump());
    folder.write("tokenizer.json", tokenizer_json());
    if (shards == 1) {
        write_tensors(m, folder.path("model.safetensors"), {{"format", "pt"}});
        return;
    }
    nlohmann::json index = {{"metadata", {{"total_size", 0}}}, {"weight_map", nlohmann::json::object()}};
    std::vector<std::vector<std::string>> names(shards);
    std::size_t next = 0;
    for (const auto& [name, values] : m.weights) {
        const std::size_t shard = next++ % shards;
        names[shard].push_back(name);
        index["weight_map"][name] = "model-" + std::to_string(shard) + ".safetensors";
    }
    for (std::size_t s = 0; s < shards; ++s) {
        write_tensors(m, folder.path("model-" + std::to_string(s) + ".safetensors"), {}, names[s]);
    }
    folder.write("model.safetensors.index.json", index.dump());
}

/// The rows of q and k weights and biases of a Hugging Face model, as GGUF files of architecture llama order them.
inline random_model with_interleaved_rows(const random_model& m) {
    random_model permuted = m;
    permuted.shape.rope = transformer::rope_order::interleaved;
    for (auto& [name, values] : permuted.weights) {
        if (name.find("q_proj") == std::string::npos && name.find("k_proj") == std::string::npos) {
            continue;
        }
        const std::size_t rows = m.shapes.at(name)[0];
        const std::size_t cols = values.size() / rows;
        for (std::size_t r = 0; r < rows; ++r) {
            const std::size_t to = transformer::interleaved_row(r, m.shape.head_size);
            std::copy_n(m.weights.at(name).begin() + static_cast<std::ptrdiff_t>(r * cols), cols,
                        values.begin() + static_cast<std::ptrdiff_t>(to * cols));
        }
    }
    return permuted;
}

/// "model.layers.3.mlp.up_proj.bias" -> "blk.3.ffn_up.bias"
inline std::string gguf_name(std::string name) {
    const transformer::tensor_names& from = transformer::hugging_face_names;
    const transformer::tensor_names& to = transformer::gguf_names;
    const std::pair<const char*, const char*> renamed[] = {{from.embedding, to.embedding},
                                                           {from.final_norm, to.final_norm},
                                                           {from.head, to.head},
                                                           {from.block, to.block},
                                                           {from.attn_norm, to.attn_norm},
                                                           {from.q, to.q},
                                                           {from.k, to.k},
                                                           {from.v, to.v},
                                                           {from.o, to.o},
                                                           {from.ffn_norm, to.ffn_norm},
                                                           {from.gate, to.gate},
                                                           {from.up, to.up},
                                                           {from.down, to.down}};
    for (const auto& [old, fresh] : renamed) {
        if (const std::size_t at = name.find(old); at != std::string::npos) {
            name.replace(at, std::string(old).size(), fresh);
        }
    }
    return name;
}

inline void write_gguf(const random_model& model, const std::string& path) {
    const transformer::config& c = model.shape;
    const random_model m = c.architecture == "llama" ? with_interleaved_rows(model) : model;
    gguf_writer file;
    file.add_text("general.architecture", c.architecture);
    const std::string key = c.architecture + ".";
    file.add_number(key + "context_length", c.context);
    file.add_number(key + "embedding_length", c.width);
    file.add_number(key + "block_count", c.layers);
    file.add_number(key + "feed_forward_length", c.ff_width);
    file.add_number(key + "attention.head_count", c.heads);
    file.add_number(key + "attention.head_count_kv", c.kv_heads);
    file.add_number(key + "attention.key_length", c.head_size);
    file.add_number(key + "attention.value_length", c.head_size);
    file.add_real(key + "attention.layer_norm_rms_epsilon", c.norm_eps);
    file.add_real(key + "rope.freq_base", static_cast<float>(c.rope_base));
    file.add_text("tokenizer.ggml.model", "gpt2");
    file.add_text("tokenizer.ggml.pre", "gpt-2");
    file.add_texts("tokenizer.ggml.tokens", byte_tokens());
    file.add_texts("tokenizer.ggml.merges", {});
    for (const auto& [name, values] : m.weights) {
        file.add_tensor(gguf_name(name), m.shapes.at(name), values);
    }
    file.write(path);
}

/// Loads what must load.
inline transformer::loaded load_or_fail(const std::string& path, const quell::executor& threads = {}) {
    auto got = transformer::load(path, threads);
    if (!got) {
        ADD_FAILURE() << got.error().message;
        std::abort();
    }
    return *std::move(got);
}

/// The network through a file and back.
inline transformer::model network_of(const random_model& m, const quell::executor& threads = {}) {
    const temporary_folder folder;
    write_self_contained(m, folder.path("m.safetensors"));
    transformer::model network = load_or_fail(folder.path("m.safetensors"), threads).network;
    network.shape.rope = m.shape.rope;  // the file format has one order only
    return network;
}

}  // namespace support
