// SPDX-License-Identifier: MIT
#include "quell/core/two_level.hpp"

#include "quell/core/types.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

TEST(ScaleUnit, IsAPowerOfTwoThatF16Holds) {
    for (float largest = 1e-12F; largest < 1e9F; largest *= 1.37F) {
        const float unit = quell::scale_unit(largest);
        EXPECT_EQ(std::ldexp(1.0F, std::ilogb(unit)), unit);
        EXPECT_EQ(quell::to_f32(quell::to_f16(unit)), unit);
        if (largest >= 0x1p-17F && largest < 0x1p16F) {
            EXPECT_GE(largest / unit, 128.0F);
            EXPECT_LT(largest / unit, 256.0F);
        }
    }
}

TEST(ScaleUnit, IsToldByTheScalesOfTheRow) {
    const float unit = quell::scale_unit(0.37F);
    for (int steps = 1; steps <= quell::most_scale_steps; ++steps) {
        const float largest = quell::scale_in_units(static_cast<float>(steps) * unit, unit);
        EXPECT_EQ(largest, static_cast<float>(steps) * unit);
        const float told = quell::scale_unit(largest);
        EXPECT_LE(told, unit);
        EXPECT_EQ(quell::scale_in_units(largest, told), largest);
    }
    EXPECT_EQ(quell::scale_in_units(0.0F, unit), unit) << "a scale is never 0";
    EXPECT_EQ(quell::scale_in_units(1.0F, unit), 255.0F * unit);
}

TEST(ZeroSteps, CoverTheCodes) {
    for (const int bits : {2, 3, 4, 5, 8}) {
        const quell::zero_steps steps = quell::zero_steps_of(bits);
        for (int i = 0; i < 256; ++i) {
            EXPECT_EQ(steps.nearest(steps.value(i)), i) << bits;
            EXPECT_EQ(quell::to_f32(quell::to_f16(steps.value(i))), steps.value(i));
        }
        EXPECT_EQ(steps.value(0), bits == 8 ? -128.0F : 0.0F);
        EXPECT_EQ(steps.value(255) + steps.step, bits == 8 ? 128.0F : std::ldexp(1.0F, bits));
    }
}

}  // namespace
