// SPDX-License-Identifier: MIT
#include "quell/model/profile_set.hpp"

#include "quell/core/thread_pool.hpp"
#include "support/fake_engine.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace {

using quell::model::collect_profiles;
using quell::model::profile_set;

profile_set profiles_of(fake_engine& engine, const quell::model::collect_options& options = {}) {
    auto all = collect_profiles(engine.lend(), options);
    EXPECT_TRUE(all) << all.error().message;
    return *std::move(all);
}

/// The message of what has to fail.
std::string refusal_of(const quell::model::engine& lent) {
    const auto all = collect_profiles(lent, {});
    return all ? "" : all.error().message;
}

TEST(CollectProfiles, GivesEveryInputWhatACollectorOfItsOwnSees) {
    fake_engine engine;
    const profile_set all = profiles_of(engine, {.window = 16});
    EXPECT_EQ(all.inputs.size(), engine.graph.inputs.size());
    EXPECT_EQ(all.tokens(), 40U);
    (void)engine.run(engine.float_linears(), {}, [&](std::size_t input, quell::matrix_view<const float> x) {
        quell::outliers::profile_collector expected({.window = 16});
        expected.add(x);
        const auto& seen = all.inputs.at(engine.graph.inputs[input].name);
        EXPECT_TRUE(std::ranges::equal(seen.absmax.per_channel(), expected.profile().absmax.per_channel()));
        EXPECT_EQ(seen.magnitude.norms(), expected.profile().magnitude.norms());
        EXPECT_EQ(seen.spikes.sequences(), 3U);
        EXPECT_EQ(seen.spikes.sum(), expected.profile().spikes.sum());
    });
}

TEST(CollectProfiles, DoesNotDependOnThreads) {
    fake_engine engine;
    const profile_set serial = profiles_of(engine);
    quell::thread_pool pool(3);
    const profile_set parallel = profiles_of(engine, {.threads = pool});
    for (const auto& [name, profile] : serial.inputs) {
        EXPECT_EQ(profile.magnitude.norms(), parallel.inputs.at(name).magnitude.norms());
        EXPECT_EQ(profile.moments.channel(5).m4, parallel.inputs.at(name).moments.channel(5).m4);
    }
}

TEST(CollectProfiles, ReportsHowFarItIs) {
    fake_engine engine;
    std::vector<std::string> items;
    (void)profiles_of(engine,
                      {.progress =
                           [&](std::string_view stage, std::string_view item, std::size_t done, std::size_t total) {
                               EXPECT_EQ(stage, "collect");
                               EXPECT_EQ(done, 40U);
                               EXPECT_EQ(total, 80U);
                               items.emplace_back(item);
                           },
                       .tokens = 80});
    ASSERT_EQ(items.size(), engine.graph.inputs.size());
    EXPECT_EQ(items.front(), engine.graph.inputs.front().name);
}

TEST(CollectProfiles, NamesTheInputAndTheChannelThatIsNotFinite) {
    fake_engine engine;
    quell::model::engine lent = engine.lend();
    lent.calibrate = [&](const quell::model::input_observer& see) -> quell::result<void> {
        quell::matrix<float> x = random_matrix(4, fake_engine::width, 1);
        for (std::size_t i = 0; i < engine.graph.inputs.size(); ++i) {
            x(2, 17) = i == 1 ? std::numeric_limits<float>::infinity() : 1.0F;
            see(i, x.view());
        }
        return {};
    };
    const std::string expected = "blk.0.o_in: activations of channel 17 are not all finite numbers";
    EXPECT_EQ(refusal_of(lent), expected);
    lent.calibrate = [show = lent.calibrate](const quell::model::input_observer& see) -> quell::result<void> {
        (void)show(see);
        return quell::error{quell::errc::bad_value, "an engine that notices"};
    };
    EXPECT_EQ(refusal_of(lent), expected);
}

TEST(CollectProfiles, RefusesEnginesThatShowNothingOrSomethingElse) {
    fake_engine engine;
    quell::model::engine lent = engine.lend();
    lent.calibrate = [](const quell::model::input_observer& see) -> quell::result<void> {
        see(0, random_matrix(4, 7, 1).view());
        return {};
    };
    EXPECT_EQ(refusal_of(lent), "blk.0.attn_in: calibration rows of 7 values, the input carries 48");
    lent.calibrate = [](const quell::model::input_observer& see) -> quell::result<void> {
        see(0, random_matrix(4, fake_engine::width, 1).view());
        return {};
    };
    EXPECT_EQ(refusal_of(lent), "blk.0.o_in: the calibration showed no rows of it");
    lent.calibrate = [](const quell::model::input_observer&) -> quell::result<void> {
        return quell::error{quell::errc::io_failed, "the text is gone"};
    };
    EXPECT_EQ(refusal_of(lent), "the text is gone");
    lent.calibrate = {};
    EXPECT_EQ(refusal_of(lent), "there is no calibration data");
}

TEST(MergeProfiles, AddsUpAndNamesBothSources) {
    fake_engine engine;
    profile_set all = profiles_of(engine, {.window = 8});
    all.model = "m";
    all.text = "a";
    profile_set more = profiles_of(engine, {.window = 8});
    more.model = "m";
    more.text = "b";
    ASSERT_TRUE(merge(all, more));
    EXPECT_EQ(all.tokens(), 80U);
    EXPECT_EQ(all.model, "m");
    EXPECT_EQ(all.text, "a + b");
    EXPECT_EQ(all.inputs.begin()->second.spikes.sequences(), 10U);
}

TEST(MergeProfiles, RefusesWhatDoesNotFitAndChangesNothing) {
    fake_engine engine;
    const profile_set whole = profiles_of(engine);
    const auto refusal = [&](auto&& change) {
        profile_set all = whole;
        profile_set other = whole;
        change(other);
        const auto merged = merge(all, other);
        EXPECT_EQ(all.tokens(), 40U);
        return merged ? std::string() : merged.error().message;
    };
    EXPECT_EQ(refusal([](profile_set& other) { other.window = 64; }), "windows of 64 tokens, not 512");
    EXPECT_EQ(refusal([](profile_set& other) { other.inputs.erase("blk.1.o_in"); }), "the input blk.1.o_in is missing");
    EXPECT_EQ(refusal([](profile_set& other) { other.inputs["x"] = {}; }), "the input x is not one of the other model");
    EXPECT_EQ(refusal([](profile_set& other) { other.inputs["blk.1.o_in"].magnitude = {}; }),
              "blk.1.o_in: the number of channels is 0, not 48");
    EXPECT_EQ(
        refusal([](profile_set& other) { other.inputs["blk.1.o_in"].massive = quell::outliers::massive_tokens(7.0F); }),
        "blk.1.o_in: the threshold of massive tokens is 7.000000, not 20.000000");
    EXPECT_EQ(refusal([](profile_set& other) {
                  other.inputs["blk.1.o_in"].absmax = {profile_set::most_tokens, std::vector<float>(48)};
              }),
              "blk.1.o_in: more than 2^40 tokens");
}

}  // namespace
