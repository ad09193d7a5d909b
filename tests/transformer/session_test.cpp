// SPDX-License-Identifier: MIT
#include "transformer/session.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/quant/recipe_linear.hpp"
#include "quell/quant/recipes.hpp"
#include "random_model.hpp"
#include "reference/llama.hpp"
#include "transformer/graph.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <numeric>
#include <span>
#include <vector>

// Every allocation of this program is counted: decoding must not make any.
namespace {

std::atomic<std::size_t> allocations = 0;

void* counted(std::size_t size, std::size_t alignment) {
    ++allocations;
    return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
    return counted(size, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
    return counted(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return counted(size, alignof(std::max_align_t));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}

namespace {

using transformer::activation;
using transformer::config;
using transformer::model;
using transformer::rope_order;
using transformer::session;

quell::matrix<float> logits_of(session& s) {
    quell::matrix<float> logits(s.hidden().rows(), s.vocab());
    s.logits(s.hidden(), logits.view());
    return logits;
}

/// The hidden states when the ids are run in calls of these lengths, the rest in one call.
std::vector<float> hidden_in_calls(const model& m, const std::vector<std::int32_t>& ids,
                                   const std::vector<std::size_t>& calls, const quell::executor& threads = {}) {
    session s(m, threads, ids.size());
    std::vector<float> all;
    std::size_t first = 0;
    for (std::size_t i = 0; first < ids.size(); ++i) {
        const std::size_t n = i < calls.size() ? calls[i] : ids.size() - first;
        const auto ran = s.prefill(std::span(ids).subspan(first, n));
        EXPECT_TRUE(ran) << ran.error().message;
        for (std::size_t r = 0; r < n; ++r) {
            all.insert(all.end(), s.hidden().row(r).begin(), s.hidden().row(r).end());
        }
        first += n;
    }
    return all;
}

std::vector<std::size_t> one_at_a_time(std::size_t n) {
    return std::vector<std::size_t>(n, 1);
}

struct named_config {
    const char* name;
    config shape;
};

config changed(void (*change)(config&)) {
    config c = support::small_config();
    change(c);
    return c;
}

const std::vector<named_config>& configs() {
    static const std::vector<named_config> all = {
        {"llama", support::small_config()},
        {"tied_two_layers", changed([](config& c) { c.tied_head = true, c.layers = 2, c.ff_width = 684; })},
        {"qwen2", changed([](config& c) { c.architecture = "qwen2", c.qkv_bias = true, c.heads = 4, c.kv_heads = 2; })},
        {"gelu_erf", changed([](config& c) { c.act = activation::gelu; })},
        {"gelu_tanh", changed([](config& c) {
             c.act = activation::gelu;
             c.gelu = transformer::gelu_form::tanh;
         })},
        {"interleaved", changed([](config& c) { c.rope = rope_order::interleaved; })},
        {"heads_of_50", changed([](config& c) { c.head_size = 50, c.heads = 2; })},
        {"no_groups", changed([](config& c) { c.kv_heads = 3; })},
    };
    return all;
}

class SessionOf : public ::testing::TestWithParam<named_config> {};

TEST_P(SessionOf, MatchesTheOracleInDouble) {
    const support::random_model random(GetParam().shape);
    const model network = support::network_of(random);
    const auto ids = support::random_ids(37, random.shape.vocab);
    session s(network, {}, 40);
    ASSERT_TRUE(s.prefill(ids));
    const auto got = logits_of(s);
    const reference::rows want = reference::llama(random.shape, random.weights).logits(ids);
    for (std::size_t t = 0; t < ids.size(); ++t) {
        for (std::size_t v = 0; v < random.shape.vocab; ++v) {
            ASSERT_NEAR(got(t, v), want[t][v], 2e-5) << "token " << t << ", logit " << v;
        }
    }
}

TEST_P(SessionOf, DecodeGivesTheBitsOfPrefill) {
    const model network = support::network_of(support::random_model(GetParam().shape));
    const auto ids = support::random_ids(75, GetParam().shape.vocab);
    const auto whole = hidden_in_calls(network, ids, {});
    EXPECT_EQ(whole, hidden_in_calls(network, ids, one_at_a_time(ids.size())));
    EXPECT_EQ(whole, hidden_in_calls(network, ids, {1, 5, 33, 16}));
}

TEST_P(SessionOf, GivesTheSameBitsForAnyNumberOfThreads) {
    const support::random_model random(GetParam().shape);
    const auto ids = support::random_ids(75, GetParam().shape.vocab);
    const auto serial = hidden_in_calls(support::network_of(random), ids, {60, 1});
    for (std::size_t threads = 1; threads <= 4; ++threads) {
        quell::thread_pool pool(threads);
        EXPECT_EQ(serial, hidden_in_calls(support::network_of(random, pool), ids, {60, 1}, pool)) << threads;
    }
}

INSTANTIATE_TEST_SUITE_P(All, SessionOf, ::testing::ValuesIn(configs()),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(Session, TakesLongTextsInPiecesWithoutChangingABit) {
    const model network = support::network_of(support::random_model(support::small_config()));
    const auto ids = support::random_ids(1100, network.shape.vocab);
    EXPECT_EQ(hidden_in_calls(network, ids, {}), hidden_in_calls(network, ids, {300, 300, 300}));
}

TEST(Session, RopeOrdersAgreeOnceTheRowsOfQAndKAreReordered) {
    const support::random_model halves(changed([](config& c) { c.qkv_bias = true; }));
    const support::random_model interleaved = support::with_interleaved_rows(halves);
    ASSERT_NE(halves.weights, interleaved.weights);
    const auto ids = support::random_ids(50, halves.shape.vocab);
    const auto a = hidden_in_calls(support::network_of(halves), ids, {});
    const auto b = hidden_in_calls(support::network_of(interleaved), ids, {});
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    }
    EXPECT_LT(worst, 1e-5);

    support::random_model wrong = halves;
    wrong.shape.rope = rope_order::interleaved;
    EXPECT_NE(a, hidden_in_calls(support::network_of(wrong), ids, {}));
}

TEST(Session, UsesTheFactorsOfTheRotations) {
    const support::random_model random(support::small_config());
    model network = support::network_of(random);
    network.rope_factors = quell::buffer<float>(4);
    reference::llama oracle(random.shape, random.weights);
    for (std::size_t i = 0; i < 4; ++i) {
        network.rope_factors[i] = 1.0F + static_cast<float>(i);
        oracle.rope_factors.push_back(1.0 + static_cast<double>(i));
    }
    const auto ids = support::random_ids(20, random.shape.vocab);
    session s(network, {}, 20);
    ASSERT_TRUE(s.prefill(ids));
    EXPECT_NEAR(logits_of(s)(19, 7), oracle.logits(ids)[19][7], 2e-5);
}

TEST(Session, LooksTokensUpInAQuantizedEmbedding) {
    const support::random_model random(changed([](config& c) { c.tied_head = true; }));
    model network = support::network_of(random);
    const auto ids = support::random_ids(20, random.shape.vocab);
    for (const char* name : {"absmax-w8a8", "absmax-w4a8-g32"}) {
        const auto recipe = quell::quant::find_recipe(name);
        ASSERT_TRUE(recipe);
        const quell::matrix<float> w = quell::quant::weight(*support::network_of(random).embedding);
        auto table = quell::quant::make_linear(*recipe, w.view());
        ASSERT_TRUE(table);
        const quell::matrix<float> rounded = quell::quant::weight(*table);
        network.embedding = std::make_shared<const quell::quant::linear>(*std::move(table));
        const auto quantized = hidden_in_calls(network, ids, {});
        network.embedding = std::make_shared<const quell::quant::linear>(quell::quant::float_linear(rounded.view()));
        EXPECT_EQ(quantized, hidden_in_calls(network, ids, {})) << name;
    }
}

TEST(Session, ShowsEveryInputOfTheGraphInOrder) {
    const model network = support::network_of(support::random_model(changed([](config& c) { c.layers = 3; })));
    const quell::graph graph = transformer::make_graph(network.shape);
    std::vector<std::size_t> seen;
    session s(network, {}, 600);
    s.observe([&](std::size_t input, quell::matrix_view<const float> x) {
        seen.push_back(input);
        EXPECT_EQ(x.cols(), graph.inputs[input].features);
        EXPECT_TRUE(std::all_of(x.row(0).begin(), x.row(0).end(), [](float v) { return std::isfinite(v); }));
    });
    ASSERT_TRUE(s.prefill(support::random_ids(5, network.shape.vocab)));
    std::vector<std::size_t> all(graph.inputs.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    EXPECT_EQ(seen, all);
}

/// Hidden rows of the tokens as they enter the blocks.
quell::matrix<float> embedded(const session& s, const model& network, std::span<const std::int32_t> ids) {
    quell::matrix<float> stream(ids.size(), network.shape.width);
    s.embed(ids, stream.view());
    return stream;
}

TEST(Session, HalvesOfABlockMakeTheBlock) {
    const model network = support::network_of(support::random_model(support::small_config()));
    const auto ids = support::random_ids(20, network.shape.vocab);
    session s(network, {}, 20);
    quell::matrix<float> whole = embedded(s, network, ids);
    quell::matrix<float> halves = quell::matrix<float>::copy_of(whole.view());
    quell::matrix<float> out(whole.rows(), whole.cols());
    s.run_blocks(0, 1, whole.view(), out.view());
    s.run_half(0, session::half::attention, halves.view());
    s.run_half(0, session::half::feed_forward, halves.view());
    EXPECT_TRUE(std::equal(whole.elements().begin(), whole.elements().end(), halves.elements().begin()));
}

TEST(Session, RunsToAnInputAndNoFurther) {
    const model network = support::network_of(support::random_model(support::small_config()));
    const auto ids = support::random_ids(20, network.shape.vocab);
    session s(network, {}, 20);
    for (std::size_t wanted = 0; wanted < 4; ++wanted) {
        quell::matrix<float> stream = embedded(s, network, ids);
        const quell::matrix<float> before = quell::matrix<float>::copy_of(stream.view());
        std::vector<std::size_t> seen;
        s.observe([&](std::size_t input, quell::matrix_view<const float>) { seen.push_back(input); });
        s.run_to(wanted, stream.view());
        EXPECT_EQ(seen.back(), wanted);
        EXPECT_EQ(seen.front(), wanted / 2 * 2);
        EXPECT_TRUE(std::equal(stream.elements().begin(), stream.elements().end(), before.elements().begin()));
    }
}

TEST(Session, LinearsReadWhatWasRewritten) {
    const model network = support::network_of(support::random_model(support::small_config()));
    const auto ids = support::random_ids(20, network.shape.vocab);
    session s(network, {}, 20);
    quell::matrix<float> stream = embedded(s, network, ids);
    const quell::matrix<float> before = quell::matrix<float>::copy_of(stream.view());
    s.rewrite([](std::size_t input, quell::matrix_view<float> x) {
        for (std::size_t r = 0; r < x.rows() && input == 3; ++r) {
            std::fill(x.row(r).begin(), x.row(r).end(), 0.0F);
        }
    });
    s.run_half(0, session::half::feed_forward, stream.view());
    EXPECT_TRUE(std::equal(stream.elements().begin(), stream.elements().end(), before.elements().begin()));
    s.rewrite({});
    s.run_half(0, session::half::feed_forward, stream.view());
    EXPECT_FALSE(std::equal(stream.elements().begin(), stream.elements().end(), before.elements().begin()));
}

TEST(Session, StartsAnewAfterReset) {
    const model network = support::network_of(support::random_model(support::small_config()));
    const auto ids = support::random_ids(20, network.shape.vocab);
    session s(network, {}, 20);
    ASSERT_TRUE(s.prefill(support::random_ids(20, network.shape.vocab, 99)));
    s.reset();
    EXPECT_EQ(s.position(), 0U);
    ASSERT_TRUE(s.prefill(ids));
    EXPECT_EQ(s.position(), 20U);
    const auto hidden = s.hidden();
    EXPECT_EQ(std::vector<float>(hidden.data(), hidden.data() + 20 * hidden.cols()), hidden_in_calls(network, ids, {}));
}

TEST(Session, RefusesWhatItCannotRun) {
    const model network = support::network_of(support::random_model(support::small_config()));
    session s(network, {}, 4);
    const auto message = [&](std::vector<std::int32_t> ids) {
        const auto ran = s.prefill(ids);
        return ran ? std::string("ran") : ran.error().message;
    };
    EXPECT_EQ(message({}), "no tokens to run");
    EXPECT_EQ(message({1, 512}), "token 1 has the id 512, outside a vocabulary of 512");
    EXPECT_EQ(message({-1}), "token 0 has the id -1, outside a vocabulary of 512");
    EXPECT_EQ(message({1, 2, 3}), "ran");
    EXPECT_EQ(message({1, 2}), "3 + 2 tokens do not fit a session of 4");
    EXPECT_EQ(message({1}), "ran");
}

TEST(Session, NamesTheTokenWhoseActivationsOverflow) {
    support::random_model random(support::small_config());
    for (float& v : random.weights.at("model.layers.0.mlp.down_proj.weight")) {
        v *= 3e38F;
    }
    const model network = support::network_of(random);
    session s(network, {}, 4);
    const std::vector<std::int32_t> ids = {1, 2};
    const auto ran = s.prefill(ids);
    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error().message, "the activations of token 0 are not finite");
}

TEST(Session, DecodesWithoutAllocatingAfterTheFirstCall) {
    quell::thread_pool pool(2);
    const transformer::model network = support::network_of(support::random_model(support::small_config()), pool);
    const auto ids = support::random_ids(60, network.shape.vocab);
    transformer::session s(network, pool, 60);
    quell::matrix<float> logits(1, network.shape.vocab);
    ASSERT_TRUE(s.prefill(std::span(ids).first(1)));
    s.logits(s.hidden(), logits.view());
    const std::size_t before = allocations;
    for (std::size_t i = 1; i < ids.size(); ++i) {
        const bool ran = s.prefill(std::span(ids).subspan(i, 1)).has_value();
        s.logits(s.hidden(), logits.view());
        if (!ran) {
            FAIL();
        }
    }
    EXPECT_EQ(allocations, before);
}

/// sqrt(mean (a - b)^2 / mean a^2) of the final states with a cache of codes.
double change_by_cache(const transformer::config& shape, int bits) {
    transformer::model network = support::network_of(support::random_model(shape));
    const auto ids = support::random_ids(70, network.shape.vocab);
    const auto states = [&](std::size_t at_once) {
        transformer::session run(network, {}, ids.size());
        std::vector<float> all;
        for (std::size_t first = 0; first < ids.size(); first += at_once) {
            EXPECT_TRUE(run.prefill(std::span(ids).subspan(first, std::min(at_once, ids.size() - first))));
            for (std::size_t t = 0; t < run.hidden().rows(); ++t) {
                all.insert(all.end(), run.hidden().row(t).begin(), run.hidden().row(t).end());
            }
        }
        return all;
    };
    const std::vector<float> exact = states(ids.size());
    network.shape.kv_bits = bits;
    const std::vector<float> coded = states(ids.size());
    EXPECT_EQ(coded, states(1)) << "the same tokens one at a time";
    double error = 0.0;
    double power = 0.0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
        error += std::pow(double{exact[i]} - double{coded[i]}, 2);
        power += std::pow(double{exact[i]}, 2);
    }
    return std::sqrt(error / power);
}

TEST(Session, KeysAndValuesInCodesChangeLittle) {
    transformer::config c = support::small_config();
    c.layers = 2;
    for (const std::size_t head_size : {8U, 24U, 20U}) {
        c.head_size = head_size;
        const double eight = change_by_cache(c, 8);
        const double four = change_by_cache(c, 4);
        EXPECT_LT(eight, 0.08) << head_size;
        EXPECT_GT(eight, 0.0) << head_size;
        EXPECT_LT(four, 0.7) << head_size;
        EXPECT_GT(four, 3.0 * eight) << head_size;
    }
}

}  // namespace
