// SPDX-License-Identifier: MIT
#include "transformer/packed_file.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/io/files.hpp"
#include "quell/model/apply.hpp"
#include "quell/model/make_plan.hpp"
#include "quell/quant/recipe_linear.hpp"
#include "quell/quant/recipes.hpp"
#include "random_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace {

using support::logits_of;
using support::random_model;
using support::temporary_folder;
using transformer::config;

struct packed_model {
    transformer::model network;
    quell::model::plan decided;
};

/// The network quantized by a recipe, with its embedding at 8 bits where that is asked for.
packed_model quantized(const transformer::model& base, const char* recipe, bool whole_embedding,
                       const quell::executor& threads = {}) {
    const auto ids = support::random_ids(40, base.shape.vocab);
    const auto engine = transformer::make_engine(base, ids, 40, threads);
    const auto plan = quell::model::make_plan(engine.graph, *quell::quant::find_recipe(recipe));
    auto changed = quell::model::apply(engine, *plan, {.threads = threads});
    EXPECT_TRUE(changed) << changed.error().message;
    packed_model made{.network = {}, .decided = changed->decided};
    made.network = transformer::with_linears(base, *std::move(changed));
    if (!whole_embedding) {
        const auto rounded = [](const quell::quant::linear& table) {
            auto l =
                quell::quant::make_linear(*quell::quant::find_recipe("rtn-w8a8"), quell::quant::weight(table).view());
            return std::make_shared<const quell::quant::linear>(*std::move(l));
        };
        const bool tied = base.embedding == base.head;
        made.network.embedding = rounded(*base.embedding);
        made.network.head = tied ? made.network.embedding : rounded(*base.head);
    }
    return made;
}

config shape_of(bool qwen2, bool gelu) {
    config c = support::small_config();
    c.layers = 2;
    c.tied_head = qwen2;
    c.qkv_bias = qwen2;
    c.architecture = qwen2 ? "qwen2" : "llama";
    c.act = gelu ? transformer::activation::gelu : transformer::activation::swiglu;
    c.gelu = transformer::gelu_form::tanh;
    return c;
}

void save_or_fail(const std::string& path, const packed_model& m) {
    const auto saved = transformer::save_packed(path, m.network, transformer::tokenizer::bytes(), m.decided);
    ASSERT_TRUE(saved) << saved.error().message;
}

TEST(PackedFile, ComputesTheSameBitsAsTheModelInMemory) {
    const temporary_folder folder;
    const std::string path = folder.path("m.safetensors");
    quell::thread_pool pool(2);
    for (const bool qwen2 : {false, true}) {
        for (const char* recipe : {"fp32", "static-w8a8", "rtn-w4a8-g32", "smoothquant-w8a8", "squeeze10", "billm"}) {
            const auto base = support::network_of(random_model(shape_of(qwen2, !qwen2)));
            const packed_model m = quantized(base, recipe, qwen2);
            save_or_fail(path, m);
            const auto loaded = transformer::load(path, pool);
            ASSERT_TRUE(loaded) << loaded.error().message;
            EXPECT_EQ(logits_of(loaded->network), logits_of(m.network)) << recipe;
            EXPECT_EQ(loaded->network.embedding == loaded->network.head, qwen2);
            EXPECT_EQ(to_text(*loaded->decided), to_text(m.decided));
            EXPECT_EQ(*loaded->text.encode("az"), *transformer::tokenizer::bytes().encode("az"));
        }
    }
}

/// A network behind a prefix, quantized.
packed_model quantized_behind_prefix(const transformer::model& base) {
    const auto ids = support::random_ids(40, base.shape.vocab);
    const auto prefix = *transformer::make_prefix(base, std::vector<std::int32_t>{7, 300});
    const auto engine = transformer::make_engine(base, ids, 40, {}, prefix);
    auto plan = *quell::model::make_plan(engine.graph, *quell::quant::find_recipe("static-w8a8"));
    plan.prefix = prefix->ids;
    auto changed = quell::model::apply(engine, plan);
    EXPECT_TRUE(changed) << changed.error().message;
    packed_model made{.network = {}, .decided = changed->decided};
    made.network = transformer::with_linears(base, *std::move(changed), prefix);
    return made;
}

TEST(PackedFile, KeepsTheKeysAndValuesOfThePrefix) {
    const temporary_folder folder;
    const auto base = support::network_of(random_model(shape_of(false, false)));
    packed_model m = quantized_behind_prefix(base);
    save_or_fail(folder.path("m.safetensors"), m);
    const auto loaded = support::load_or_fail(folder.path("m.safetensors"));
    ASSERT_TRUE(loaded.network.prefix);
    EXPECT_EQ(loaded.network.prefix->ids, m.network.prefix->ids);
    EXPECT_TRUE(std::ranges::equal(loaded.network.prefix->keys.elements(), m.network.prefix->keys.elements()));
    EXPECT_EQ(logits_of(loaded.network), logits_of(m.network));
    m.network.prefix = nullptr;
    EXPECT_NE(logits_of(loaded.network), logits_of(m.network));
}

TEST(PackedFile, KeepsWhatAGgufFileSays) {
    const temporary_folder folder;
    random_model random(shape_of(false, false));
    random.shapes["rope_freqs.weight"] = {4};
    random.weights["rope_freqs.weight"] = {1.0F, 1.5F, 2.0F, 8.0F};
    support::write_gguf(random, folder.path("m.gguf"));
    const auto base = support::load_or_fail(folder.path("m.gguf"));
    const packed_model m = quantized(base.network, "rtn-w8a8", true);
    const auto saved = transformer::save_packed(folder.path("p.safetensors"), m.network, base.text, m.decided);
    ASSERT_TRUE(saved) << saved.error().message;
    const auto loaded = support::load_or_fail(folder.path("p.safetensors"));
    EXPECT_EQ(loaded.network.shape.rope, transformer::rope_order::interleaved);
    EXPECT_EQ(logits_of(loaded.network), logits_of(m.network));
    EXPECT_EQ(*loaded.text.encode("some text"), *base.text.encode("some text"));
}

TEST(PackedFile, HoldsTheSameBytesForAnyNumberOfThreads) {
    const temporary_folder folder;
    const auto base = support::network_of(random_model(shape_of(false, false)));
    quell::thread_pool pool(3);
    save_or_fail(folder.path("1.safetensors"), quantized(base, "static-w8a8", false));
    save_or_fail(folder.path("3.safetensors"), quantized(base, "static-w8a8", false, pool));
    EXPECT_EQ(*quell::io::read_file(folder.path("1.safetensors")), *quell::io::read_file(folder.path("3.safetensors")));
}

/// A packed file whose parts can be replaced before it is loaded.
class HostilePackedFile : public testing::Test {
protected:
    HostilePackedFile() {
        const auto base = support::network_of(random_model(shape_of(true, false)));
        save_or_fail(path_, quantized(base, "rtn-w8a8", false));
        bytes_ = *quell::io::read_file(path_);
        auto file = quell::io::safetensors_file::parse(bytes_, path_);
        EXPECT_TRUE(file) << file.error().message;
        metadata_ = file->metadata();
        for (const auto& t : file->tensors()) {
            tensors_.push_back({.name = t.name, .type = t.type, .shape = t.shape, .bytes = t.bytes});
        }
    }

    quell::io::tensor_to_write& tensor(const std::string& name) {
        return *std::find_if(tensors_.begin(), tensors_.end(), [&](const auto& t) { return t.name == name; });
    }

    void set_text(const std::string& name, const std::string& text) {
        texts_.push_back(text);
        tensor(name).shape = {text.size()};
        tensor(name).bytes = std::as_bytes(std::span(texts_.back()));
    }

    /// The text of a tensor with `from` replaced by `to`.
    void replace(const std::string& name, const std::string& from, const std::string& to) {
        const auto old = tensor(name).bytes;
        std::string text(reinterpret_cast<const char*>(old.data()), old.size());
        ASSERT_NE(text.find(from), std::string::npos) << text;
        set_text(name, text.replace(text.find(from), from.size(), to));
    }

    /// What loading these bytes says; empty where it says nothing against them. Written plainly, since syncing takes
    /// long.
    std::string message_of(std::span<const std::byte> bytes) {
        folder_.write("m.safetensors", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        const auto loaded = transformer::load(path_, {});
        return loaded ? std::string() : loaded.error().message;
    }

    void refuses(const std::string& expected) {
        const auto written = quell::io::write_safetensors(path_, tensors_, metadata_);
        ASSERT_TRUE(written) << written.error().message;
        const auto loaded = transformer::load(path_, {});
        ASSERT_FALSE(loaded) << expected;
        EXPECT_EQ(loaded.error().message.substr(0, path_.size() + 2 + expected.size()), path_ + ": " + expected);
    }

    temporary_folder folder_;
    std::string path_ = folder_.path("m.safetensors");
    std::vector<std::byte> bytes_;
    quell::io::string_map metadata_;
    std::vector<quell::io::tensor_to_write> tensors_;
    std::deque<std::string> texts_;
};

TEST_F(HostilePackedFile, EveryTensorIsNeeded) {
    const auto whole = tensors_;
    for (const auto& missing : whole) {
        tensors_ = whole;
        std::erase_if(tensors_, [&](const auto& t) { return t.name == missing.name; });
        const bool scheme = missing.name.ends_with(".activations");  // then the weight lacks its activations
        const std::string named = scheme ? missing.name.substr(0, missing.name.size() - 11) + "packed" : missing.name;
        refuses("tensor \"" + named + (scheme ? "\": integer weights need" : "\" is missing"));
    }
}

TEST_F(HostilePackedFile, ATensorWithoutARole) {
    tensors_.push_back(tensor("config"));
    tensors_.back().name = "output.packed";
    refuses("tensor \"output.packed\" is no part of a network");
}

TEST_F(HostilePackedFile, AnotherVersion) {
    metadata_["quell.packed"] = "2";
    refuses("is a packed file of version \"2\"; this program reads version 1");
}

TEST_F(HostilePackedFile, APrefixThatIsNotThere) {
    const std::string plan = metadata_["quell.plan"];
    const auto with_prefix = [&](const std::string& ids) {
        std::string text = plan;
        text.replace(text.find("\"prefix\":[]"), 11, "\"prefix\":[" + ids + "]");
        metadata_["quell.plan"] = text;
    };
    with_prefix("5");
    refuses("tensor \"prefix.keys\" is missing");
    with_prefix("5,512");
    refuses("a prefix of 2 tokens, among them 512, for a vocabulary of 512 and a context of 1024");
    with_prefix("-1");
    refuses("a prefix of 1 tokens, among them -1");
    const std::vector<float> numbers(2 * 8 + 1);  // two layers of one head of 8, and one number too many
    for (const char* name : {"prefix.keys", "prefix.values"}) {
        tensors_.push_back({.name = name,
                            .type = quell::dtype::f32,
                            .shape = {numbers.size()},
                            .bytes = std::as_bytes(std::span(numbers))});
    }
    with_prefix("5");
    refuses("tensor \"prefix.keys\" has the shape [17] where the configuration asks for [16]");
    metadata_["quell.plan"] = plan;
    refuses("tensor \"prefix.keys\" is no part of a network");
}

TEST_F(HostilePackedFile, AMissingPlan) {
    metadata_.erase("quell.plan");
    refuses("its metadata holds no quell.plan");
}

TEST_F(HostilePackedFile, APlanOfAnotherModelOrOfOtherBits) {
    const std::string plan = metadata_["quell.plan"];
    const auto swapped = [&](const std::string& from, const std::string& to) {
        std::string text = plan;
        metadata_["quell.plan"] = text.replace(text.find(from), from.size(), to);
    };
    swapped("\"blk.1.ffn_down\"", "\"blk.2.ffn_down\"");
    refuses("plan: site 13 is blk.2.ffn_down, the model has blk.1.ffn_down there");
    swapped("\"bits\":8", "\"bits\":4");
    refuses("blk.0.attn_q: the plan says 4 bit symmetric, f32 scale per channel, the packed weight is 8 bit");
    swapped("\"clip\":1.0", "\"clip\":0.5");
    refuses("blk.0.attn_q: the plan says activations of 8 bits, the file has others of 8");
    metadata_["quell.plan"] = "{";
    refuses("plan: not valid JSON");
}

TEST_F(HostilePackedFile, AConfigurationThatContradictsTheWeights) {
    replace("config", "\"ff_width\":172", "\"ff_width\":171");
    refuses(
        "tensor \"blk.0.ffn_gate.packed\" holds a weight of the shape [172, 40] where the configuration asks for "
        "[171, 40]");
}

TEST_F(HostilePackedFile, AConfigurationThatIsAbsurd) {
    replace("config", "\"layers\":2", "\"layers\":4000000000");
    refuses("config: configuration: layers is 4000000000, not in 1 ... 4096");
    set_text("config", "[]");
    refuses("config: expected an object");
}

TEST_F(HostilePackedFile, MoreLayersThanThereAre) {
    replace("config", "\"layers\":2", "\"layers\":3");
    refuses("tensor \"blk.2.attn_q.bias\" is missing");
}

TEST_F(HostilePackedFile, ATokenizerThatIsNone) {
    replace("tokenizer", "\"eos\":null", "\"eos\":256");
    refuses("tokenizer: eos token 256 of a vocabulary of 256");
    replace("tokenizer", "\"unused\":[]", "\"unused\":[99999]");
    refuses("tokenizer: token 99999 of a vocabulary of 256");
    set_text("tokenizer", "bytes");
    refuses("tokenizer: not valid JSON");
}

TEST_F(HostilePackedFile, AGainOfAnotherSize) {
    auto& gain = tensor("blk.0.attn_norm.weight");
    gain.shape = {39};
    gain.bytes = gain.bytes.first(39 * 4);
    refuses("tensor \"blk.0.attn_norm.weight\" has the shape [39] where the configuration asks for [40]");
}

TEST_F(HostilePackedFile, ATruncatedOrDamagedFileIsNeverBelieved) {
    for (std::size_t part = 0; part < 50; ++part) {
        EXPECT_TRUE(message_of(std::span(bytes_).first(bytes_.size() * part / 50)).starts_with(path_ + ": ")) << part;
    }
    const auto file = quell::io::safetensors_file::parse(bytes_, path_);
    for (const auto& t : file->tensors()) {
        if (t.name.ends_with(".packed")) {
            const auto at = static_cast<std::size_t>(t.bytes.data() - bytes_.data()) + t.bytes.size() / 2;
            bytes_[at] ^= std::byte{1};
            EXPECT_EQ(message_of(bytes_),
                      path_ + ": tensor \"" + t.name + "\": packed weight is damaged: its checksum does not match");
            bytes_[at] ^= std::byte{1};
        }
    }
}

TEST_F(HostilePackedFile, AnyByteMayChangeAndNothingBreaks) {
    for (std::size_t at = 0; at < bytes_.size(); at += 97) {
        const std::byte old = std::exchange(bytes_[at], bytes_[at] ^ std::byte{0x11});
        const std::string message = message_of(bytes_);
        EXPECT_TRUE(message.empty() || message.starts_with(path_)) << at << ": " << message;
        bytes_[at] = old;
    }
}

}  // namespace
