// SPDX-License-Identifier: MIT
#include "quell/rounding/activation_clip.hpp"

#include "quell/core/matrix.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"
#include "reference/activation_clip.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace {

using quell::matrix;
using quell::rounding::activation_clip;
namespace rounding = quell::rounding;

matrix<float> activations(std::size_t rows, std::size_t cols) {
    matrix<float> x(rows, cols);
    quell::rng random(3);
    for (std::size_t r = 0; r < rows; ++r) {
        const double scale = r % 6 == 5 ? 0.0 : r % 6 == 4 ? 500.0 : 1.0;
        for (float& v : x.row(r)) {
            v = static_cast<float>(random.normal() * scale);
        }
    }
    return x;
}

std::vector<std::vector<float>> rows_of(const matrix<float>& x) {
    std::vector<std::vector<float>> rows;
    for (std::size_t r = 0; r < x.rows(); ++r) {
        rows.emplace_back(x.row(r).begin(), x.row(r).end());
    }
    return rows;
}

TEST(ActivationClip, MatchesTheOracle) {
    const matrix<float> x = activations(24, 200);
    for (const int bits : {4, 8}) {
        activation_clip clip({.bits = bits});
        clip.add(x.view());
        const std::vector<double> errors = clip.errors();
        ASSERT_EQ(errors.size(), 26U);
        for (std::size_t i = 0; i < errors.size(); ++i) {
            const double expected = reference::activation_clip_error(rows_of(x), bits, clip.ratio(i));
            EXPECT_NEAR(errors[i], expected, 1e-4 * expected) << bits << " bits, ratio " << clip.ratio(i);
        }
    }
}

TEST(ActivationClip, ClipsBellShapedRowsAtFewBitsOnly) {
    const matrix<float> x = activations(64, 576);
    EXPECT_LT(rounding::find_activation_clip(x.view(), 4), 0.95F);
    EXPECT_GE(rounding::find_activation_clip(x.view(), 8), 0.9F);
}

TEST(ActivationClip, KeepsTheRangeOfRowsWithOneMassiveValue) {
    matrix<float> x = activations(16, 576);
    for (std::size_t r = 0; r < x.rows(); ++r) {
        x(r, 7) = 1e5F;
    }
    EXPECT_EQ(rounding::find_activation_clip(x.view(), 8), 1.0F);
}

TEST(ActivationClip, IsOneWithoutData) {
    EXPECT_EQ(activation_clip{}.best(), 1.0F);
    EXPECT_EQ(rounding::find_activation_clip(matrix<float>(3, 40).view(), 4), 1.0F);
    EXPECT_EQ(rounding::find_activation_clip({}, 4), 1.0F);
}

TEST(ActivationClip, MergesHalvesIntoTheWhole) {
    const matrix<float> x = activations(50, 96);
    activation_clip whole({.bits = 4});
    activation_clip first({.bits = 4});
    activation_clip second({.bits = 4});
    whole.add(x.view());
    first.add(x.view().block(0, 0, 20, 96));
    second.add(x.view().block(20, 0, 30, 96));
    first.merge(second);
    EXPECT_EQ(first.count(), whole.count());
    EXPECT_EQ(first.best(), whole.best());
    for (std::size_t i = 0; i < whole.errors().size(); ++i) {
        EXPECT_NEAR(first.errors()[i], whole.errors()[i], 1e-13 * whole.errors()[i]);
    }
}

TEST(ActivationClip, DoesNotDependOnBatchesOrThreads) {
    const matrix<float> x = activations(50, 96);
    quell::thread_pool pool(3);
    activation_clip whole({.bits = 4});
    activation_clip batched({.bits = 4});
    whole.add(x.view(), pool);
    batched.add(x.view().block(0, 0, 7, 96));
    batched.add(x.view().block(7, 0, 43, 96));
    EXPECT_EQ(batched.errors(), whole.errors());
}

}  // namespace
