// SPDX-License-Identifier: MIT
#include "quell/model/prefix_search.hpp"

#include "quell/core/rng.hpp"
#include "reference/spikes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace quell;
using namespace quell::model;

/// An engine whose inputs are made up from the ids: at input 1 the token `trigger` is massive the first time that it
/// follows `context`, and at input 2 the first token of all, with its neighbour where it is not `start`. Input 0 is
/// plain.
class spiky_engine {
public:
    static constexpr std::int32_t start = 1;
    static constexpr std::int32_t context = 7;
    static constexpr std::int32_t trigger = 9;
    static constexpr std::int32_t vocabulary = 12;
    static constexpr std::size_t channels = 6;

    spiky_engine() {
        for (const char* name : {"a", "b", "c"}) {
            engine_.graph.inputs.push_back({.name = name, .features = channels});
        }
        for (std::size_t s = 0; s < 4; ++s) {
            engine_.graph.sites.push_back(
                {.name = std::to_string(s), .out_features = 4, .in_features = channels, .input = s % 3});
        }
        engine_.probe = [this](token_ids prefix, token_ids ids, const input_observer& see) -> result<void> {
            ++probes;
            const auto shown = show({prefix.begin(), prefix.end()}, {ids.begin(), ids.end()});
            for (std::size_t i = 0; i < shown.size(); ++i) {
                matrix<float> x(ids.size(), channels);
                for (std::size_t t = 0; t < ids.size(); ++t) {
                    std::copy(shown[i][t].begin(), shown[i][t].end(), x.row(t).begin());
                }
                see(i, x.view());
            }
            return {};
        };
    }

    static std::vector<reference::rows> show(const reference::ids& prefix, const reference::ids& text) {
        reference::ids all = prefix;
        all.insert(all.end(), text.begin(), text.end());
        std::vector<reference::rows> shown(3, reference::rows(text.size(), std::vector<float>(channels)));
        bool is_spent = false;
        for (std::size_t t = 0; t < all.size(); ++t) {
            const bool spikes = t > 0 && all[t] == trigger && all[t - 1] == context && !is_spent;
            is_spent = is_spent || spikes;
            const bool first = t == 0 || (t == 1 && all[0] != start);
            for (std::size_t c = 0; t >= prefix.size() && c < channels; ++c) {
                rng random(1000 * static_cast<std::uint64_t>(all[t]) + c);
                const auto plain = static_cast<float>(random.normal());
                shown[0][t - prefix.size()][c] = plain;
                shown[1][t - prefix.size()][c] = spikes && c == 2 ? 900.0F : plain;
                shown[2][t - prefix.size()][c] = first && c == 4 ? -80.0F : plain;
            }
        }
        return shown;
    }

    [[nodiscard]] const model::engine& lend() const { return engine_; }
    std::size_t probes = 0;

private:
    model::engine engine_;
};

/// Every window holds the pair once, somewhere.
std::vector<std::int32_t> spiky_text(std::size_t windows, std::size_t window) {
    rng random(3);
    std::vector<std::int32_t> ids;
    for (std::size_t w = 0; w < windows; ++w) {
        const std::size_t pair = 1 + random.below(window - 2);
        for (std::size_t t = 0; t < window; ++t) {
            ids.push_back(t == pair       ? spiky_engine::context
                          : t == pair + 1 ? spiky_engine::trigger
                                          : 2 + static_cast<std::int32_t>(random.below(5)));
        }
    }
    return ids;
}

const prefix_options searching{
    .starts = {spiky_engine::start}, .window = 32, .contexts = 6, .judged_tokens = 64, .most_tokens = 5};

TEST(PrefixSearch, FindsTheTokensThatDrawTheSpikesToThemselves) {
    const spiky_engine engine;
    const auto found = find_prefix(engine.lend(), spiky_text(4, 32), searching);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->input, 1U);
    EXPECT_GT(found->spike_ratio, 100.0);
    EXPECT_EQ(found->prefix,
              (std::vector<std::int32_t>{spiky_engine::start, spiky_engine::context, spiky_engine::trigger}));
    const auto& judged = found->judged;
    const auto best = std::find_if(judged.begin(), judged.end(), [&](const auto& p) { return p.ids == found->prefix; });
    EXPECT_GT(best->first_over_second, 100.0);
    EXPECT_TRUE(judged.front().ids.empty());
    EXPECT_LT(best->cost, 0.05 * judged.front().cost);
}

TEST(PrefixSearch, AgreesWithItsOracle) {
    const spiky_engine engine;
    const auto ids = spiky_text(3, 32);
    for (const std::size_t contexts : {std::size_t{2}, std::size_t{6}}) {
        prefix_options how = searching;
        how.contexts = contexts;  // with two the pair is not among those tried
        how.starts = {spiky_engine::start, 0};
        const auto found = find_prefix(engine.lend(), ids, how);
        ASSERT_TRUE(found);
        std::vector<std::size_t> inputs;
        for (const site& s : engine.lend().graph.sites) {
            inputs.push_back(s.input);
        }
        const auto wanted = reference::prefix_oracle(&spiky_engine::show, ids,
                                                     {.starts = how.starts,
                                                      .window = how.window,
                                                      .triggers = how.triggers,
                                                      .largest = how.largest,
                                                      .contexts = contexts,
                                                      .judged_windows = 2,
                                                      .most_tokens = how.most_tokens,
                                                      .least_gain = how.least_gain,
                                                      .input_of_site = inputs})
                                .answer();
        EXPECT_EQ(found->prefix, wanted.prefix) << contexts;
        EXPECT_EQ(found->judged.size(), wanted.costs.size());
        for (const judged_prefix& p : found->judged) {
            ASSERT_TRUE(wanted.costs.contains(p.ids));
            EXPECT_NEAR(p.cost, wanted.costs.at(p.ids), 1e-9);
        }
    }
}

TEST(PrefixSearch, WantsNoPrefixWhereNothingSpikes) {
    model::engine plain = spiky_engine().lend();
    plain.probe = [](token_ids, token_ids ids, const input_observer& see) -> result<void> {
        const matrix<float> x = [&] {
            matrix<float> ones(ids.size(), spiky_engine::channels);
            std::fill(ones.elements().begin(), ones.elements().end(), 1.0F);
            return ones;
        }();
        for (std::size_t i = 0; i < 3; ++i) {
            see(i, x.view());
        }
        return {};
    };
    const auto found = find_prefix(plain, spiky_text(2, 32), searching);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->spike_ratio, 1.0);
    EXPECT_TRUE(found->prefix.empty());
}

TEST(PrefixSearch, LeavesSmallSpikesAlone) {
    const spiky_engine engine;
    prefix_options how = searching;
    how.least_ratio = 1e4;
    const auto found = find_prefix(engine.lend(), spiky_text(2, 32), how);
    ASSERT_TRUE(found);
    EXPECT_GT(found->spike_ratio, 100.0);
    EXPECT_TRUE(found->prefix.empty());
    EXPECT_EQ(found->judged.size(), 1U);
}

TEST(PrefixSearch, PassesOnWhatTheEngineSays) {
    const spiky_engine engine;
    EXPECT_EQ(find_prefix(engine.lend(), {}, searching).error().code, errc::not_found);
    model::engine broken = engine.lend();
    broken.probe = [](token_ids, token_ids, const input_observer&) -> result<void> {
        return error{errc::bad_value, "no"};
    };
    EXPECT_EQ(find_prefix(broken, spiky_text(1, 32), searching).error().message, "no");
}

TEST(StaticCost, IsTheShareOfEachTokensEnergyAndAtMostAll) {
    static_cost cost;
    matrix<float> x(3, 2);
    x(0, 0) = 127.0F * 12.0F;  // scale 12: noise 2 * 12 * 12 / 12 = 24
    x(1, 0) = 8.0F;            // of 64 + 36: 0.24
    x(1, 1) = 6.0F;
    x(2, 1) = 1.0F;  // all of it
    cost.add(x.view().block(0, 0, 1, 2));
    cost.add(x.view().block(1, 0, 2, 2));
    const double of_first = 24.0 / (127.0 * 12.0 * 127.0 * 12.0);
    EXPECT_NEAR(cost.mean_loss(), (of_first + 0.24 + 1.0) / 3.0, 1e-12);
    EXPECT_NEAR(cost.mean_loss(), reference::static_cost({{x(0, 0), 0.0F}, {8.0F, 6.0F}, {0.0F, 1.0F}}), 1e-12);
    EXPECT_EQ(static_cost().mean_loss(), 0.0);
    static_cost dead;
    dead.add(matrix<float>(4, 2).view());
    EXPECT_EQ(dead.mean_loss(), 0.0);
}

}  // namespace
