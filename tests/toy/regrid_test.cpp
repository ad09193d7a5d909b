// SPDX-License-Identifier: MIT
#include "toy/regrid.hpp"

#include "quell/rounding/rtn.hpp"
#include "toy/corpus.hpp"
#include "toy/embedded.hpp"
#include "transformer/load.hpp"
#include "transformer/session.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace {

quell::matrix<float> logits_on_builtin_text(const transformer::model& m) {
    const std::string text = toy::text(toy::evaluation_seed, 256);
    const std::vector<std::int32_t> ids(text.begin(), text.end());
    quell::matrix<float> logits(ids.size(), m.shape.vocab);
    transformer::session run(m, {}, ids.size());
    EXPECT_TRUE(run.prefill(ids));
    run.logits(run.hidden(), logits.view());
    return logits;
}

TEST(Regrid, LeavesTheFunctionAndMovesEveryLinear) {
    for (const std::string name : {"toy", "toy-gelu"}) {
        const auto base = transformer::load_bytes(toy::weights(name), name, {});
        ASSERT_TRUE(base);
        const auto moved = toy::regrid(base->network, 1);
        ASSERT_TRUE(moved);
        const quell::matrix<float> before = logits_on_builtin_text(base->network);
        const quell::matrix<float> after = logits_on_builtin_text(*moved);
        double largest = 0.0;
        double difference = 0.0;
        for (std::size_t i = 0; i < before.elements().size(); ++i) {
            largest = std::max(largest, std::abs(double{before.elements()[i]}));
            difference = std::max(difference, std::abs(double{before.elements()[i]} - double{after.elements()[i]}));
        }
        EXPECT_LT(difference, 1e-5 * largest) << name;
        for (std::size_t l = 0; l < moved->blocks.size(); ++l) {
            std::vector<quell::matrix<float>> old;
            transformer::for_each_linear(base->network.blocks[l], [&](const quell::quant::linear& linear) {
                old.push_back(quell::quant::weight(linear));
            });
            std::size_t at = 0;
            transformer::for_each_linear(moved->blocks[l], [&](const quell::quant::linear& linear) {
                const quell::matrix<float> now = quell::quant::weight(linear);
                std::size_t kept = 0;
                for (std::size_t i = 0; i < now.elements().size(); ++i) {
                    const float ratio = now.elements()[i] / old[at].elements()[i];
                    kept += now.elements()[i] == old[at].elements()[i] ? 1U : 0U;
                    EXPECT_TRUE(old[at].elements()[i] == 0.0F || (ratio > 0.49F && ratio < 2.01F));
                }
                const bool reads_gelu = !moved->blocks[l].gate && at + 1 == old.size();  // no scale passes that
                EXPECT_LT(kept, now.elements().size() / 10 + (reads_gelu ? now.elements().size() : 0))
                    << name << ", block " << l << ", linear " << at;
                ++at;
            });
        }
    }
}

TEST(Regrid, DependsOnItsSeedAlone) {
    const auto base = transformer::load_bytes(toy::weights("toy"), "toy", {});
    ASSERT_TRUE(base);
    const auto down_of = [&](std::uint64_t seed) {
        const auto moved = toy::regrid(base->network, seed);
        EXPECT_TRUE(moved);
        return quell::quant::weight(moved->blocks.front().down);
    };
    const quell::matrix<float> first = down_of(1);
    const quell::matrix<float> again = down_of(1);
    const quell::matrix<float> other = down_of(2);
    EXPECT_TRUE(std::equal(first.elements().begin(), first.elements().end(), again.elements().begin()));
    EXPECT_FALSE(std::equal(first.elements().begin(), first.elements().end(), other.elements().begin()));
}

TEST(Regrid, RefusesAQuantizedModel) {
    auto base = transformer::load_bytes(toy::weights("toy"), "toy", {});
    ASSERT_TRUE(base);
    quell::quant::linear& q = base->network.blocks.front().q;
    const auto codes = quell::rounding::rtn{}.solve(quell::quant::weight(q).view(), {.bits = 8});
    ASSERT_TRUE(codes);
    q = *quell::quant::quantized_linear::make(*quell::packing::pack(*codes), {});
    const auto moved = toy::regrid(base->network, 1);
    ASSERT_FALSE(moved);
    EXPECT_EQ(moved.error().code, quell::errc::unsupported);
}

}  // namespace
