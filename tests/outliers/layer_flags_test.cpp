// SPDX-License-Identifier: MIT
#include "quell/outliers/layer_flags.hpp"

#include "quell/core/rng.hpp"
#include "reference/outliers.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <vector>

namespace {

using quell::outliers::layer_flags;
using quell::outliers::score_step;

using layers = std::vector<std::size_t>;

/// Published scores of Llama-2-7B: the kurtosis of attention outputs and of gates, the sensitivity of down projections
/// at 4 bits in groups of 64.
const std::vector<double> output_kurtosis = {
    39.61, 26.7,  7.172, 6.739, 5.994, 5.159, 7.088, 5.348, 6.008, 4.903, 4.063, 6.151, 4.434, 4.475, 4.391, 3.962,
    3.962, 4.402, 4.205, 4.217, 6.21,  4.177, 12.73, 3.977, 6.398, 3.414, 5.405, 3.856, 3.816, 4.135, 3.989, 38.92};
const std::vector<double> gate_kurtosis = {4.269, 6.28,  3.253, 3.269, 3.366, 3.313, 3.356, 3.385, 3.392, 3.464, 3.659,
                                           3.579, 3.523, 3.493, 3.516, 3.496, 3.472, 3.38,  3.364, 3.306, 3.241, 3.225,
                                           3.2,   3.152, 3.16,  3.214, 3.259, 3.357, 3.412, 3.605, 8.49,  3.597};
const std::vector<double> down_sensitivity = {
    1.116e-06, 0.01109,   5.078e-06, 9.163e-06, 2.32e-05,  2.445e-05, 3.689e-05, 4.95e-05,
    6.068e-05, 6.981e-05, 8.063e-05, 9.218e-05, 0.0001052, 0.000129,  0.0001528, 0.0001922,
    0.0002809, 0.0002922, 0.0003534, 0.0003977, 0.0004814, 0.0004839, 0.0005397, 0.0005732,
    0.0005941, 0.0006421, 0.0006941, 0.0008032, 0.00102,   0.001443,  0.006204,  0.01146};

constexpr layer_flags by_ratio{.step = score_step::ratio};

TEST(LayerFlags, FindThePublishedLayers) {
    EXPECT_EQ(layer_flags{}.detect(output_kurtosis), (layers{31, 2, 1}));
    EXPECT_EQ(layer_flags{}.detect(gate_kurtosis), (layers{30, 31, 2}));
    EXPECT_EQ(by_ratio.detect(down_sensitivity), (layers{1, 30}));
}

TEST(LayerFlags, KeepTheFirstOfThem) {
    EXPECT_EQ((layer_flags{.most = 2}.detect(output_kurtosis)), (layers{31, 2}));
    EXPECT_EQ((layer_flags{.most = 2}.detect(gate_kurtosis)), (layers{30, 31}));
    EXPECT_EQ((layer_flags{.step = score_step::ratio, .most = 2}.detect(down_sensitivity)), (layers{1, 30}));
    EXPECT_EQ((layer_flags{.most = 1}.detect(gate_kurtosis)), layers{30});
    EXPECT_EQ((layer_flags{.most = 9}.detect(gate_kurtosis)), (layers{30, 31, 2}));
}

TEST(LayerFlags, AgreeWithTheOracle) {
    quell::rng r(7);
    for (const std::size_t n : {4U, 12U, 32U, 40U, 80U}) {
        for (int trial = 0; trial < 50; ++trial) {
            std::vector<double> scores(n);
            for (double& s : scores) {
                s = r.uniform(1.0, 2.0);
            }
            scores[r.below(n)] *= 8.0;
            EXPECT_EQ(layer_flags{}.detect(scores), reference::layer_flags(scores, false));
            EXPECT_EQ(by_ratio.detect(scores), reference::layer_flags(scores, true));
        }
    }
}

TEST(LayerFlags, RisesAloneLeaveOutTheReturnToNormal) {
    EXPECT_EQ((layer_flags{.only_rises = true}.detect(output_kurtosis)), layers{31});
    EXPECT_EQ((layer_flags{.only_rises = true}.detect(gate_kurtosis)), layers{30});
    EXPECT_EQ((layer_flags{.step = score_step::ratio, .only_rises = true}.detect(down_sensitivity)), (layers{1, 30}));
}

TEST(LayerFlags, TheFirstLayerTakesPartWhereItIsAsked) {
    EXPECT_EQ((layer_flags{.only_rises = true, .include_first = true}.detect(output_kurtosis)), (layers{0, 31}));
    EXPECT_EQ((layer_flags{.include_first = true}.detect(output_kurtosis)), (layers{0, 31, 2, 1}));
    EXPECT_EQ((layer_flags{.include_first = true}.detect(gate_kurtosis)), (layers{30, 31, 2}));
}

TEST(LayerFlags, DoNotDependOnTheScale) {
    std::vector<double> scaled = gate_kurtosis;
    for (double& s : scaled) {
        s *= 1024.0;
    }
    EXPECT_EQ(layer_flags{}.detect(scaled), (layers{30, 31, 2}));
}

TEST(LayerFlags, FindNothingWhereNothingVaries) {
    EXPECT_TRUE(layer_flags{}.detect(std::vector<double>{}).empty());
    EXPECT_TRUE(layer_flags{}.detect(std::vector<double>{4.0}).empty());
    EXPECT_TRUE(layer_flags{}.detect(std::vector<double>(32, 4.0)).empty());
    EXPECT_TRUE(by_ratio.detect(std::vector<double>(32, 0.0)).empty());
    std::vector<double> broken = gate_kurtosis;
    broken[5] = std::numeric_limits<double>::quiet_NaN();
    EXPECT_TRUE(layer_flags{}.detect(broken).empty());
}

TEST(LayerFlags, AScoreOfZeroIsTheSmallestOther) {
    std::vector<double> scores = down_sensitivity;
    scores[0] = 0.0;
    std::vector<double> same = down_sensitivity;
    same[0] = 5.078e-06;  // the smallest of the others
    EXPECT_EQ(by_ratio.detect(scores), by_ratio.detect(same));
    EXPECT_FALSE(by_ratio.detect(scores).empty());
}

}  // namespace
