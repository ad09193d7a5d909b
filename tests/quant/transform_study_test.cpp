// SPDX-License-Identifier: MIT
#include "quell/quant/transform_study.hpp"

#include "quell/core/thread_pool.hpp"
#include "reference/layer_error.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <vector>

namespace {

using namespace quell;
using namespace quell::quant;

constexpr std::size_t study_width = 512;
constexpr std::size_t study_rows = 64;

/// Three channels thirty times as large in every token.
matrix<float> systematic_outliers(std::uint64_t seed = 11) {
    matrix<float> x = random_matrix(study_rows, study_width, seed, 0.3);
    for (std::size_t r = 0; r < x.rows(); ++r) {
        for (const std::size_t c : {17U, 200U, 431U}) {
            x(r, c) *= 30.0F;
        }
    }
    return x;
}

/// One token with two values far beyond all others.
matrix<float> massive_token(std::uint64_t seed = 12) {
    matrix<float> x = random_matrix(study_rows, study_width, seed, 0.3);
    x(5, 100) += 1000.0F;
    x(5, 300) -= 600.0F;
    return x;
}

transform_effects study_one(const matrix<float>& x, const matrix<float>& w, const executor& threads = {}) {
    const std::array weights = {w.view()};
    auto effects = study_transforms({.x = x.view(), .absmax = nullptr, .weights = weights}, {}, threads);
    EXPECT_TRUE(effects);
    return *std::move(effects);
}

/// A row of the paper's table: E, D(X), D(W), max |X|.
using study_row = std::array<double, 4>;
using study_table = std::array<study_row, 4>;

/// The mean over some draws: the error of a single massive token hangs on how its few values happen to round.
study_table mean_study(matrix<float> (*draw)(std::uint64_t)) {
    constexpr std::uint64_t draws = 16;
    study_table mean{};
    for (std::uint64_t seed = 0; seed < draws; ++seed) {
        const auto effects = study_one(draw(100 + seed), random_matrix(64, study_width, 200 + seed, 0.02));
        for (std::size_t t = 0; t < mean.size(); ++t) {
            const study_row row = {effects[t].error(), effects[t].difficulty.deviation,
                                   effects[t].weights[0].difficulty.deviation, static_cast<double>(effects[t].largest)};
            for (std::size_t i = 0; i < row.size(); ++i) {
                mean[t][i] += row[i] / static_cast<double>(draws);
            }
        }
    }
    return mean;
}

void expect_like(const study_table& found, const study_table& published) {
    for (std::size_t t = 0; t < found.size(); ++t) {
        for (std::size_t i = 0; i < found[t].size(); ++i) {
            EXPECT_GT(found[t][i], published[t][i] / 1.5) << name_of(input_transforms[t]) << ", column " << i;
            EXPECT_LT(found[t][i], published[t][i] * 1.5) << name_of(input_transforms[t]) << ", column " << i;
        }
    }
}

double error_in(const study_table& table, input_transform t) {
    return table[static_cast<std::size_t>(t)][0];
}

// The published rows are those of another implementation on one draw of the same kind and size.
TEST(TransformStudy, SystematicOutliersGiveTheOrderOfThePaper) {
    const study_table found = mean_study(systematic_outliers);
    expect_like(found, {{{75.3, 5.27, 0.0138, 29.3},
                         {18.7, 0.210, 0.233, 1.16},
                         {11.8, 0.410, 0.0143, 3.09},
                         {3.77, 0.061, 0.059, 0.342}}});
    using enum input_transform;
    EXPECT_LT(error_in(found, smooth_rotate), error_in(found, rotate));
    EXPECT_LT(error_in(found, rotate), error_in(found, smooth));
    EXPECT_LT(error_in(found, smooth), error_in(found, none));
}

TEST(TransformStudy, RotationAloneDoesNotHelpAgainstAMassiveToken) {
    const study_table found = mean_study(massive_token);
    expect_like(found, {{{651.0, 51.4, 0.0138, 1000.0},
                         {101.0, 0.386, 1.14, 7.30},
                         {747.0, 26.5, 0.0143, 71.6},
                         {13.8, 0.132, 0.106, 0.821}}});
    using enum input_transform;
    EXPECT_LT(error_in(found, smooth_rotate), error_in(found, smooth));
    EXPECT_LT(error_in(found, smooth), error_in(found, none));
    EXPECT_GT(error_in(found, rotate), error_in(found, none));
}

reference::table studied_table(const matrix<float>& m) {
    reference::table rows;
    for (std::size_t r = 0; r < m.rows(); ++r) {
        rows.emplace_back(m.row(r).begin(), m.row(r).end());
    }
    return rows;
}

TEST(TransformStudy, EqualsTheOracle) {
    const matrix<float> w = random_matrix(24, study_width, 23, 0.02);
    for (const matrix<float>& x : {systematic_outliers(), massive_token()}) {
        const auto effects = study_one(x, w);
        for (const transform_effect& effect : effects) {
            const bool smooth =
                effect.transform == input_transform::smooth || effect.transform == input_transform::smooth_rotate;
            const bool rotate =
                effect.transform == input_transform::rotate || effect.transform == input_transform::smooth_rotate;
            const reference::studied expected =
                reference::study(studied_table(x), studied_table(w), smooth, rotate, 0.5);
            EXPECT_NEAR(effect.error(), expected.error.squares, 2e-3 * expected.error.squares);
            EXPECT_NEAR(effect.weights[0].error.per_token, expected.error.per_token, 2e-3 * expected.error.per_token);
            EXPECT_NEAR(effect.difficulty.deviation, expected.activation_difficulty,
                        1e-5 * expected.activation_difficulty);
            EXPECT_NEAR(effect.weights[0].difficulty.deviation, expected.weight_difficulty,
                        1e-5 * expected.weight_difficulty);
            EXPECT_NEAR(static_cast<double>(effect.largest), expected.largest, 1e-5 * expected.largest);
        }
    }
}

TEST(TransformStudy, SmoothsAllWeightsThatReadTheInputTogether) {
    const matrix<float> x = planted_activations(20, 48, 1, {3}, 40.0F);
    const matrix<float> a = random_matrix(8, 48, 2);
    const matrix<float> b = random_matrix(16, 48, 3, 5.0);
    const std::array weights = {a.view(), b.view()};
    const auto effects = study_transforms({.x = x.view(), .absmax = nullptr, .weights = weights});
    ASSERT_TRUE(effects);
    matrix<float> both(24, 48);
    std::copy(a.elements().begin(), a.elements().end(), both.elements().begin());
    std::copy(b.elements().begin(), b.elements().end(), both.elements().subspan(a.elements().size()).begin());
    const auto as_one = study_one(x, both);
    for (std::size_t t = 0; t < as_one.size(); ++t) {
        EXPECT_EQ((*effects)[t].weights.size(), 2U);
        EXPECT_EQ((*effects)[t].activation_magnitudes, as_one[t].activation_magnitudes);
        for (std::size_t c = 0; c < 48; ++c) {
            EXPECT_NEAR((*effects)[t].weight_magnitudes[c], as_one[t].weight_magnitudes[c], 1e-9);
        }
        EXPECT_NEAR((*effects)[t].error(), as_one[t].error(), 1e-9 * as_one[t].error());
    }
}

TEST(TransformStudy, SortsChannelsAndKeepsTheOrderOfTokens) {
    const matrix<float> x = massive_token();
    const auto effects = study_one(x, random_matrix(8, study_width, 5));
    for (const transform_effect& effect : effects) {
        EXPECT_TRUE(
            std::is_sorted(effect.activation_magnitudes.begin(), effect.activation_magnitudes.end(), std::greater<>()));
        ASSERT_EQ(effect.token_maxima.size(), study_rows);
        EXPECT_EQ(std::max_element(effect.token_maxima.begin(), effect.token_maxima.end()),
                  effect.token_maxima.begin() + 5);
    }
}

TEST(TransformStudy, TakesTheMaximaOfAllTokensWhereTheyAreGiven) {
    const matrix<float> x = random_matrix(10, 32, 6);
    const matrix<float> w = random_matrix(6, 32, 7);
    matrix<float> rest = random_matrix(10, 32, 60);
    rest(0, 4) = 10000.0F;  // 100 after the root: the channel becomes small
    stats::absmax absmax;
    absmax.add(x.view());
    absmax.add(rest.view());
    const std::array weights = {w.view()};
    const auto effects = study_transforms({.x = x.view(), .absmax = &absmax, .weights = weights});
    ASSERT_TRUE(effects);
    const auto sampled = study_one(x, w);
    EXPECT_LT((*effects)[1].activation_magnitudes.back(), 0.1 * sampled[1].activation_magnitudes.back());
}

TEST(TransformStudy, DoesNotDependOnThreads) {
    const matrix<float> x = systematic_outliers();
    const matrix<float> w = random_matrix(40, study_width, 8);
    thread_pool pool(3);
    const auto serial = study_one(x, w);
    const auto parallel = study_one(x, w, pool);
    for (std::size_t t = 0; t < serial.size(); ++t) {
        EXPECT_EQ(serial[t].error(), parallel[t].error());
        EXPECT_EQ(serial[t].weight_magnitudes, parallel[t].weight_magnitudes);
    }
}

TEST(TransformStudy, DeadChannelsAndOneTokenAreFine) {
    matrix<float> x(1, 32);
    x(0, 3) = 2.0F;
    matrix<float> w = random_matrix(4, 32, 9);
    const auto effects = study_one(x, w);
    for (const transform_effect& effect : effects) {
        EXPECT_TRUE(std::isfinite(effect.error()));
        EXPECT_TRUE(std::isfinite(effect.difficulty.deviation));
    }
}

TEST(TransformStudy, NamesWhatIsNotFinite) {
    matrix<float> x = random_matrix(2, 8, 1);
    x(0, 7) = std::numeric_limits<float>::infinity();
    const matrix<float> w = random_matrix(3, 8, 2);
    const std::array weights = {w.view()};
    const auto effects = study_transforms({.x = x.view(), .absmax = nullptr, .weights = weights});
    ASSERT_FALSE(effects);
    EXPECT_EQ(effects.error().message, "activations: row 0, column 7 is infinity, not a finite number");
}

}  // namespace
