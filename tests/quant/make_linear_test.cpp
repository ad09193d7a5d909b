// SPDX-License-Identifier: MIT
#include "quell/quant/make_linear.hpp"

#include "quell/quant/linear_arrays.hpp"
#include "quell/quant/recipe_linear.hpp"
#include "quell/quant/recipes.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <variant>

namespace {

using namespace quell;
using namespace quell::quant;

using plain_rounding = quantizer<no_stats, no_detector, no_transform, rounding::rtn, panels>;
using smoothed_rounding = quantizer<stats::absmax, no_detector, smooth, rounding::rtn, panels>;

void expect_same(const linear& a, const quantized_linear& b) {
    const auto& expected = std::get<quantized_linear>(a);
    const auto blob = expected.packed().blob();
    ASSERT_EQ(blob.size(), b.packed().blob().size());
    EXPECT_TRUE(std::equal(blob.begin(), blob.end(), b.packed().blob().begin()));
    EXPECT_EQ(expected.activations().static_scale, b.activations().static_scale);
    EXPECT_TRUE(std::ranges::equal(expected.online().scale, b.online().scale));
}

TEST(MakeLinearByType, EqualsTheRecipeOfTheSamePolicies) {
    const matrix<float> w = random_matrix(48, 160, 1);
    const matrix<float> x = planted_activations(64, 160, 2, {5, 100}, 80.0F);
    const linear_form rows{.weights = {.bits = 8, .reach = granularity::channel}};
    const auto rounded = make_linear(plain_rounding{}, rows, w.view());
    ASSERT_TRUE(rounded);
    expect_same(*make_linear(*find_recipe("rtn-w8a8"), w.view()), *rounded);
    const auto smoothed = make_linear(smoothed_rounding{.transform = {.alpha = 0.5F}}, rows, w.view(), {}, x.view());
    ASSERT_TRUE(smoothed);
    EXPECT_FALSE(smoothed->online().scale.empty());
    expect_same(*make_linear(*find_recipe("smoothquant-w8a8", {.alpha = 0.5F}), w.view(), {}, x.view()), *smoothed);
    const linear_form fixed{.weights = rows.weights, .activations = {.reach = granularity::tensor}};
    using measured_rounding = quantizer<stats::absmax, no_detector, no_transform, rounding::rtn, panels>;
    const auto still = make_linear(measured_rounding{}, fixed, w.view(), {}, x.view());
    ASSERT_TRUE(still);
    expect_same(*make_linear(*find_recipe("static-w8a8"), w.view(), {}, x.view()), *still);
}

TEST(MakeLinearByType, GivesASolverTheGramMatrixItNeeds) {
    using compensated = quantizer<no_stats, no_detector, no_transform, rounding::gptq, panels>;
    const matrix<float> w = random_matrix(48, 160, 1);
    const matrix<float> x = planted_activations(300, 160, 2, {5, 100}, 10.0F);
    const linear_form form{.weights = {.bits = 4, .reach = granularity::channel}};
    const auto layer = make_linear(compensated{}, form, w.view(), {}, x.view());
    ASSERT_TRUE(layer) << layer.error().message;
    stats::gram seen;
    seen.add(x.view());
    const matrix<double> gram = seen.sum();
    const auto direct = compensated{}.round(w.view(), form.weights, {.gram = gram.view()});
    ASSERT_TRUE(direct);
    EXPECT_TRUE(std::ranges::equal(layer->packed().blob(), direct->blob()));
    EXPECT_EQ(make_linear(compensated{}, form, w.view()).error().message, "the composition needs rows of inputs");
}

TEST(MakeLinearByType, SaysWhatTheCompositionLacks) {
    const matrix<float> w = random_matrix(8, 16, 1);
    const linear_form rows{.weights = {.bits = 8, .reach = granularity::channel}};
    const auto blind = make_linear(smoothed_rounding{}, rows, w.view());
    EXPECT_EQ(blind.error().code, errc::not_found);
    EXPECT_EQ(blind.error().message, "the composition needs rows of inputs");
    const linear_form fixed{.weights = rows.weights, .activations = {.reach = granularity::tensor}};
    const auto unmeasured = make_linear(plain_rounding{}, fixed, w.view(), {}, w.view());
    EXPECT_EQ(unmeasured.error().code, errc::unsupported);
    EXPECT_EQ(unmeasured.error().message, "static activation scales need a composition that collects absmax");
}

TEST(FindStatistic, LooksIntoSetsAndSingleCollectors) {
    stats::absmax alone;
    EXPECT_EQ(find_statistic<stats::absmax>(alone), &alone);
    EXPECT_EQ(find_statistic<stats::absmax>(no_stats{}), nullptr);
    any_stats set;
    EXPECT_EQ(find_statistic<stats::absmax>(set), nullptr);
    set.select<stats::absmax>();
    EXPECT_NE(find_statistic<stats::absmax>(set), nullptr);
    EXPECT_EQ(find_statistic<no_stats>(set), nullptr);
}

}  // namespace
