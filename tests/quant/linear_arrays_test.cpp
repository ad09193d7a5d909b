// SPDX-License-Identifier: MIT
#include "quell/quant/linear_arrays.hpp"

#include "quell/quant/recipe_linear.hpp"
#include "quell/quant/recipes.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace {

using quell::errc;

/// One linear of each kind, [24, 40] with a bias, the integer one with a channel scale.
quell::quant::linear linear_of(const char* recipe) {
    const quell::matrix<float> w = random_matrix(24, 40, 1);
    const quell::matrix<float> bias = random_matrix(1, 24, 2);
    const quell::matrix<float> inputs = random_matrix(30, 40, 3);
    auto made = quell::quant::make_linear(*quell::quant::find_recipe(recipe), w.view(), bias.elements(), inputs.view());
    EXPECT_TRUE(made) << made.error().message;
    return *std::move(made);
}

std::vector<float> outputs_of(const quell::quant::linear& layer) {
    const quell::matrix<float> x = random_matrix(5, 40, 4);
    quell::matrix<float> y(5, 24);
    quell::buffer<std::byte> workspace(quell::quant::workspace_bytes(layer, 5));
    quell::quant::forward(layer, x.view(), y.view(), workspace);
    return {y.elements().begin(), y.elements().end()};
}

TEST(LinearArrays, ComeTogetherAgainWithoutACopyOfTheWeight) {
    for (const char* recipe :
         {"fp32", "rtn-w8a8", "rtn-w4a8-g32", "rtn-w4a4", "static-w8a8", "smoothquant-w8a8", "hybrid-w4a4-rtn"}) {
        const quell::quant::linear layer = linear_of(recipe);
        const quell::quant::linear_arrays arrays = quell::quant::arrays_of(layer);
        const auto mapped = quell::quant::map_linear(arrays);
        ASSERT_TRUE(mapped) << recipe << ": " << mapped.error().message;
        EXPECT_EQ(outputs_of(*mapped), outputs_of(layer)) << recipe;
        const quell::quant::linear_arrays again = quell::quant::arrays_of(*mapped);
        EXPECT_EQ(again.weight.data(), arrays.weight.data()) << recipe;
        EXPECT_EQ(again.activations, arrays.activations) << recipe;
        EXPECT_EQ(again.rotation, arrays.rotation) << recipe;
        const bool smooths = std::string(recipe) == "smoothquant-w8a8" || std::string(recipe) == "hybrid-w4a4-rtn";
        EXPECT_EQ(again.channel_scale.size(), smooths ? 40U : 0U);
    }
}

TEST(LinearArrays, KeepFloatColumns) {
    const quell::matrix<float> w = random_matrix(24, 36, 1);
    auto packed = quell::packing::pack(*quell::rounding::rtn{}.solve(w.view(), {.bits = 4}));
    const quell::matrix<float> columns = random_matrix(24, 4, 5);
    const quell::quant::linear layer = *quell::quant::quantized_linear::make(*std::move(packed), {.bits = 4}, {}, {},
                                                                             quell::packing::pack_f32(columns.view()));
    const auto mapped = quell::quant::map_linear(quell::quant::arrays_of(layer));
    ASSERT_TRUE(mapped) << mapped.error().message;
    EXPECT_EQ(outputs_of(*mapped), outputs_of(layer));
    quell::quant::linear_arrays damaged = quell::quant::arrays_of(layer);
    damaged.float_columns = damaged.float_columns.first(100);
    EXPECT_FALSE(quell::quant::map_linear(damaged));
}

TEST(LinearArrays, AreRefusedWhereTheyContradictEachOther) {
    const quell::quant::linear whole = linear_of("fp32");
    const quell::quant::linear integers = linear_of("rtn-w8a8");
    const std::vector<float> scale(40, 1.0F);
    const auto message = [](quell::quant::linear_arrays arrays, auto change) {
        change(arrays);
        const auto mapped = quell::quant::map_linear(arrays);
        return mapped ? std::string("mapped") : mapped.error().message;
    };
    const auto of_float = quell::quant::arrays_of(whole);
    const auto of_integers = quell::quant::arrays_of(integers);
    EXPECT_EQ(message(of_float, [](auto& a) { a.activations.bits = 8; }), "a weight in float takes float activations");
    EXPECT_EQ(message(of_float, [&](auto& a) { a.channel_scale = std::span(scale).first(39); }),
              "channel scale has 39 entries, the weight asks for 40");
    EXPECT_EQ(message(of_integers, [](auto& a) { a.activations = {.bits = 32}; }),
              "integer weights need activations of 4, 8 or 16 bits");
    EXPECT_EQ(message(of_integers, [](auto& a) { a.activations.bits = 5; }),
              "activations of 5 bits (4, 7, 8, 16 and 32 exist)");
    EXPECT_EQ(message(of_integers, [&](auto& a) { a.channel_scale = std::span(scale).first(39); }),
              "channel scale has 39 entries, the weight asks for 40");
    EXPECT_EQ(message(of_float, [](auto& a) { a.bias = a.bias.first(3); }),
              "bias has 3 entries, the weight asks for 24");
    EXPECT_EQ(message(of_integers, [](auto& a) { a.weight = a.weight.first(a.weight.size() - 64); }).substr(0, 13),
              "packed weight");
    EXPECT_EQ(message(of_integers, [](auto& a) { a.weight = {}; }), "packed weight of 0 bytes has no header");
}

TEST(LinearArrays, NameTheNumberThatIsNotFinite) {
    const quell::quant::linear layer = linear_of("fp32");
    const quell::quant::linear_arrays arrays = quell::quant::arrays_of(layer);
    std::vector<float> bias(24, 0.0F);
    bias[7] = std::numeric_limits<float>::infinity();
    const auto refused = quell::quant::map_linear({.weight = arrays.weight, .bias = bias});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "bias, entry 7: inf");

    quell::matrix<float> w = random_matrix(24, 40, 1);
    w(20, 3) = std::numeric_limits<float>::quiet_NaN();
    const auto packed = quell::packing::pack_f32(w.view());
    const auto hostile = quell::quant::map_linear({.weight = packed.blob()});
    ASSERT_FALSE(hostile);
    EXPECT_EQ(hostile.error().message, "row 20, column 3 is NaN, not a finite number");
}

}  // namespace
