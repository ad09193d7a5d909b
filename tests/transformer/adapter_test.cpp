// SPDX-License-Identifier: MIT
#include "transformer/adapter.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/model/apply.hpp"
#include "quell/model/make_plan.hpp"
#include "quell/quant/recipes.hpp"
#include "random_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace {

transformer::config biased_layers() {
    transformer::config c = support::small_config();
    c.layers = 2;
    c.qkv_bias = true;
    return c;
}

std::vector<float> hidden_of(const transformer::model& m, const std::vector<std::int32_t>& ids) {
    transformer::session s(m, {}, ids.size());
    EXPECT_TRUE(s.prefill(ids));
    return {s.hidden().data(), s.hidden().data() + s.hidden().rows() * s.hidden().cols()};
}

TEST(Graph, GivesEverySiteItsInputAndItsShape) {
    for (const auto act : {transformer::activation::swiglu, transformer::activation::gelu}) {
        transformer::config c = biased_layers();
        c.act = act;
        const quell::graph g = transformer::make_graph(c);
        const bool gated = act == transformer::activation::swiglu;
        EXPECT_EQ(g.inputs.size(), 8U);
        EXPECT_EQ(g.sites.size(), gated ? 14U : 12U);
        EXPECT_EQ(g.readers_of(0), (std::vector<std::size_t>{0, 1, 2}));
        EXPECT_EQ(g.readers_of(2).size(), gated ? 2U : 1U);
        EXPECT_EQ(g.inputs[3].kind, gated ? quell::producer_kind::product : quell::producer_kind::none);
        std::set<std::string> names;
        for (const quell::site& s : g.sites) {
            names.insert(s.name);
            EXPECT_EQ(s.in_features, g.inputs[s.input].features);
            EXPECT_EQ(s.writes_residual, s.module == "o" || s.module == "down");
        }
        EXPECT_EQ(names.size(), g.sites.size());
        for (const quell::input_point& in : g.inputs) {
            const bool is_site = in.kind == quell::producer_kind::linear || in.kind == quell::producer_kind::product;
            EXPECT_EQ(is_site, names.contains(in.producer)) << in.name;
        }
    }
}

TEST(Adapter, LendsTheWeightsBiasesAndGainsThatWereLoaded) {
    const support::random_model random(biased_layers());
    const transformer::model network = support::network_of(random);
    const quell::model::engine engine = transformer::make_engine(network, {}, 16, {});
    std::size_t found = 0;
    for (const quell::site& s : engine.graph.sites) {
        const auto w = engine.weight(s);
        ASSERT_TRUE(w);
        for (const auto& [name, values] : random.weights) {
            if (support::gguf_name(name) == s.name + ".weight") {
                ++found;
                EXPECT_TRUE(std::ranges::equal(w->elements(), values)) << s.name;
            } else if (support::gguf_name(name) == s.name + ".bias") {
                EXPECT_TRUE(std::ranges::equal(engine.bias(s), values)) << s.name;
            }
        }
    }
    EXPECT_EQ(found, engine.graph.sites.size());
    EXPECT_TRUE(engine.bias(engine.graph.sites[3]).empty());
    const auto gain = engine.gain("blk.1.ffn_norm");
    ASSERT_TRUE(gain);
    EXPECT_TRUE(std::ranges::equal(*gain, random.weights.at("model.layers.1.post_attention_layernorm.weight")));
    EXPECT_FALSE(engine.gain("blk.2.ffn_norm"));
}

TEST(Adapter, ShowsEveryCalibrationTokenOnceAtEveryInput) {
    const transformer::model network = support::network_of(support::random_model(biased_layers()));
    const auto ids = support::random_ids(40, network.shape.vocab);
    const quell::model::engine engine = transformer::make_engine(network, ids, 16, {});
    std::vector<std::size_t> rows(engine.graph.inputs.size());
    ASSERT_TRUE(
        engine.calibrate([&](std::size_t input, quell::matrix_view<const float> x) { rows[input] += x.rows(); }));
    EXPECT_EQ(rows, std::vector<std::size_t>(rows.size(), 40));
    EXPECT_FALSE(transformer::make_engine(network, {}, 16, {}).calibrate([](std::size_t, auto) {}));
}

/// What quell makes of the network by this recipe.
transformer::model quantized(const transformer::model& network, const char* recipe, std::size_t threads = 1) {
    quell::thread_pool pool(threads);
    const auto ids = support::random_ids(64, network.shape.vocab, 3);
    const quell::model::engine engine = transformer::make_engine(network, ids, 32, pool);
    const auto found = quell::quant::find_recipe(recipe, {});
    EXPECT_TRUE(found) << found.error().message;
    const auto plan = quell::model::make_plan(engine.graph, *found);
    EXPECT_TRUE(plan) << plan.error().message;
    auto changed = quell::model::apply(engine, *plan, {.threads = pool});
    EXPECT_TRUE(changed) << changed.error().message;
    return transformer::with_linears(network, *std::move(changed));
}

TEST(Adapter, TakesBackAFloatModelThatComputesTheSameBits) {
    const transformer::model network = support::network_of(support::random_model(biased_layers()));
    const auto ids = support::random_ids(30, network.shape.vocab);
    const transformer::model same = quantized(network, "fp32");
    EXPECT_EQ(same.embedding, network.embedding);
    EXPECT_EQ(hidden_of(same, ids), hidden_of(network, ids));
}

TEST(Adapter, TakesBackAQuantizedModelThatIsCloseAndDoesNotDependOnThreads) {
    const transformer::model network = support::network_of(support::random_model(biased_layers()));
    const auto ids = support::random_ids(30, network.shape.vocab);
    const auto exact = hidden_of(network, ids);
    for (const char* recipe : {"absmax-w8a8", "smoothquant-w8a8", "absmax-w4a8-g32"}) {
        const auto got = hidden_of(quantized(network, recipe), ids);
        double signal = 0;
        double noise = 0;
        for (std::size_t i = 0; i < exact.size(); ++i) {
            signal += static_cast<double>(exact[i]) * static_cast<double>(exact[i]);
            noise += std::pow(static_cast<double>(got[i]) - static_cast<double>(exact[i]), 2);
        }
        EXPECT_LT(noise, signal * (std::string(recipe).find("w8") != std::string::npos ? 0.02 : 0.5)) << recipe;
        EXPECT_GT(noise, 0.0) << recipe;
        EXPECT_EQ(got, hidden_of(quantized(network, recipe, 3), ids)) << recipe;
    }
}

/// The largest change of the final states behind the transforms of a recipe, relative to the largest state.
double change_by(const std::string& recipe, const transformer::config& shape) {
    const transformer::model network = support::network_of(support::random_model(shape));
    const auto ids = support::random_ids(24, network.shape.vocab);
    const quell::model::engine engine = transformer::make_engine(network, ids, 12, {});
    const auto decided = quell::model::make_plan(engine.graph, *quell::quant::find_recipe(recipe));
    EXPECT_TRUE(decided) << decided.error().message;
    auto changed = quell::model::apply(engine, *decided, {.keep_float = true});
    EXPECT_TRUE(changed) << changed.error().message;
    const transformer::model same = transformer::with_linears(network, *std::move(changed));
    const std::vector<float> before = support::logits_of(network, ids);
    const std::vector<float> after = support::logits_of(same, ids);
    double difference = 0.0;
    double largest = 0.0;
    for (std::size_t i = 0; i < before.size(); ++i) {
        difference = std::max(difference, std::abs(double{before[i]} - double{after[i]}));
        largest = std::max(largest, std::abs(double{before[i]}));
    }
    return difference / largest;
}

TEST(Transforms, LeaveTheFloatNetworkAsItWas) {
    for (const bool tied : {true, false}) {
        for (const auto act : {transformer::activation::swiglu, transformer::activation::gelu}) {
            transformer::config c = biased_layers();
            c.act = act;
            c.tied_head = tied;
            for (const char* recipe :
                 {"smoothquant-w8a8", "quarot-w4a4-rtn", "smoothrot-w4a4-rtn", "hybrid-w4a4-rtn", "quad-w4a4-rtn"}) {
                EXPECT_LE(change_by(recipe, c), 1e-5) << recipe << (tied ? ", tied" : ", not tied");
            }
        }
    }
}

}  // namespace
