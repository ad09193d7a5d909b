// SPDX-License-Identifier: MIT
#include "transformer/byte_pairs.hpp"

#include "quell/core/rng.hpp"
#include "reference/byte_pairs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

using transformer::byte_pairs;

TEST(BytePairs, MergesLikeTheDefinition) {
    quell::rng random(1);
    for (int round = 0; round < 500; ++round) {
        const std::size_t letters = 1 + random.below(4);
        std::vector<std::array<std::int32_t, 3>> rules;
        byte_pairs pairs;
        for (std::int32_t next = static_cast<std::int32_t>(letters); next < 20; ++next) {
            const auto left = static_cast<std::int32_t>(random.below(static_cast<std::size_t>(next)));
            const auto right = static_cast<std::int32_t>(random.below(static_cast<std::size_t>(next)));
            const bool known =
                std::any_of(rules.begin(), rules.end(), [&](const auto& r) { return r[0] == left && r[1] == right; });
            if (!known) {
                ASSERT_TRUE(pairs.add(left, right, next));
                rules.push_back({left, right, next});
            }
        }
        std::vector<std::int32_t> ids(random.below(40));
        for (std::int32_t& id : ids) {
            id = static_cast<std::int32_t>(random.below(letters));
        }
        const std::vector<std::int32_t> expected = reference::merge_byte_pairs(ids, rules);
        pairs.merge(ids);
        ASSERT_EQ(ids, expected) << "round " << round;
    }
}

TEST(BytePairs, JoinsTheLeftmostOfEqualRanks) {
    byte_pairs pairs;
    pairs.add(0, 0, 1);
    std::vector<std::int32_t> ids{0, 0, 0};
    pairs.merge(ids);
    EXPECT_EQ(ids, (std::vector<std::int32_t>{1, 0}));
}

TEST(BytePairs, RefusesASecondRuleForAPair) {
    byte_pairs pairs;
    EXPECT_TRUE(pairs.add(0, 1, 2));
    EXPECT_FALSE(pairs.add(0, 1, 3));
}

TEST(BytePairs, MergesAMillionEqualBytesInOnePiece) {
    byte_pairs pairs;
    for (std::int32_t level = 0; level < 20; ++level) {
        pairs.add(level, level, level + 1);
    }
    std::vector<std::int32_t> ids(std::size_t{1} << 20U, 0);
    pairs.merge(ids);
    EXPECT_EQ(ids, (std::vector<std::int32_t>{20}));
}
