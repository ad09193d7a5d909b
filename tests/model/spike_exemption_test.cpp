// SPDX-License-Identifier: MIT
#include "quell/model/spike_exemption.hpp"

#include "quell/core/rng.hpp"
#include "quell/model/make_plan.hpp"
#include "quell/quant/recipes.hpp"
#include "support/fake_engine.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

namespace {

using namespace quell;
using namespace quell::model;

constexpr double infinity = std::numeric_limits<double>::infinity();

plan static_plan(const graph& g) {
    return *make_plan(g, *quant::find_recipe("static-w8a8"));
}

std::size_t exempt_sites(const plan& decided) {
    return static_cast<std::size_t>(std::count_if(decided.sites.begin(), decided.sites.end(),
                                                  [](const site_plan& s) { return s.activations.bits == 16; }));
}

/// An engine whose calibration shows a massive token at input 1 and a smaller one at input 4.
class spiky_network : public fake_engine {
public:
    static constexpr float massive = 3000.0F;

    model::engine lend_spiky() {
        model::engine e = lend();
        e.calibrate = [this](const input_observer& see) -> result<void> {
            (void)run(float_linears(), {}, [&](std::size_t input, matrix_view<const float> x) {
                matrix<float> rows = matrix<float>::copy_of(x);
                rows(5, 2) = input == 1 ? massive : input == 4 ? 0.01F * massive : rows(5, 2);
                see(input, rows.view());
            });
            return {};
        };
        e.loss = [this](quantized_model&& made) -> result<double> {
            ++losses;
            return relative_difference(run(float_linears()), run(made.linears, made.gains));
        };
        return e;
    }

    std::size_t losses = 0;
};

TEST(SpikeExemption, TakesAllReadersOfAnInputAboveTheThresholdAndSaysWhy) {
    const fake_engine engine;
    plan decided = static_plan(engine.graph);
    exempt_above(decided, engine.graph, std::vector<double>{40.0, 2.0, 3.5, 40.5, 1.0, 1.0}, 40.0);
    for (std::size_t s = 0; s < decided.sites.size(); ++s) {
        const bool above = engine.graph.sites[s].input == 3;
        EXPECT_EQ(decided.sites[s].activations.bits, above ? 16 : 8) << s;
        EXPECT_EQ(decided.sites[s].weights.bits, 8) << s;
        EXPECT_EQ(decided.sites[s].reason.empty(), !above);
        EXPECT_TRUE(decided.sites[s].fallback.empty());
    }
    EXPECT_EQ(decided.sites[5].reason, "spike ratio 40.5, above 40.0: activations of 16 bits");
    EXPECT_TRUE(check(decided, engine.graph));
}

TEST(SpikeExemption, AnInfiniteThresholdChangesNothingAndZeroExemptsAll) {
    const fake_engine engine;
    const std::vector<double> ratios(engine.graph.inputs.size(), 1.5);
    plan decided = static_plan(engine.graph);
    exempt_above(decided, engine.graph, ratios, infinity);
    EXPECT_EQ(exempt_sites(decided), 0U);
    exempt_above(decided, engine.graph, ratios, 0.0);
    EXPECT_EQ(exempt_sites(decided), decided.sites.size());
    plan floats = *make_plan(engine.graph, *quant::find_recipe("fp32"));
    exempt_above(floats, engine.graph, ratios, 0.0);
    EXPECT_TRUE(floats.sites[0].activations.is_float()) << "there is nothing to exempt";
}

TEST(SpikeExemption, TriesEveryRatioThatTheLimitAllows) {
    const fake_engine engine;  // sites of the inputs: 2, 1, 2, 2, 1, 2
    const plan decided = static_plan(engine.graph);
    const std::vector<double> ratios = {5.0, 900.0, 5.0, 70.0, 60.0, 2.0};
    const auto trials = exemption_thresholds(decided, engine.graph, ratios, {.most_share = 0.45});
    ASSERT_EQ(trials.size(), 4U);  // 0, 1, 3 and 4 of 10 sites
    const double thresholds[] = {900.0, 70.0, 60.0, 5.0};
    const std::size_t sites[] = {0, 1, 3, 4};
    for (std::size_t t = 0; t < 4; ++t) {
        EXPECT_EQ(trials[t].threshold, thresholds[t]);
        EXPECT_EQ(trials[t].exempt_sites, sites[t]);
        plan exempt = decided;
        exempt_above(exempt, engine.graph, ratios, trials[t].threshold);
        EXPECT_EQ(exempt_sites(exempt), sites[t]);
    }
    EXPECT_EQ(exemption_thresholds(decided, engine.graph, ratios, {.most_share = 0.0}).size(), 2U);
    EXPECT_EQ(exemption_thresholds(decided, engine.graph, ratios, {.most_share = 0.0, .least_most = 0}).size(), 1U);
}

TEST(SpikeExemption, BisectionFindsTheFewestThatAreNearlyAsGoodAsAll) {
    rng random(6);
    for (std::size_t n = 1; n < 40; ++n) {
        std::vector<double> losses;
        for (std::size_t i = 0; i < n; ++i) {
            losses.push_back(2.0 + random.uniform());
        }
        std::sort(losses.rbegin(), losses.rend());
        const double tolerance = 0.2 * random.uniform();
        const auto plain =
            std::find_if(losses.begin(), losses.end(), [&](double l) { return l <= losses.back() + tolerance; });
        std::vector<exemption_trial> trials(n);
        std::size_t measured = 0;
        const auto chosen = bisect_trials(trials, tolerance, [&](const exemption_trial& t) -> result<double> {
            ++measured;
            return losses[static_cast<std::size_t>(&t - trials.data())];
        });
        EXPECT_EQ(*chosen, static_cast<std::size_t>(plain - losses.begin())) << n;
        EXPECT_LE(static_cast<double>(measured), 3.0 + std::log2(static_cast<double>(n))) << n;
        EXPECT_EQ(trials.back().loss, losses.back());
    }
}

TEST(SpikeExemption, PassesOnWhatTheMeasurementSays) {
    std::vector<exemption_trial> trials(3);
    const auto refused = bisect_trials(trials, 0.0, [](const exemption_trial&) -> result<double> {
        return error{errc::io_failed, "no"};
    });
    EXPECT_EQ(refused.error().message, "no");
}

TEST(SpikeExemption, FindsThePlantedSpikesByTheirLoss) {
    spiky_network network;
    const model::engine engine = network.lend_spiky();
    const profile_set seen = *collect_profiles(engine, {.window = 512});
    plan decided = static_plan(engine.graph);
    const auto trials = exempt_spikes(engine, seen, decided, {.most_share = 0.3, .tolerance = 0.0});
    ASSERT_TRUE(trials) << trials.error().message;
    EXPECT_GT(network.losses, 1U);
    EXPECT_LT(*trials->back().loss, 0.5 * *trials->front().loss);
    for (std::size_t s = 0; s < decided.sites.size(); ++s) {
        const std::size_t input = engine.graph.sites[s].input;
        if (input == 1 || input == 4) {
            EXPECT_EQ(decided.sites[s].activations.bits, 16) << s;
        } else if (decided.sites[s].activations.bits == 8) {
            EXPECT_GT(decided.sites[s].activations.static_scale, 0.0F) << "the scale is known already";
        }
    }
    const auto made = apply(engine, decided);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_LT(relative_difference(network.run(network.float_linears()), network.run(made->linears, made->gains)),
              0.5 * *trials->front().loss);
}

TEST(SpikeExemption, WithEverySiteExemptOnlyTheWeightsAreRounded) {
    fake_engine network;
    plan decided = static_plan(network.graph);
    exempt_above(decided, network.graph, std::vector<double>(network.graph.inputs.size(), 1.0), 0.0);
    const auto made = apply(network.lend(), decided);
    ASSERT_TRUE(made) << made.error().message;
    std::vector<quant::linear> weights_only;
    for (const quant::linear& layer : made->linears) {
        const matrix<float> w = quant::weight(layer);
        weights_only.emplace_back(quant::float_linear(w.view(), quant::bias(layer)));
    }
    EXPECT_LT(relative_difference(network.run(weights_only), network.run(made->linears)), 1e-3);
}

TEST(Apply, RefusesAPrefixThatTheEngineDoesNotCalibrateBehind) {
    fake_engine network;
    plan decided = static_plan(network.graph);
    decided.prefix = {1, 2};
    EXPECT_EQ(apply(network.lend(), decided).error().message,
              "the plan has a prefix of 2 tokens, the engine calibrates behind another one of 0");
}

}  // namespace
