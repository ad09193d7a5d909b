// SPDX-License-Identifier: MIT
#include "quell/alloc/boost_ladder.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>

namespace {

using quell::alloc::boost_ladder;
using quell::alloc::boosted;
using quell::alloc::rung_named;

TEST(BoostLadder, ClimbsAndIsNamedByItsBits) {
    double before = 0.0;
    for (const quell::alloc::rung& r : boost_ladder) {
        char text[16];
        std::snprintf(text, sizeof text, "%.2f", r.bits_per_parameter());
        EXPECT_EQ(std::string(text), r.label);
        EXPECT_GT(r.bits_per_parameter(), before);
        before = r.bits_per_parameter();
    }
    EXPECT_DOUBLE_EQ(boost_ladder[0].bits_per_parameter(), 2.0 + 0.125 + 0.001953125);
    EXPECT_EQ(rung_named("4.2"), std::nullopt);
    EXPECT_EQ(rung_named("4.25"), std::optional<std::size_t>(7));
}

TEST(BoostLadder, BoostsAsThePaperDoes) {
    const auto label = [](const char* base, std::size_t stop) {
        return boost_ladder[boosted(*rung_named(base), stop)].label;
    };
    EXPECT_EQ(label("4.13", 2), "4.51");
    EXPECT_EQ(label("4.25", 2), "8.13");
    EXPECT_EQ(label("8.25", 2), "8.51");  // the top is the end
    EXPECT_EQ(label("8.51", 3), "8.51");
    EXPECT_EQ(label("3.13", 0), "3.13");
}

}  // namespace
