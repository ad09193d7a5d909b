// SPDX-License-Identifier: MIT
#include "toy/plant.hpp"

#include "quell/core/thread_pool.hpp"
#include "toy/embedded.hpp"
#include "transformer/load.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace {

/// What a run of a model over the built-in text shows.
struct run_record {
    quell::matrix<float> logits;
    std::vector<std::vector<float>> magnitudes;  ///< of every input point, over all tokens and channels
    std::vector<std::vector<float>> token_max;   ///< of every input point, a value a token

    /// max over median of |x|, the measure of outliers.
    [[nodiscard]] double spread(std::size_t input) const {
        std::vector<float> sorted = magnitudes[input];
        std::ranges::sort(sorted);
        return double{sorted.back()} / std::max(double{sorted[sorted.size() / 2]}, 1e-30);
    }
};

std::vector<std::int32_t> builtin_ids() {
    const std::string text = toy::text(toy::evaluation_seed, 512);
    return {text.begin(), text.end()};
}

run_record run_on_builtin_text(const transformer::model& m) {
    const std::vector<std::int32_t> ids = builtin_ids();
    const std::size_t points = m.shape.layers * transformer::inputs_per_block;
    run_record record{.logits = {ids.size(), m.shape.vocab},
                      .magnitudes = std::vector<std::vector<float>>(points),
                      .token_max = std::vector<std::vector<float>>(points)};
    transformer::session run(m, {}, ids.size());
    run.observe([&](std::size_t input, quell::matrix_view<const float> x) {
        for (std::size_t t = 0; t < x.rows(); ++t) {
            float largest = 0.0F;
            for (const float v : x.row(t)) {
                record.magnitudes[input].push_back(std::abs(v));
                largest = std::max(largest, std::abs(v));
            }
            record.token_max[input].push_back(largest);
        }
    });
    EXPECT_TRUE(run.prefill(ids));
    run.logits(run.hidden(), record.logits.view());
    return record;
}

double relative_difference(const quell::matrix<float>& a, const quell::matrix<float>& b) {
    double difference = 0.0;
    double largest = 0.0;
    for (std::size_t i = 0; i < a.elements().size(); ++i) {
        difference = std::max(difference, std::abs(double{a.elements()[i]} - double{b.elements()[i]}));
        largest = std::max(largest, std::abs(double{a.elements()[i]}));
    }
    return difference / largest;
}

class Plant : public testing::TestWithParam<std::string> {
protected:
    void SetUp() override {
        auto loaded = transformer::load_bytes(toy::weights(GetParam()), GetParam(), {});
        ASSERT_TRUE(loaded) << loaded.error().message;
        base_ = std::move(loaded->network);
        before_ = run_on_builtin_text(base_);
    }

    run_record planted(toy::plant_kind kind) {
        const auto changed = toy::plant(base_, kind, 1);
        EXPECT_TRUE(changed);
        return run_on_builtin_text(*changed);
    }

    static std::size_t input(std::size_t layer, transformer::block_input kind) {
        return layer * transformer::inputs_per_block + kind;
    }

    transformer::model base_;
    run_record before_;
};

TEST_P(Plant, LeavesTheLogitsAsTheyWere) {
    for (const toy::plant_kind kind : {toy::plant_kind::channels, toy::plant_kind::tokens, toy::plant_kind::both}) {
        EXPECT_LT(relative_difference(before_.logits, planted(kind).logits), 1e-4);
    }
}

TEST_P(Plant, MakesOutliersOfChannelsBehindEveryNorm) {
    const run_record after = planted(toy::plant_kind::channels);
    for (std::size_t layer = 0; layer < base_.shape.layers; ++layer) {
        for (const auto kind : {transformer::attn_in, transformer::ffn_in}) {
            EXPECT_GT(after.spread(input(layer, kind)), 10.0 * before_.spread(input(layer, kind))) << layer;
        }
    }
}

TEST_P(Plant, MakesTheFullStopMassive) {
    const run_record after = planted(toy::plant_kind::tokens);
    const std::size_t at = input(1, transformer::down_in);
    EXPECT_GT(after.spread(at), 10.0 * before_.spread(at));
    const std::vector<std::int32_t> ids = builtin_ids();
    const float largest = *std::ranges::max_element(before_.token_max[at]);
    std::size_t massive = 0;
    std::size_t others = 0;
    for (std::size_t t = 0; t < ids.size(); ++t) {
        const bool is_massive = after.token_max[at][t] > 10.0F * largest;
        (ids[t] == '.' ? massive : others) += is_massive ? 1U : 0U;
    }
    EXPECT_EQ(massive, static_cast<std::size_t>(std::ranges::count(ids, '.')));
    EXPECT_EQ(others, 0U);
}

TEST_P(Plant, BothDoesBoth) {
    const run_record after = planted(toy::plant_kind::both);
    for (const std::size_t at : {input(0, transformer::attn_in), input(1, transformer::down_in)}) {
        EXPECT_GT(after.spread(at), 10.0 * before_.spread(at));
    }
}

TEST_P(Plant, ScalesTheProductWithALinearUp) {
    if (!base_.blocks[0].gate) {
        GTEST_SKIP() << "GELU stands between up and down";
    }
    const run_record after = planted(toy::plant_kind::channels);
    for (std::size_t layer = 0; layer < base_.shape.layers; ++layer) {
        EXPECT_GT(after.spread(input(layer, transformer::down_in)),
                  5.0 * before_.spread(input(layer, transformer::down_in)));
    }
}

INSTANTIATE_TEST_SUITE_P(Toys, Plant, testing::Values("toy", "toy-gelu"),
                         [](const auto& tested) { return tested.param == "toy" ? "swiglu" : "gelu"; });

TEST(PlantNamed, KnowsThreeKinds) {
    EXPECT_EQ(toy::plant_named("channels"), toy::plant_kind::channels);
    EXPECT_EQ(toy::plant_named("tokens"), toy::plant_kind::tokens);
    EXPECT_EQ(toy::plant_named("both"), toy::plant_kind::both);
    EXPECT_FALSE(toy::plant_named("neither"));
}

}  // namespace
