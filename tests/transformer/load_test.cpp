// SPDX-License-Identifier: MIT
#include "transformer/load.hpp"

#include "quell/core/thread_pool.hpp"
#include "random_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace {

using support::logits_of;
using support::random_model;
using support::temporary_folder;
using transformer::config;

transformer::config two_layers() {
    config c = support::small_config();
    c.layers = 2;
    return c;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
    double worst = a.size() == b.size() ? 0.0 : HUGE_VAL;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
        worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    }
    return worst;
}

std::string message_of(const quell::result<transformer::loaded>& got) {
    return got ? std::string("loaded") : got.error().message;
}

TEST(Load, GivesTheSameModelFromEveryKindOfFile) {
    const random_model random(two_layers());
    const temporary_folder folder;
    support::write_folder(random, folder);
    const auto from_folder = logits_of(support::load_or_fail(folder.path()).network);
    EXPECT_EQ(from_folder, logits_of(support::load_or_fail(folder.path("model.safetensors")).network));

    const temporary_folder sharded;
    support::write_folder(random, sharded, 3);
    EXPECT_EQ(from_folder, logits_of(support::load_or_fail(sharded.path()).network));

    const temporary_folder single;
    support::write_self_contained(random, single.path("toy.safetensors"));
    EXPECT_EQ(from_folder, logits_of(support::load_or_fail(single.path("toy.safetensors")).network));
    const auto bytes = quell::io::read_file(single.path("toy.safetensors"));
    ASSERT_TRUE(bytes);
    const auto embedded = transformer::load_bytes(*bytes, "embedded", {});
    ASSERT_TRUE(embedded) << embedded.error().message;
    EXPECT_EQ(from_folder, logits_of(embedded->network));

    support::write_gguf(random, single.path("m.gguf"));
    const auto loaded = support::load_or_fail(single.path("m.gguf"));
    EXPECT_EQ(loaded.network.shape.rope, transformer::rope_order::interleaved);
    EXPECT_LT(largest_difference(from_folder, logits_of(loaded.network)), 1e-5);
}

TEST(Load, KeepsTheOrderAndTheBiasesOfQwen2) {
    config c = two_layers();
    c.architecture = "qwen2";
    c.qkv_bias = true;
    c.tied_head = true;
    const random_model random(c);
    const temporary_folder folder;
    support::write_folder(random, folder);
    support::write_gguf(random, folder.path("m.gguf"));
    const auto from_folder = support::load_or_fail(folder.path());
    EXPECT_EQ(from_folder.network.embedding, from_folder.network.head);
    EXPECT_EQ(logits_of(from_folder.network), logits_of(support::load_or_fail(folder.path("m.gguf")).network));
}

TEST(Load, TakesTheFactorsOfTheRotationsFromAGgufFile) {
    random_model random(two_layers());
    const temporary_folder folder;
    random.shapes["rope_freqs.weight"] = {4};
    random.weights["rope_freqs.weight"] = {1.0F, 1.5F, 2.0F, 8.0F};
    support::write_gguf(random, folder.path("m.gguf"));
    const auto loaded = support::load_or_fail(folder.path("m.gguf"));
    EXPECT_TRUE(std::ranges::equal(loaded.network.rope_factors, random.weights["rope_freqs.weight"]));
    random.weights["rope_freqs.weight"][2] = 0.0F;
    support::write_gguf(random, folder.path("m.gguf"));
    EXPECT_EQ(message_of(transformer::load(folder.path("m.gguf"), {})),
              folder.path("m.gguf") + ": tensor \"rope_freqs.weight\" holds 0.000000 at element 2");
}

TEST(Load, GivesTheTokenizerThatBelongsToTheModel) {
    const temporary_folder folder;
    support::write_folder(random_model(two_layers()), folder);
    support::write_gguf(random_model(two_layers()), folder.path("m.gguf"));
    for (const char* file : {"", "m.gguf"}) {
        const auto ids = support::load_or_fail(folder.path(file)).text.encode("az");
        ASSERT_TRUE(ids);
        EXPECT_EQ(*ids, (std::vector<std::int32_t>{'a', 'z'}));
    }
}

TEST(Load, ReportsEveryTensorAndEndsAtTheirNumber) {
    const random_model random(two_layers());
    const temporary_folder folder;
    support::write_self_contained(random, folder.path("m.safetensors"));
    std::size_t calls = 0;
    std::size_t last = 0;
    ASSERT_TRUE(transformer::load(folder.path("m.safetensors"), {},
                                  [&](std::string_view stage, std::string_view, std::size_t done, std::size_t total) {
                                      EXPECT_EQ(stage, "load");
                                      EXPECT_EQ(total, random.weights.size());
                                      EXPECT_EQ(done, ++calls);
                                      last = done;
                                  }));
    EXPECT_EQ(last, random.weights.size());
}

TEST(Load, NamesTheTensorAndTheElementThatIsNotFinite) {
    random_model random(two_layers());
    random.weights.at("model.layers.1.mlp.up_proj.weight")[1234] = std::numeric_limits<float>::quiet_NaN();
    const temporary_folder folder;
    support::write_self_contained(random, folder.path("m.safetensors"));
    quell::thread_pool pool(3);
    EXPECT_EQ(
        message_of(transformer::load(folder.path("m.safetensors"), pool)),
        folder.path("m.safetensors") + ": tensor \"model.layers.1.mlp.up_proj.weight\" holds nan at element 1234");
}

TEST(Load, NamesTheTensorThatIsMissingMisshapenOrUnknown) {
    const temporary_folder folder;
    const std::string path = folder.path("m.safetensors");
    const auto message = [&](const std::function<void(random_model&)>& change) {
        random_model random(two_layers());
        change(random);
        support::write_self_contained(random, path);
        return message_of(transformer::load(path, {}));
    };
    EXPECT_EQ(message([](random_model& m) { m.weights.erase("model.layers.1.mlp.up_proj.weight"); }),
              path + ": tensor \"model.layers.1.mlp.up_proj.weight\" is missing");
    EXPECT_EQ(message([](random_model& m) { m.weights.erase("lm_head.weight"); }),
              path + ": tensor \"lm_head.weight\" is missing");
    EXPECT_EQ(message([](random_model& m) {
                  m.shapes["model.norm.weight"] = {40, 1};
              }),
              path + ": tensor \"model.norm.weight\" has the shape [40, 1] where the configuration asks for [40]");
    EXPECT_EQ(message([](random_model& m) { m.shape.ff_width = 171; }),
              path +
                  ": tensor \"model.layers.0.mlp.gate_proj.weight\" has the shape [172, 40] where the configuration "
                  "asks for [171, 40]");
    EXPECT_EQ(message([](random_model& m) { m.shape.layers = 1; }),
              path + ": tensor \"model.layers.1.input_layernorm.weight\" is no part of a network that quell can run");
    EXPECT_EQ(message([](random_model& m) { m.shape.qkv_bias = true; }),
              path + ": tensor \"model.layers.0.self_attn.q_proj.bias\" is missing");
}

struct hostile {
    const char* field;
    nlohmann::json value;
    const char* message;
};

TEST(Load, NamesWhatIsWrongWithAConfiguration) {
    const std::vector<hostile> cases = {
        {"hidden_size", nullptr, "hidden_size is missing"},
        {"hidden_size", "forty", "hidden_size is \"\\x22forty\\x22\", not a whole number"},
        {"hidden_size", -40, "hidden_size is \"-40\", not a whole number"},
        {"hidden_size", 0, "configuration: width is 0, not in 1 ... 1048576"},
        {"num_hidden_layers", 4000000000U, "configuration: layers is 4000000000, not in 1 ... 4096"},
        {"vocab_size", 18446744073709551615U,
         "configuration: vocabulary size is 18446744073709551615, not in 1 ... "
         "134217728"},
        {"num_attention_heads", 0, "configuration: heads is 0, not in 1 ... 4096"},
        {"num_key_value_heads", 2, "configuration: 3 heads are no multiple of 2 key-value heads"},
        {"head_dim", 7, "configuration: head size 7 is odd and cannot rotate in pairs"},
        {"rms_norm_eps", -1.0, "configuration: the epsilon of the norm is -1.000000, not in (0, 1)"},
        {"rope_theta", 0, "configuration: the base of the rotations is 0.000000"},
        {"tie_word_embeddings", "yes", "tie_word_embeddings is \"\\x22yes\\x22\", not true or false"},
        {"hidden_act", "relu", "hidden_act \"relu\" is not supported"},
        {"model_type", "mamba", "model_type \"mamba\" is not one of llama, mistral, qwen2"},
        {"partial_rotary_factor", 0.5, "partial_rotary_factor other than 1 is not supported"},
        {"rope_scaling", {{"rope_type", "yarn"}}, "rope scaling: the type \"yarn\" is not supported"},
        {"rope_scaling", {{"rope_type", "llama3"}}, "rope scaling: factor is missing"},
        {"rope_scaling",
         {{"type", "linear"}, {"factor", 0}},
         "configuration: the scaling of the rotations has a factor out of range"},
    };
    for (const hostile& c : cases) {
        nlohmann::json json = support::config_json(two_layers());
        json[c.field] = c.value;
        const auto read = transformer::config_from_json(json.dump(), "F");
        ASSERT_FALSE(read) << c.message;
        EXPECT_EQ(read.error().message, "F: " + std::string(c.message));
    }
    EXPECT_FALSE(transformer::config_from_json("[1]", "F"));
    EXPECT_FALSE(transformer::config_from_json("{", "F"));
}

TEST(Load, ReadsTheOptionalFieldsOfAConfiguration) {
    nlohmann::json json = support::config_json(two_layers());
    json["sliding_window"] = 100;
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", 8.0},
                            {"low_freq_factor", 1.0},
                            {"high_freq_factor", 4.0},
                            {"original_max_position_embeddings", 8192}};
    json["head_dim"] = nullptr;
    json["hidden_size"] = 48;
    const auto c = transformer::config_from_json(json.dump(), "F");
    ASSERT_TRUE(c) << c.error().message;
    EXPECT_EQ(c->context, 100U);
    EXPECT_EQ(c->head_size, 16U);
    EXPECT_EQ(c->scaling.kind, transformer::rope_scaling::llama3);
    json["use_sliding_window"] = false;
    json["rope_parameters"] = {{"rope_theta", 5000.0}, {"rope_type", "linear"}, {"factor", 2.0}};
    const auto newer = transformer::config_from_json(json.dump(), "F");
    ASSERT_TRUE(newer) << newer.error().message;
    EXPECT_EQ(newer->context, 1024U);
    EXPECT_EQ(newer->rope_base, 5000.0);
    EXPECT_EQ(newer->scaling.factor, 2.0);
}

TEST(Load, SlowsOnlyTheLongWavesOfLlama3Down) {
    config c = two_layers();
    c.head_size = 128;
    c.rope_base = 500000.0;
    c.scaling = {transformer::rope_scaling::llama3, 8.0, 1.0, 4.0, 8192.0};
    const auto factors = transformer::rope_factors(c);
    ASSERT_EQ(factors.size(), 64U);
    EXPECT_EQ(factors[0], 1.0F);
    EXPECT_EQ(factors[63], 8.0F);
    EXPECT_TRUE(std::is_sorted(factors.begin(), factors.end()));
    // A wave of 4096 tokens turns twice in the original context: a third of the way from 1 to 4 turns.
    EXPECT_NEAR(transformer::llama3_factor(c.scaling, 2.0 * std::acos(-1.0) / 4096.0),
                1.0 / (2.0 / 3.0 / 8.0 + 1.0 / 3.0), 1e-12);
}

TEST(Load, StaysInsideTheFolderWhateverTheIndexSays) {
    const temporary_folder folder;
    support::write_folder(random_model(two_layers()), folder);
    const std::string index = folder.path("model.safetensors.index.json");
    for (const char* name :
         {"../x.safetensors", "/etc/x.safetensors", "a\\x.safetensors", ".safetensors", "x.bin", ""}) {
        folder.write("model.safetensors.index.json", nlohmann::json{{"weight_map", {{"w", name}}}}.dump());
        EXPECT_EQ(message_of(transformer::load(folder.path(), {})),
                  index + ": " + quell::io::quoted(name) + " is not the name of a shard");
    }
    folder.write("model.safetensors.index.json", R"({"weight_map": 3})");
    EXPECT_EQ(message_of(transformer::load(folder.path(), {})),
              index + ": weight_map is no object with an entry for each tensor");
    folder.write("model.safetensors.index.json", R"({"weight_map": {"w": "absent.safetensors"}})");
    EXPECT_TRUE(message_of(transformer::load(folder.path(), {})).starts_with(folder.path("absent.safetensors") + ": "));
}

TEST(Load, SaysWhatIsMissingFromAFolderOrFile) {
    const temporary_folder folder;
    const random_model random(two_layers());
    EXPECT_EQ(message_of(transformer::load("/no/such/place", {})),
              "/no/such/place: is no .gguf or .safetensors file and no folder with a config.json");
    support::write_tensors(random, folder.path("m.safetensors"), {});
    EXPECT_EQ(message_of(transformer::load(folder.path("m.safetensors"), {})),
              folder.path("m.safetensors") + ": its metadata holds no config and tokenizer");
    folder.write("bad.gguf", "GGUX");
    EXPECT_TRUE(message_of(transformer::load(folder.path("bad.gguf"), {})).starts_with(folder.path("bad.gguf") + ": "));
}

TEST(Load, RefusesATokenizerWithMoreTokensThanTheEmbedding) {
    config c = two_layers();
    c.vocab = 255;
    const temporary_folder folder;
    support::write_self_contained(random_model(c), folder.path("m.safetensors"));
    EXPECT_EQ(message_of(transformer::load(folder.path("m.safetensors"), {})),
              folder.path("m.safetensors") + ": the tokenizer has 256 tokens, the embedding only 255");
}

TEST(Load, NamesWhatAGgufFileClaimsWrongly) {
    const temporary_folder folder;
    const std::string path = folder.path("m.gguf");
    const auto message = [&](const std::function<void(support::gguf_writer&)>& fill) {
        support::gguf_writer file;
        fill(file);
        file.write(path);
        return message_of(transformer::load(path, {}));
    };
    EXPECT_EQ(message([](auto& f) { f.add_text("general.architecture", "gpt2"); }),
              path + ": architecture \"gpt2\" is not one of llama, qwen2");
    const auto keys = [](auto& f, std::size_t heads, std::size_t kv_heads) {
        f.add_text("general.architecture", "llama");
        f.add_number("llama.vocab_size", 256);
        f.add_number("llama.context_length", 64);
        f.add_number("llama.embedding_length", 48);
        f.add_number("llama.block_count", 1);
        f.add_number("llama.feed_forward_length", 32);
        f.add_number("llama.attention.head_count", heads);
        f.add_number("llama.attention.head_count_kv", kv_heads);
        f.add_real("llama.attention.layer_norm_rms_epsilon", 1e-5F);
    };
    EXPECT_EQ(message([&](auto& f) { keys(f, 0, 0); }), path + ": configuration: heads is 0, not in 1 ... 4096");
    EXPECT_EQ(message([&](auto& f) { keys(f, 3, 2); }),
              path + ": configuration: 3 heads are no multiple of 2 key-value heads");
    EXPECT_EQ(message([&](auto& f) { keys(f, 3, 1), f.add_number("llama.expert_count", 8); }),
              path + ": a mixture of 8 experts is not supported");
    EXPECT_EQ(message([&](auto& f) { keys(f, 3, 1), f.add_number("llama.rope.dimension_count", 8); }),
              path + ": heads of 16 elements with 8 rotated and values of 16 are not supported");
    EXPECT_EQ(message([&](auto& f) { keys(f, 3, 1), f.add_text("llama.rope.scaling.type", "yarn"); }),
              path + ": rope scaling \"yarn\" is not supported");
    EXPECT_EQ(message([&](auto& f) { keys(f, 3, 1); }), path + ": tensor \"token_embd.weight\" is missing");
}

}  // namespace
