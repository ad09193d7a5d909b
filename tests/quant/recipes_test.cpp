// SPDX-License-Identifier: MIT
#include "quell/quant/recipes.hpp"

#include "quell/quant/recipe_linear.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace quell;
using namespace quell::quant;

TEST(Recipes, AreFoundByName) {
    const std::vector<std::string_view> names = recipe_names();
    EXPECT_GE(names.size(), 17U);
    for (const std::string_view name : names) {
        const auto found = find_recipe(name);
        ASSERT_TRUE(found) << name;
        EXPECT_EQ(found->name, name);
        EXPECT_EQ(found->is_float(), name == "fp32");
        bool needs_none = false;
        for (const char* family : {"fp32", "dynamic", "rtn", "absmax", "hqq", "mxq", "kurtboost"}) {
            needs_none = needs_none || name.starts_with(family);
        }
        EXPECT_EQ(found->needs_calibration(), !needs_none) << name;
    }
}

TEST(Recipes, UnknownNamesListTheKnown) {
    const auto missing = find_recipe("rtn-w5a8");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, errc::not_found);
    std::string known = "unknown recipe 'rtn-w5a8'; known are fp32";
    for (const std::string_view name : recipe_names()) {
        known += name == "fp32" ? std::string() : ", " + std::string(name);
    }
    EXPECT_EQ(missing.error().message, known);
    EXPECT_FALSE(find_recipe(""));
    EXPECT_FALSE(find_recipe("fp32 "));
}

TEST(Recipes, ThatSpreadBitsAreReadFromTheirNames) {
    const auto rule = [](const char* name) { return find_recipe(name)->allocation; };
    EXPECT_EQ(*rule("sensiboost-4.25-s3-m1"),
              (allocation_rule{.goal = allocation_goal::boost_sensitive, .base = 7, .stop = 3, .most = 1}));
    EXPECT_EQ(rule("kurtboost-3.13-s2-m0")->goal, allocation_goal::boost_heavy_tails);
    EXPECT_EQ(rule("randomboost-3.13-s2-m2-r5")->seed, 5U);
    EXPECT_EQ(*rule("mxq-3.5"), (allocation_rule{.goal = allocation_goal::weight_errors, .bits = 3.5}));
    EXPECT_EQ(find_recipe("kurtboost-3.13-s2-m0")->weights, find_recipe("hqq-w3-g128")->weights);
    for (const char* wrong :
         {"mxq-", "mxq-3.2.1", "mxq-0.5", "mxq-3 ", "mxq-1e1", "sensiboost-3.2-s2-m2", "sensiboost-3.13-s2",
          "sensiboost-3.13-s2-m2-r1", "randomboost-3.13-s2-m2", "kurtboost-3.13-s-1-m2", "kurtboost-3.13-s2-m2 "}) {
        EXPECT_FALSE(find_recipe(wrong)) << wrong;
    }
    EXPECT_FALSE(find_recipe("kurtboost-3.13-s2-m2")->needs_calibration());
    EXPECT_TRUE(find_recipe("sensiboost-3.13-s2-m2")->needs_calibration());
}

TEST(Recipes, ThoseWithGptqHaveTwoVariants) {
    EXPECT_TRUE(find_recipe("hybrid-w4a4")->solver.needs_gram());
    EXPECT_TRUE(find_recipe("hybrid-w4a4-gptq")->solver.needs_gram());
    const auto nearest = find_recipe("hybrid-w4a4-rtn");
    ASSERT_TRUE(nearest);
    EXPECT_EQ(nearest->name, "hybrid-w4a4-rtn");
    EXPECT_EQ(nearest->solver.name(), "rtn");
    EXPECT_FALSE(find_recipe("rtn-w8a8-gptq"));
    EXPECT_FALSE(find_recipe("hybrid-w4a4-awq"));
    EXPECT_FALSE(find_recipe("-rtn"));
}

TEST(Recipes, AnyCanBeGuardedAgainstSpikes) {
    for (const char* base : {"static-w8a8", "smoothquant-static-w8a8", "hybrid-w4a4-rtn", "rtn-w4a8-g64"}) {
        for (const char* front : {"qfem-", "qfep-", "qfem-qfep-"}) {
            const auto found = find_recipe(std::string(front) + base);
            ASSERT_TRUE(found) << front << base;
            const auto plain = find_recipe(base);
            EXPECT_EQ(found->exempts_spikes, std::string_view(front).starts_with("qfem")) << front;
            EXPECT_EQ(found->finds_prefix, std::string_view(front).ends_with("qfep-")) << front;
            EXPECT_EQ(found->activations, plain->activations);
            EXPECT_EQ(found->solver.name(), plain->solver.name());
            EXPECT_TRUE(found->needs_calibration());
            EXPECT_FALSE(plain->exempts_spikes || plain->finds_prefix);
        }
    }
    EXPECT_FALSE(find_recipe("qfem-"));
    EXPECT_FALSE(find_recipe("qfem-fp32"));
    EXPECT_FALSE(find_recipe("qfep-qfem-static-w8a8"));
    EXPECT_FALSE(find_recipe("qfep-quad-w4a4-tuned"));  // no backward pass behind a prefix
    EXPECT_FALSE(find_recipe("qfep-static-w8a8-qat"));
}

TEST(Recipes, EndingsSayWhatLearnsAfterwards) {
    for (const std::string base : {"squeeze10", "gptq-w2a8-g64", "auto-2.8", "squeeze10-propagated"}) {
        EXPECT_EQ(find_recipe(base)->tuning, tuning_rule{});
        EXPECT_EQ(find_recipe(base + "-tuned")->tuning, default_tuning);
        EXPECT_EQ(find_recipe(base + "-qat")->tuning, default_training);
        EXPECT_TRUE(find_recipe(base + "-qat")->needs_calibration());
        EXPECT_EQ(find_recipe(base + "-qat")->solver.name(), find_recipe(base)->solver.name());
    }
    for (const char* name :
         {"fp32-qat", "-qat", "squeeze10-qat-qat", "squeeze10-qat-tuned", "squeeze10-qat-propagated"}) {
        EXPECT_FALSE(find_recipe(name)) << name;
    }
}

TEST(Recipes, FamiliesSayBitsGroupAndActivations) {
    for (const std::string family : {"rtn", "hqq", "awq", "imatrix", "gptq", "gptq-fit"}) {
        for (const int bits : {2, 3, 4, 8}) {
            for (const std::size_t group : {32U, 64U, 128U}) {
                const std::string tail = "-g" + std::to_string(group);
                const std::string head = family + "-w" + std::to_string(bits);
                const auto weights_only = find_recipe(head + tail);
                const auto with_activations = find_recipe(head + "a8" + tail);
                ASSERT_TRUE(weights_only && with_activations) << head << tail;
                EXPECT_EQ(weights_only->name, head + tail);
                EXPECT_EQ(weights_only->weights.bits, bits);
                EXPECT_EQ(weights_only->weights.group, group);
                EXPECT_EQ(weights_only->activations.bits, 16);
                EXPECT_EQ(with_activations->weights, weights_only->weights);
                EXPECT_EQ(with_activations->activations, activation_scheme{});
                EXPECT_EQ(weights_only->solver.name(), family == "gptq-fit" ? "gptq" : family);
            }
        }
    }
    for (const char* other : {"hqq-w5-g64", "hqq-w4-g48", "hqq-w4a4-g64", "hqq-w4", "hqq-w4-g64 ", "-w4-g64"}) {
        EXPECT_FALSE(find_recipe(other)) << other;
    }
    EXPECT_EQ(find_recipe("gptq-w4-g64-rtn")->solver.name(), "rtn");
    EXPECT_FALSE(find_recipe("gptq-fit-w4-g64-rtn")) << "rounding to nearest has no real zeros";
    EXPECT_FALSE(find_recipe("awq-w4-g64-rtn"));
}

TEST(Recipes, OfSqueeze10SayHowColumnsAreChosen) {
    EXPECT_EQ(find_recipe("squeeze10")->weights.group, 64U);
    EXPECT_EQ(find_recipe("squeeze10")->activations, activation_scheme{});
    const auto other = find_recipe("squeeze10-hessian-g32-weights");
    ASSERT_TRUE(other);
    EXPECT_EQ(other->weights.group, 32U);
    EXPECT_EQ(other->activations.bits, 16);
    EXPECT_EQ(std::get<rounding::staged>(other->solver.policy).by, rounding::salience::hessian);
    EXPECT_EQ(std::get<rounding::staged>(find_recipe("squeeze10-two-stage")->solver.policy).first,
              rounding::first_stage::gptq);
    for (const char* wrong : {"squeeze10-", "squeeze10-g48", "squeeze10-weights-g32", "squeeze10-pbar"}) {
        EXPECT_FALSE(find_recipe(wrong)) << wrong;
    }
}

TEST(Recipes, OfPbLlmSayHowManyPercentTheyKeep) {
    for (const int percent : {1, 10, 30, 99}) {
        const auto found = find_recipe("pb-llm-" + std::to_string(percent));
        ASSERT_TRUE(found) << percent;
        EXPECT_DOUBLE_EQ(std::get<rounding::masked_binary>(found->solver.policy).share, percent / 100.0);
        EXPECT_TRUE(found->activations.is_float());
    }
    for (const char* other :
         {"pb-llm", "pb-llm-", "pb-llm-0", "pb-llm-05", "pb-llm-100", "pb-llm-1.5", "squeeze10-rtn"}) {
        EXPECT_FALSE(find_recipe(other)) << other;
    }
}

TEST(Recipes, TakeAlpha) {
    const auto found = find_recipe("smoothquant-w8a8", {.alpha = 0.85F});
    ASSERT_TRUE(found);
    EXPECT_EQ(std::get<smooth>(found->transforms.at(0).transforms.at(0).policy).alpha, 0.85F);
    const auto looking = find_recipe("smoothquant-w8a8");
    EXPECT_EQ(looking->transforms.at(0).transforms.size(), 7U);  // scales by energy, by maxima, and none
    EXPECT_TRUE(looking->needs_calibration());
    EXPECT_EQ(find_recipe("smoothquant-static-w8a8")->transforms.at(0).transforms.size(), 1U);
    EXPECT_TRUE(looking->activations.zero_point);
    EXPECT_EQ(find_recipe("smoothquant-w4a4")->transforms.at(0).transforms.size(), 1U);
    EXPECT_EQ(find_recipe("smoothquant-w4a4")->transforms.at(0).inputs, input_choice::all);
    EXPECT_EQ(find_recipe("smoothquant-w8a8", {.alpha = 1.5F}).error().code, errc::bad_value);
    EXPECT_EQ(find_recipe("smoothquant-w8a8", {.alpha = NAN}).error().code, errc::bad_value);
}

transforms::rotation reach_of(const any_transform& one) {
    return std::visit(
        [](const auto& policy) {
            if constexpr (requires { policy.reach; }) {
                return policy.reach;
            } else {
                return transforms::rotation::none;
            }
        },
        one.policy);
}

TEST(Recipes, TakeTheReachOfRotations) {
    for (const char* name : {"quarot-w4a4", "smoothrot-w4a4", "hybrid-w4a4", "auto-transform-w4a4", "quad-w4a4"}) {
        const auto found = find_recipe(name, {.reach = transforms::rotation::blocks});
        for (const input_rule& rule : found->transforms) {
            for (const any_transform& one : rule.transforms) {
                EXPECT_EQ(reach_of(one), one.rotates() ? transforms::rotation::blocks : transforms::rotation::none)
                    << name;
            }
        }
    }
}

double output_error(const recipe& how, const matrix<float>& w, const matrix<float>& x) {
    const auto layer = make_linear(how, w.view(), {}, x.view());
    EXPECT_TRUE(layer) << how.name << ": " << layer.error().message;
    const linear exact = float_linear(w.view());
    matrix<float> y(x.rows(), w.rows());
    matrix<float> reference(x.rows(), w.rows());
    std::vector<std::byte> workspace(workspace_bytes(*layer, x.rows()));
    forward(*layer, x.view(), y.view(), workspace);
    forward(exact, x.view(), reference.view(), {});
    double error = 0.0;
    double power = 0.0;
    for (std::size_t i = 0; i < y.elements().size(); ++i) {
        error += std::pow(double{y.elements()[i]} - double{reference.elements()[i]}, 2);
        power += std::pow(double{reference.elements()[i]}, 2);
    }
    return std::sqrt(error / power);
}

TEST(MakeLinear, EveryRecipeComesWithinItsBits) {
    const matrix<float> w = random_matrix(48, 160, 1);
    const matrix<float> x = random_matrix(32, 160, 2);
    for (const std::string_view name : recipe_names()) {
        if (find_recipe(name)->allocation) {
            EXPECT_EQ(make_linear(*find_recipe(name), w.view(), {}, x.view()).error().code, errc::unsupported) << name;
            continue;
        }
        const double error = output_error(*find_recipe(name), w, x);
        const bool four_bit_activations = name.find("a4") != std::string_view::npos;
        const bool four_bit_weights = name.find("w4") != std::string_view::npos;
        const bool binary_weights = find_recipe(name)->weights.bits == 1;
        EXPECT_LT(error, binary_weights         ? 0.5
                         : four_bit_activations ? 0.25
                         : four_bit_weights     ? 0.13
                         : name == "fp32"       ? 1e-9
                                                : 0.02)
            << name;
    }
}

TEST(MakeLinear, SmoothingHelpsAgainstOutlierChannels) {
    const matrix<float> w = random_matrix(48, 160, 1);
    const matrix<float> x = planted_activations(64, 160, 2, {5, 100}, 80.0F);
    EXPECT_LT(output_error(*find_recipe("smoothquant-w8a8"), w, x), 0.5 * output_error(*find_recipe("rtn-w8a8"), w, x));
}

/// How far the outputs are from the product with the dequantized weight: what rounding the activations costs.
double activation_error(const recipe& how, const matrix<float>& w, const matrix<float>& x) {
    const auto layer = make_linear(how, w.view(), {}, x.view());
    EXPECT_TRUE(layer) << how.name << ": " << layer.error().message;
    const linear exact = float_linear(weight(*layer).view());
    matrix<float> y(x.rows(), w.rows());
    matrix<float> expected(x.rows(), w.rows());
    std::vector<std::byte> workspace(workspace_bytes(*layer, x.rows()));
    forward(*layer, x.view(), y.view(), workspace);
    forward(exact, x.view(), expected.view(), {});
    double squares = 0.0;
    for (std::size_t i = 0; i < y.elements().size(); ++i) {
        squares += std::pow(double{y.elements()[i]} - double{expected.elements()[i]}, 2);
    }
    return std::sqrt(squares);
}

TEST(MakeLinear, WeightOnlyMembersLoseNextToNothingOnTheActivations) {
    const matrix<float> w = random_matrix(48, 160, 1);
    const matrix<float> x = planted_activations(32, 160, 2, {5}, 300.0F);
    EXPECT_LT(activation_error(*find_recipe("hqq-w4-g32"), w, x),
              activation_error(*find_recipe("hqq-w4a8-g32"), w, x) / 200);
}

TEST(MakeLinear, ClipSearchHelps) {
    const matrix<float> w = random_matrix(48, 160, 1);
    const matrix<float> x = random_matrix(32, 160, 2);
    EXPECT_LT(output_error(*find_recipe("rtn-w4a8-g128"), w, x), output_error(*find_recipe("absmax-w4a8-g128"), w, x));
}

TEST(MakeLinear, StaticScaleCoversTheCalibrationRows) {
    const matrix<float> w = random_matrix(8, 16, 1);
    matrix<float> x = random_matrix(10, 16, 2);
    x(4, 7) = -12.7F;
    const auto layer = make_linear(*find_recipe("static-w8a8"), w.view(), {}, x.view());
    ASSERT_TRUE(layer);
    EXPECT_FLOAT_EQ(std::get<quantized_linear>(*layer).activations().static_scale, 0.1F);
    const matrix<float> zeros(3, 16);
    const auto idle = make_linear(*find_recipe("static-w8a8"), w.view(), {}, zeros.view());
    ASSERT_TRUE(idle);
    EXPECT_EQ(std::get<quantized_linear>(*idle).activations().static_scale, 1.0F);
}

TEST(MakeLinear, TakesShapesWithoutElements) {
    constexpr std::pair<std::size_t, std::size_t> shapes[] = {{0, 8}, {8, 0}, {0, 0}, {1, 1}, {3, 31}};
    for (const std::string_view name : recipe_names()) {
        for (const auto& [n, k] : shapes) {
            if (find_recipe(name)->allocation) {
                continue;  // of a whole model
            }
            const auto layer =
                make_linear(*find_recipe(name), random_matrix(n, k, 1).view(), {}, matrix<float>(1, k).view());
            ASSERT_TRUE(layer) << name << ": " << layer.error().message;
            EXPECT_EQ(weight(*layer).rows(), n);
            for (const std::size_t rows : {0U, 4U}) {
                matrix<float> y(rows, n);
                std::vector<std::byte> workspace(workspace_bytes(*layer, rows));
                forward(*layer, random_matrix(rows, k, 2).view(), y.view(), workspace);
                EXPECT_TRUE(k > 0 ||
                            std::all_of(y.elements().begin(), y.elements().end(), [](float v) { return v == 0.0F; }));
            }
        }
    }
}

TEST(MakeLinear, NamesWhatIsWrong) {
    matrix<float> w = random_matrix(8, 16, 1);
    const matrix<float> x = random_matrix(4, 15, 1);
    const std::vector<float> bias(3);
    const auto message = [](const result<linear>& layer) { return layer ? "" : layer.error().message; };
    const recipe smoothing = *find_recipe("smoothquant-w8a8");
    EXPECT_EQ(message(make_linear(smoothing, w.view())), "the recipe smoothquant-w8a8 needs rows of inputs");
    EXPECT_EQ(message(make_linear(smoothing, w.view(), {}, x.view())), "inputs have 15 columns, the weight has 16");
    EXPECT_EQ(message(make_linear(smoothing, w.view(), bias)), "bias has 3 entries, the weight asks for 8");
    matrix<float> bad = random_matrix(4, 16, 1);
    bad(1, 2) = INFINITY;
    EXPECT_EQ(message(make_linear(smoothing, w.view(), {}, bad.view())),
              "inputs: row 1, column 2 is infinity, not a finite number");
    w(3, 4) = NAN;
    for (const std::string_view name : recipe_names()) {
        EXPECT_EQ(message(make_linear(*find_recipe(name), w.view(), {}, bad.view())),
                  "weight: row 3, column 4 is NaN, not a finite number");
    }
}

}  // namespace
