// SPDX-License-Identifier: MIT
#include "quell/core/types.hpp"

#include "reference/small_float.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace {

using quell::bf16;
using quell::f16;

constexpr std::uint32_t halves = 0x10000;

bool is_nan(f16 v) {
    return (v.bits & 0x7fffU) > 0x7c00U;
}

bool is_nan(bf16 v) {
    return (v.bits & 0x7fffU) > 0x7f80U;
}

/// The floats whose upper 16 bits are `high`, at and around the places where rounding changes its mind.
std::array<float, 12> around(std::uint32_t high) {
    constexpr std::array<std::uint32_t, 12> low = {0x0000, 0x0001, 0x0fff, 0x1000, 0x1001, 0x2000,
                                                   0x3000, 0x7fff, 0x8000, 0x8001, 0xf000, 0xffff};
    std::array<float, 12> values{};
    for (std::size_t i = 0; i < low.size(); ++i) {
        values[i] = std::bit_cast<float>(high << 16U | low[i]);
    }
    return values;
}

TEST(Types, EveryHalfHasTheValueOfItsDefinition) {
    for (std::uint32_t bits = 0; bits < halves; ++bits) {
        const auto pattern = static_cast<std::uint16_t>(bits);
        const double expected = reference::value_of_bits(reference::half, pattern);
        const float value = quell::to_f32(f16{pattern});
        ASSERT_TRUE(std::isnan(expected) ? std::isnan(value) : value == expected) << "bits " << bits;
        ASSERT_EQ(std::signbit(value), (bits & 0x8000U) != 0) << "bits " << bits;
    }
}

TEST(Types, EveryBrainFloatHasTheValueOfItsDefinition) {
    for (std::uint32_t bits = 0; bits < halves; ++bits) {
        const auto pattern = static_cast<std::uint16_t>(bits);
        const double expected = reference::value_of_bits(reference::brain, pattern);
        const float value = quell::to_f32(bf16{pattern});
        ASSERT_TRUE(std::isnan(expected) ? std::isnan(value) : value == expected) << "bits " << bits;
    }
}

TEST(Types, EveryHalfSurvivesTheRoundTripThroughFloat) {
    for (std::uint32_t bits = 0; bits < halves; ++bits) {
        const f16 half{static_cast<std::uint16_t>(bits)};
        const std::uint32_t quiet = is_nan(half) ? 0x0200U : 0U;
        ASSERT_EQ(quell::to_f16(quell::to_f32(half)).bits, bits | quiet);
    }
}

TEST(Types, EveryBrainFloatSurvivesTheRoundTripThroughFloat) {
    for (std::uint32_t bits = 0; bits < halves; ++bits) {
        const bf16 brain{static_cast<std::uint16_t>(bits)};
        const std::uint32_t quiet = is_nan(brain) ? 0x0040U : 0U;
        ASSERT_EQ(quell::to_bf16(quell::to_f32(brain)).bits, bits | quiet);
    }
}

TEST(Types, RoundsToTheNearestHalf) {
    for (std::uint32_t high = 0; high < halves; ++high) {
        for (const float v : around(high)) {
            const f16 half = quell::to_f16(v);
            if (std::isnan(v)) {
                ASSERT_TRUE(is_nan(half)) << "bits " << std::bit_cast<std::uint32_t>(v);
                continue;
            }
            ASSERT_EQ(quell::to_f32(half), reference::rounded(reference::half, v)) << v;
            ASSERT_EQ(half.bits >> 15U, std::signbit(v) ? 1 : 0) << v;
        }
    }
}

TEST(Types, RoundsToTheNearestBrainFloat) {
    for (std::uint32_t high = 0; high < halves; ++high) {
        for (const float v : around(high)) {
            const bf16 brain = quell::to_bf16(v);
            if (std::isnan(v)) {
                ASSERT_TRUE(is_nan(brain)) << "bits " << std::bit_cast<std::uint32_t>(v);
                continue;
            }
            ASSERT_EQ(quell::to_f32(brain), reference::rounded(reference::brain, v)) << v;
            ASSERT_EQ(brain.bits >> 15U, std::signbit(v) ? 1 : 0) << v;
        }
    }
}

TEST(Types, TiesBetweenHalvesGoToTheEvenOne) {
    for (std::uint16_t bits = 0; bits < 0x7bffU; ++bits) {
        const float below = quell::to_f32(f16{bits});
        const float above = quell::to_f32(f16{static_cast<std::uint16_t>(bits + 1U)});
        const float middle = (below + above) / 2.0F;
        const std::uint16_t even = bits + (bits & 1U);
        ASSERT_EQ(quell::to_f16(middle).bits, even);
        ASSERT_EQ(quell::to_f16(std::nextafter(middle, 0.0F)).bits, bits);
        ASSERT_EQ(quell::to_f16(std::nextafter(middle, HUGE_VALF)).bits, bits + 1U);
        ASSERT_EQ(quell::to_f16(-middle).bits, even | 0x8000U);
    }
}

TEST(Types, HalvesOverflowToInfinityFromTheMiddleOfTheNextStep) {
    EXPECT_EQ(quell::to_f16(65504.0F).bits, 0x7bff);
    EXPECT_EQ(quell::to_f16(std::nextafter(65520.0F, 0.0F)).bits, 0x7bff);
    EXPECT_EQ(quell::to_f16(65520.0F).bits, 0x7c00);
    EXPECT_EQ(quell::to_f16(65536.0F).bits, 0x7c00);
    EXPECT_EQ(quell::to_f16(-1e30F).bits, 0xfc00);
    EXPECT_EQ(quell::to_f16(std::numeric_limits<float>::infinity()).bits, 0x7c00);
    EXPECT_EQ(quell::to_bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
}

TEST(Types, TracksSizesOfBlocks) {
    EXPECT_EQ(quell::traits(quell::dtype::f16).bytes, 2U);
    EXPECT_EQ(quell::traits(quell::dtype::q4_1).elems, 32U);
    EXPECT_EQ(quell::traits(quell::dtype::q4_1).bytes, 20U);
    EXPECT_EQ(quell::traits(quell::dtype::q6_k).bytes, 210U);
    EXPECT_EQ(quell::traits(quell::dtype::boolean).name, "BOOL");
}

}  // namespace
