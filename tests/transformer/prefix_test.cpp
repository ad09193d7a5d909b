// SPDX-License-Identifier: MIT
#include "quell/core/thread_pool.hpp"
#include "quell/model/apply.hpp"
#include "quell/model/make_plan.hpp"
#include "quell/model/prefix_search.hpp"
#include "quell/quant/recipes.hpp"
#include "random_model.hpp"
#include "transformer/adapter.hpp"
#include "transformer/kv_cache.hpp"
#include "transformer/session.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace {

using transformer::config;
using transformer::model;
using transformer::prefix_ptr;
using transformer::session;

const std::vector<std::int32_t> some_prefix = {3, 100, 41};

config prefixed_layers() {
    config c = support::small_config();
    c.layers = 2;
    c.heads = 4;
    c.kv_heads = 2;
    return c;
}

model prefixed_network() {
    return support::network_of(support::random_model(prefixed_layers()));
}

prefix_ptr prefix_of(const model& m) {
    auto made = transformer::make_prefix(m, some_prefix);
    EXPECT_TRUE(made) << made.error().message;
    return *std::move(made);
}

std::vector<float> copied(quell::matrix_view<const float> rows) {
    std::vector<float> all;
    for (std::size_t r = 0; r < rows.rows(); ++r) {
        all.insert(all.end(), rows.row(r).begin(), rows.row(r).end());
    }
    return all;
}

/// The logits of the last `n` tokens of a call.
std::vector<float> last_logits(session& s, const std::vector<std::int32_t>& ids, std::size_t n) {
    EXPECT_TRUE(s.prefill(ids));
    quell::matrix<float> logits(n, s.vocab());
    s.logits(s.hidden().block(s.hidden().rows() - n, 0, n, s.hidden().cols()), logits.view());
    return copied(logits.view());
}

TEST(Prefix, BehindItLogitsEqualThoseOfPrefixAndText) {
    const model network = prefixed_network();
    const auto text = support::random_ids(30, network.shape.vocab);
    auto whole = some_prefix;
    whole.insert(whole.end(), text.begin(), text.end());
    session plain(network, {}, whole.size());
    session behind(network, {}, text.size(), prefix_of(network));
    EXPECT_EQ(last_logits(behind, text, text.size()), last_logits(plain, whole, text.size()));
    EXPECT_EQ(behind.position(), text.size());
    EXPECT_EQ(behind.capacity(), text.size());
    EXPECT_FALSE(behind.prefill(some_prefix)) << "the session is full";
}

TEST(Prefix, IsTheSameForEveryRequest) {
    model network = prefixed_network();
    network.prefix = prefix_of(network);
    const auto keys = copied(network.prefix->keys.view());
    const auto values = copied(network.prefix->values.view());
    const auto text = support::random_ids(20, network.shape.vocab);
    session s(network, {}, 24);
    const auto first = last_logits(s, text, 20);
    s.reset();
    ASSERT_TRUE(s.prefill(support::random_ids(24, network.shape.vocab, 8)));
    s.reset();
    EXPECT_EQ(last_logits(s, text, 20), first);
    EXPECT_EQ(copied(network.prefix->keys.view()), keys);
    EXPECT_EQ(copied(network.prefix->values.view()), values);
    EXPECT_EQ(copied(prefix_of(network)->keys.view()), keys) << "its own prefix does not stand before it";
}

TEST(Prefix, StaysInFloatBesideCodes) {
    for (const int bits : {8, 4}) {
        config c = prefixed_layers();
        c.kv_bits = bits;
        transformer::kv_cache cache(c, 20, 2);
        quell::rng random(4);
        std::vector<std::vector<float>> keys;
        std::vector<std::vector<float>> values;
        for (std::size_t t = 0; t < 20; ++t) {
            for (auto* rows : {&keys, &values}) {
                rows->emplace_back(c.head_size);
                for (float& v : rows->back()) {
                    v = static_cast<float>(random.normal());
                }
            }
            t < 2 ? cache.pin(1, 1, t, keys[t], values[t]) : cache.store(1, 1, t, keys[t], values[t]);
        }
        std::vector<float> scratch(cache.scratch_floats());
        double coded = 0.0;
        const float* k = cache.keys(1, 1, 20, scratch.data());
        for (std::size_t t = 0; t < 20; ++t) {
            for (std::size_t d = 0; d < c.head_size; ++d) {
                const float got = k[t / 16 * cache.key_panel_stride() + d * 16 + t % 16];
                EXPECT_NEAR(got, keys[t][d], t < 2 ? 0.0 : bits == 8 ? 0.02 : 0.4);
                coded += t < 2 ? 0.0 : std::abs(double{got} - double{keys[t][d]});
            }
        }
        const float* v = cache.values(1, 1, 20, scratch.data());
        for (std::size_t t = 0; t < 20; ++t) {
            for (std::size_t d = 0; d < c.head_size; ++d) {
                const float got = v[d / 16 * cache.value_panel_stride() + t * 16 + d % 16];
                EXPECT_NEAR(got, values[t][d], t < 2 ? 0.0 : bits == 8 ? 0.02 : 0.4);
            }
        }
        EXPECT_GT(coded, 0.0);
    }
}

TEST(Prefix, WorksWithKeysAndValuesInCodes) {
    model network = prefixed_network();
    const auto text = support::random_ids(30, network.shape.vocab);
    session exact(network, {}, text.size(), prefix_of(network));
    const auto wanted = last_logits(exact, text, 30);
    const prefix_ptr prefix = prefix_of(network);
    network.shape.kv_bits = 8;
    session coded(network, {}, text.size(), prefix);
    session without(network, {}, text.size());
    const auto distance = [&](const std::vector<float>& logits) {
        double sum = 0.0;
        for (std::size_t i = 0; i < logits.size(); ++i) {
            sum += std::abs(double{logits[i]} - double{wanted[i]});
        }
        return sum;
    };
    EXPECT_LT(distance(last_logits(coded, text, 30)), 0.1 * distance(last_logits(without, text, 30)));
}

TEST(Prefix, IsNotMadeOfTokensThatDoNotExist) {
    const model network = prefixed_network();
    EXPECT_EQ(transformer::make_prefix(network, std::vector<std::int32_t>{1, 512}).error().message,
              "prefix: token 1 has the id 512, outside a vocabulary of 512");
    EXPECT_EQ(*transformer::make_prefix(network, {}), nullptr);
}

TEST(Prefix, CalibrationRunsBehindItAndNeverShowsIt) {
    const model network = prefixed_network();
    const auto ids = support::random_ids(40, network.shape.vocab);
    const auto engine = transformer::make_engine(network, ids, 16, {}, prefix_of(network));
    EXPECT_EQ(engine.prefix, some_prefix);
    std::vector<std::vector<float>> shown(engine.graph.inputs.size() + 1);  // the last is what enters the head
    std::vector<std::vector<float>> probed(shown.size());
    std::vector<std::vector<float>> whole(shown.size());
    const auto into = [](std::vector<std::vector<float>>& all) {
        return [&all](std::size_t input, quell::matrix_view<const float> x) {
            const auto rows = copied(x);
            all[input].insert(all[input].end(), rows.begin(), rows.end());
        };
    };
    ASSERT_TRUE(engine.calibrate(into(shown)));
    for (std::size_t first = 0; first < ids.size(); first += 16) {
        const auto window = std::span(ids).subspan(first, std::min<std::size_t>(16, ids.size() - first));
        ASSERT_TRUE(engine.probe(some_prefix, window, into(probed)));
        auto all = some_prefix;
        all.insert(all.end(), window.begin(), window.end());
        ASSERT_TRUE(engine.probe({}, all, [&](std::size_t input, quell::matrix_view<const float> x) {
            into(whole)(input, x.block(some_prefix.size(), 0, window.size(), x.cols()));
        }));
    }
    EXPECT_EQ(shown, whole);
    EXPECT_EQ(shown, probed);
    EXPECT_FALSE(engine.probe(std::vector<std::int32_t>{-1}, ids, into(probed)));
}

TEST(Prefix, IsPartOfTheModelThatComesBack) {
    const model network = prefixed_network();
    const auto ids = support::random_ids(40, network.shape.vocab);
    const prefix_ptr prefix = prefix_of(network);
    const auto engine = transformer::make_engine(network, ids, 16, {}, prefix);
    auto plan = *quell::model::make_plan(engine.graph, *quell::quant::find_recipe("static-w8a8"));
    plan.prefix = some_prefix;
    auto changed = quell::model::apply(engine, plan);
    ASSERT_TRUE(changed) << changed.error().message;
    const model made = transformer::with_linears(network, *std::move(changed), prefix);
    session behind(network, {}, 30, prefix);
    session rounded(made, {}, 30);
    const auto text = support::random_ids(30, network.shape.vocab, 9);
    const auto exact = last_logits(behind, text, 30);
    const auto got = last_logits(rounded, text, 30);
    double noise = 0.0;
    double signal = 0.0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
        noise += std::pow(double{exact[i]} - double{got[i]}, 2);
        signal += std::pow(double{exact[i]}, 2);
    }
    EXPECT_GT(noise, 0.0);
    EXPECT_LT(noise, 0.05 * signal);
}

TEST(Prefix, IsSearchedForThroughTheCallbacks) {
    const model network = prefixed_network();
    const auto ids = support::random_ids(96, network.shape.vocab);
    const auto engine = transformer::make_engine(network, ids, 32, {});
    const auto found = quell::model::find_prefix(
        engine, ids, {.starts = {0}, .window = 32, .least_ratio = 1.0, .contexts = 5, .judged_tokens = 64});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_GE(found->judged.size(), 5U);
    const auto& judged = found->judged;
    EXPECT_TRUE(std::none_of(judged.begin(), judged.end(), [](const auto& p) { return !(p.cost > 0.0); }));
}

}  // namespace
