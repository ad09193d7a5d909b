// SPDX-License-Identifier: MIT
#include "quell/transforms/activation_scale.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace {

TEST(ActivationScales, AreThePowerOfTheMagnitudes) {
    const std::vector<double> magnitudes = {0.25, 4.0, 1.0};
    const quell::buffer<float> scales = quell::transforms::activation_scales(magnitudes, 0.5);
    EXPECT_FLOAT_EQ(scales[0], 0.5F);
    EXPECT_FLOAT_EQ(scales[1], 2.0F);
    EXPECT_FLOAT_EQ(scales[2], 1.0F);
}

TEST(ActivationScales, AreOneAtExponentZero) {
    for (const float s : quell::transforms::activation_scales(std::vector<double>{0.0, 1e-9, 3.0, 1e9}, 0.0)) {
        EXPECT_EQ(s, 1.0F);
    }
}

TEST(ActivationScales, ClampWhatIsNextToNothingAndLeaveDeadChannels) {
    const std::vector<double> magnitudes = {0.0, 1e-30, 1.0, 100.0};
    const quell::buffer<float> scales = quell::transforms::activation_scales(magnitudes, 0.5);
    const double norm = std::sqrt(1e-4 * 10.0);
    EXPECT_EQ(scales[0], 1.0F);
    EXPECT_FLOAT_EQ(scales[1], static_cast<float>(1e-4 / norm));
    EXPECT_FLOAT_EQ(scales[3], static_cast<float>(10.0 / norm));
    EXPECT_TRUE(quell::transforms::activation_scales({}, 0.5).empty());
}

}  // namespace
