// SPDX-License-Identifier: MIT
#include "quell/quant/layer_error.hpp"

#include "quell/core/thread_pool.hpp"
#include "reference/layer_error.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace {

using namespace quell;
using namespace quell::quant;

reference::table table_of(const matrix<float>& m) {
    reference::table rows;
    for (std::size_t r = 0; r < m.rows(); ++r) {
        rows.emplace_back(m.row(r).begin(), m.row(r).end());
    }
    return rows;
}

TEST(LayerError, EqualsTheOracle) {
    const matrix<float> x = planted_activations(19, 72, 1, {5, 60}, 20.0F);
    const matrix<float> w = random_matrix(33, 72, 2, 0.1);
    for (const int activation_bits : {4, 8}) {
        for (const int weight_bits : {2, 3, 4, 8}) {
            for (const float clip : {1.0F, 0.9F}) {
                const auto error = layer_error(
                    x.view(), w.view(),
                    {.activation_bits = activation_bits, .weight_bits = weight_bits, .activation_clip = clip});
                ASSERT_TRUE(error);
                const auto expected = reference::layer_error(
                    reference::multiply(table_of(x), table_of(w)),
                    reference::multiply(reference::rounded_activations(table_of(x), activation_bits, clip),
                                        reference::rounded_weight(table_of(w), weight_bits)));
                EXPECT_NEAR(error->squares, expected.squares, 1e-3 * expected.squares);
                EXPECT_NEAR(error->energy, expected.energy, 1e-5 * expected.energy);
                EXPECT_NEAR(error->per_token, expected.per_token, 1e-3 * expected.per_token);
                EXPECT_DOUBLE_EQ(error->relative(), error->squares / error->energy);
            }
        }
    }
}

TEST(LayerError, IsZeroForWhatTheCodesHold) {
    matrix<float> x(3, 32);
    matrix<float> w(5, 32);
    for (std::size_t c = 0; c < 32; ++c) {
        x(0, c) = static_cast<float>(c % 15) - 7.0F;
        x(1, c) = x(0, c) / 4.0F;
        w(2, c) = static_cast<float>(c % 8) * 0.5F;  // the largest is 7 steps of a half
    }
    const auto error = layer_error(x.view(), w.view());
    ASSERT_TRUE(error);
    EXPECT_EQ(error->squares, 0.0);
    EXPECT_EQ(error->relative(), 0.0);
    EXPECT_EQ(error->per_token, 0.0);
    EXPECT_GT(error->energy, 0.0);
}

TEST(LayerError, CountsEveryTokenAlike) {
    matrix<float> exact(3, 1);
    matrix<float> rounded(3, 1);
    exact(0, 0) = 1000.0F;
    rounded(0, 0) = 990.0F;
    exact(1, 0) = 1.0F;
    rounded(1, 0) = 0.5F;  // row 2 has no output: it is left out
    const output_error error = compare_outputs(exact.view(), rounded.view());
    EXPECT_DOUBLE_EQ(error.squares, 100.25);
    EXPECT_DOUBLE_EQ(error.per_token, (1e-4 + 0.25) / 2.0);
    EXPECT_EQ(compare_outputs({}, {}).per_token, 0.0);
}

TEST(LayerError, DoesNotDependOnThreads) {
    const matrix<float> x = random_matrix(50, 64, 3);
    const matrix<float> w = random_matrix(70, 64, 4);
    thread_pool pool(3);
    const auto serial = layer_error(x.view(), w.view());
    const auto parallel = layer_error(x.view(), w.view(), {}, pool);
    ASSERT_TRUE(serial && parallel);
    EXPECT_EQ(serial->squares, parallel->squares);
    EXPECT_EQ(serial->per_token, parallel->per_token);
}

TEST(LayerError, NamesWhatIsWrong) {
    const matrix<float> w = random_matrix(4, 8, 5);
    matrix<float> x = random_matrix(2, 8, 6);
    EXPECT_EQ(layer_error(x.view(), w.view(), {.weight_bits = 9}).error().code, errc::unsupported);
    EXPECT_EQ(layer_error(x.view(), w.view(), {.activation_bits = 5}).error().code, errc::unsupported);
    x(1, 3) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(layer_error(x.view(), w.view()).error().message,
              "activations: row 1, column 3 is NaN, not a finite number");
}

}  // namespace
