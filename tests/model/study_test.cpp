// SPDX-License-Identifier: MIT
#include "quell/model/study.hpp"

#include "quell/core/thread_pool.hpp"
#include "support/fake_engine.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace quell;
using quell::model::engine;
using quell::model::input_study;

std::vector<input_study> studied(fake_engine& lender, const model::study_options& options = {}) {
    auto done = model::study(lender.lend(), options);
    EXPECT_TRUE(done) << done.error().message;
    return *std::move(done);
}

TEST(Study, CoversEveryInputAndItsReaders) {
    fake_engine lender;
    std::size_t steps = 0;
    const auto found = studied(lender, {.progress = [&](std::string_view stage, std::string_view, std::size_t,
                                                        std::size_t) { steps += stage == "study" ? 1U : 0U; }});
    ASSERT_EQ(found.size(), lender.graph.inputs.size());
    EXPECT_EQ(steps, found.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].input, i);
        EXPECT_EQ(found[i].readers, lender.graph.readers_of(i));
        EXPECT_EQ(found[i].profile.count(), 40U);
        EXPECT_EQ(found[i].rows.size(), 40U);
        for (const quant::transform_effect& effect : found[i].effects) {
            EXPECT_EQ(effect.weights.size(), found[i].readers.size());
            EXPECT_EQ(effect.activation_magnitudes.size(), lender.graph.inputs[i].features);
            EXPECT_GT(effect.error(), 0.0);
        }
    }
}

TEST(Study, SeesWhatThePlantedChannelsCost) {
    fake_engine lender;
    for (const input_study& input : studied(lender)) {
        if (lender.graph.inputs[input.input].kind == producer_kind::norm_gain) {
            EXPECT_LT(input.effects[3].error(), 0.5 * input.effects[0].error());
            EXPECT_LT(input.effects[3].difficulty.deviation, 0.1 * input.effects[0].difficulty.deviation);
        }
    }
}

TEST(Study, MeasuresOnASampleWithTheLargestRow) {
    fake_engine lender;
    for (const input_study& input : studied(lender, {.sample_rows = 5})) {
        EXPECT_GE(input.rows.size(), 5U);
        EXPECT_LE(input.rows.size(), 6U);
        EXPECT_EQ(input.profile.count(), 40U);
        EXPECT_EQ(input.effects[0].largest, input.profile.absmax.overall());
    }
}

TEST(Study, DoesNotDependOnThreads) {
    fake_engine lender;
    thread_pool pool(3);
    const auto serial = studied(lender);
    const auto parallel = studied(lender, {.threads = pool});
    for (std::size_t i = 0; i < serial.size(); ++i) {
        for (std::size_t t = 0; t < serial[i].effects.size(); ++t) {
            EXPECT_EQ(serial[i].effects[t].error(), parallel[i].effects[t].error());
        }
    }
}

TEST(Study, NamesWhatIsWrong) {
    fake_engine lender;
    engine source = lender.lend();
    source.calibrate = {};
    EXPECT_EQ(model::study(source).error().code, errc::not_found);
    source.calibrate = [](const model::input_observer&) -> result<void> { return {}; };
    EXPECT_EQ(model::study(source).error().message, "blk.0.attn_in: the calibration showed no rows of it");
    lender.weights[1](2, 5) = std::numeric_limits<float>::infinity();
    EXPECT_EQ(model::study(lender.lend()).error().message, "blk.0.k: row 2, column 5 is infinity, not a finite number");
}

}  // namespace
