// SPDX-License-Identifier: MIT
#include "quell/model/apply.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/model/make_plan.hpp"
#include "quell/quant/recipes.hpp"
#include "support/fake_engine.hpp"
#include "support/linear_outputs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace {

using namespace quell;
using namespace quell::model;

/// Smoothing everywhere by one half.
quant::recipe recipe(std::string_view name) {
    return *quant::find_recipe(name, {.alpha = 0.5F});
}

quantized_model applied(fake_engine& engine, const quant::recipe& how, const apply_options& options = {}) {
    auto done = apply(engine.lend(), *make_plan(engine.graph, how), options);
    EXPECT_TRUE(done) << done.error().message;
    return *std::move(done);
}

double error_of(fake_engine& engine, const quant::recipe& how, const apply_options& options = {}) {
    const quantized_model model = applied(engine, how, options);
    return relative_difference(engine.run(engine.float_linears()), engine.run(model.linears, model.gains));
}

TEST(Apply, Fp32ChangesNothing) {
    fake_engine engine;
    EXPECT_EQ(error_of(engine, recipe("fp32")), 0.0);
    const report::totals sums = report::totals_of(applied(engine, recipe("fp32")).report);
    EXPECT_EQ(sums.stored_bits, 32.0);
    EXPECT_EQ(sums.nominal_bits, 32.0);
}

TEST(Apply, FoldingKeepsTheFloatNetwork) {
    fake_engine engine;
    const quantized_model model = applied(engine, recipe("smoothquant-w8a8"), {.keep_float = true});
    EXPECT_EQ(model.gains.size(), 4U);
    EXPECT_LE(relative_difference(engine.run(engine.float_linears()), engine.run(model.linears, model.gains)), 1e-5);
    for (const quant::linear& layer : model.linears) {
        EXPECT_TRUE(std::holds_alternative<quant::float_linear>(layer));
    }
    EXPECT_GT(relative_difference(engine.run(engine.float_linears()), engine.run(model.linears)), 0.01)
        << "the scales moved nothing, so that the test proves nothing";
}

TEST(Apply, OnlineScalesKeepTheFloatNetwork) {
    fake_engine engine;
    engine.graph.inputs[2].producer = "blk.0.attn_norm";
    engine.gains["blk.0.ffn_norm"] = engine.gains["blk.0.attn_norm"];
    quant::recipe how = recipe("smoothquant-w8a8");
    how.transforms[0].inputs = quant::input_choice::all;
    EXPECT_LE(error_of(engine, how, {.keep_float = true}), 1e-5);
    const quantized_model model = applied(engine, how);
    EXPECT_EQ(model.gains.size(), 2U);
    EXPECT_EQ(std::get<quant::quantized_linear>(model.linears[0]).online().scale.size(), fake_engine::width);
    EXPECT_EQ(model.report.layers[0].scales_folded_into, "online");
    EXPECT_EQ(model.report.layers[0].online_reason, "the gain blk.0.attn_norm also feeds blk.0.ffn_in");
    EXPECT_EQ(model.report.layers[0].stored_bytes, 48 * 48 + 48 * 4 + 48 * 4U);
}

TEST(Apply, SmoothingBeatsRoundingAlone) {
    fake_engine engine;
    const double plain = error_of(engine, recipe("rtn-w8a8"));
    EXPECT_LT(error_of(engine, recipe("smoothquant-w8a8")), 0.2 * plain);
    EXPECT_LT(error_of(engine, *quant::find_recipe("smoothquant-w8a8")), 0.2 * plain);  // and looked for
    EXPECT_LT(plain, 0.2);
    quant::recipe online = recipe("smoothquant-w8a8");
    online.transforms[0].inputs = quant::input_choice::all;
    EXPECT_LT(error_of(engine, online), 0.2 * plain);
}

TEST(Apply, EveryRecipeRuns) {
    fake_engine engine;
    for (const std::string_view name : quant::recipe_names()) {
        const quant::recipe how = *quant::find_recipe(name);
        if (!how.rotates_stream && !how.allocation) {       // this engine lends no embedding and no head
            const bool is_blind = name.starts_with("hqq");  // small weights of large channels need a code for 0
            const bool is_coarse = is_blind || name.find("w4a4") != name.npos || how.weights.bits == 1;
            const double limit = how.solver.simulates() ? 4.0 : is_coarse ? 0.8 : 0.35;
            EXPECT_LT(error_of(engine, how), limit) << name;
        }
    }
}

TEST(Apply, SqueezedSitesHaveTwoFormsAndNameTheirBytes) {
    fake_engine engine;
    const quantized_model model = applied(engine, recipe("squeeze10"));
    for (std::size_t s = 0; s < model.linears.size(); ++s) {
        const report::layer_report& layer = model.report.layers[s];
        EXPECT_TRUE(std::holds_alternative<quant::split_linear>(model.linears[s])) << layer.site;
        EXPECT_NEAR(layer.nominal_bits(), 1.6, 3.0 / static_cast<double>(layer.in_features)) << layer.site;
        EXPECT_EQ(layer.stored_bytes, layer.stored.bytes()) << layer.site;
        EXPECT_EQ(layer.stored.order, 16 * layer.in_features) << layer.site;
        EXPECT_EQ(layer.stored.total(), quant::storage_of(model.linears[s]).total()) << layer.site;
    }
    const report::totals sums = report::totals_of(model.report);
    EXPECT_NEAR(sums.nominal_bits, 1.6, 0.03);
    EXPECT_EQ((sums.stored.total() + 7) / 8, sums.stored_bytes);
    EXPECT_GT(sums.stored_bits, sums.nominal_bits);
}

TEST(Apply, StagedRoundingBeatsMasksOfAsManyBits) {
    fake_engine engine;
    const quantized_model squeezed = applied(engine, recipe("squeeze10"));
    const auto error_of_weights = [&](const char* name) {
        const quantized_model other = applied(engine, recipe(name));
        EXPECT_GT(report::totals_of(other.report).stored_bits, report::totals_of(squeezed.report).stored_bits) << name;
        return relative_difference(engine.run(engine.float_linears()), engine.run(other.linears));
    };
    const double error = relative_difference(engine.run(engine.float_linears()), engine.run(squeezed.linears));
    EXPECT_LT(error, error_of_weights("pb-llm-10"));
    EXPECT_LT(error, error_of_weights("billm"));
}

/// 3-bit weights of whole rows: most of the error is theirs.
quant::recipe three_bits(quant::any_solver solver) {
    quant::recipe how = recipe("gptq-w4a8-g128");
    how.weights = {.bits = 3, .reach = granularity::channel};
    how.solver = solver;
    return how;
}

TEST(Apply, GptqLearnsFromTheInputs) {
    fake_engine engine;
    for (const bool rotated : {false, true}) {
        quant::recipe nearest = three_bits({rounding::rtn{}});
        quant::recipe compensated = three_bits({rounding::gptq{}});
        if (rotated) {
            nearest.transforms = compensated.transforms = recipe("hybrid-w4a4-rtn").transforms;
        }
        EXPECT_LT(error_of(engine, compensated), 0.9 * error_of(engine, nearest)) << rotated;
    }
}

TEST(Apply, GptqSeesTheGramMatrixOfTheChangedInputs) {
    fake_engine engine;
    quant::recipe how = three_bits({rounding::gptq{}});
    how.transforms = {{{{quant::rotate{}}}, quant::input_choice::all}};
    const quantized_model model = applied(engine, how);
    const auto& layer = std::get<quant::quantized_linear>(model.linears[0]);
    matrix<float> weight = matrix<float>::copy_of(engine.weights[0].view());
    layer.online().rotation.apply(weight.view());
    stats::gram seen;
    ASSERT_TRUE(engine.lend().calibrate([&](std::size_t input, matrix_view<const float> x) {
        if (input == 0) {
            matrix<float> rows = matrix<float>::copy_of(x);
            layer.online().rotation.apply_to_input(rows.view());
            seen.add(rows.view());
        }
    }));
    const matrix<double> gram = seen.sum();
    const quantized expected = *rounding::gptq{}.solve(weight.view(), how.weights, {.gram = gram.view()});
    const quantized codes = *packing::unpack(layer.packed());
    std::size_t different = 0;
    for (std::size_t i = 0; i < codes.codes.elements().size(); ++i) {
        different += codes.codes.elements()[i] != expected.codes.elements()[i] ? 1 : 0;
    }
    EXPECT_LT(different, codes.codes.elements().size() / 50);  // one is rounded before it is turned, one behind
}

TEST(Apply, PropagatedInputsLetLaterLayersMakeUpForEarlierOnes) {
    for (const char* transforms : {"fp32", "smoothquant-w8a8", "hybrid-w4a4"}) {
        quant::recipe how = three_bits({rounding::gptq{}});
        how.transforms = recipe(transforms).transforms;
        fake_engine engine;
        const double exact_inputs = error_of(engine, how);
        how.calibration.inputs = rounding::calibration_inputs::propagated;
        EXPECT_LT(error_of(engine, how), 0.9 * exact_inputs) << transforms;
    }
}

TEST(Apply, LaterInputsAreSeenBehindTheWeightsThatRun) {
    for (const char* name : {"rtn-w8a8", "smoothquant-w8a8", "hybrid-w8a8"}) {
        quant::recipe how = recipe(name);
        for (quant::input_rule& rule : how.transforms) {
            rule.inputs = quant::input_choice::all;
        }
        how.calibration = {.inputs = rounding::calibration_inputs::propagated, .strength = 0.0};
        fake_engine engine;
        const quantized_model model = applied(engine, how);
        for (std::size_t s = 0; s < engine.kept.size(); ++s) {
            const double moved = relative_difference(engine.weights[s], engine.kept[s]);
            EXPECT_GT(moved, 0.0) << name << ' ' << engine.graph.sites[s].name;
            EXPECT_LT(moved, 0.02) << name << ' ' << engine.graph.sites[s].name;
        }
    }
}

TEST(Apply, LaterInputsAreSeenBehindRoundedActivations) {
    quant::recipe how = recipe("rtn-w8a8");
    how.transforms = {{{{quant::rotate{}}}, quant::input_choice::all}};
    how.calibration.inputs = rounding::calibration_inputs::propagated;
    fake_engine engine;
    const quantized_model model = applied(engine, how);
    // What the linear makes of x is what the weight that was passed on makes of the rounded x.
    const matrix<float> runs = outputs_of(model.linears[0], engine.rows_for(0));
    const quant::linear passed_on = quant::float_linear(engine.kept[0].view(), engine.biases[0]);
    EXPECT_LT(relative_difference(runs, outputs_of(passed_on, engine.rounded_rows.at(0))), 1e-5);
    EXPECT_GT(relative_difference(runs, outputs_of(passed_on, engine.rows_for(0))), 1e-3);
    for (const int bits : {4, 16}) {
        how.activations = {.bits = bits};
        (void)applied(engine, how);
        EXPECT_EQ(relative_difference(engine.rows_for(0), engine.rounded_rows.at(0)), 0.0);
    }
}

TEST(Apply, WhereNothingIsTransformedTheLinearItselfStandsForItsWeightAndItsRounding) {
    quant::recipe how = recipe("rtn-w8a8");
    how.calibration.inputs = rounding::calibration_inputs::propagated;
    fake_engine engine;
    (void)applied(engine, how);
    for (std::size_t s = 0; s < engine.kept.size(); ++s) {
        const quant::linear passed_on = quant::float_linear(engine.kept[s].view(), engine.biases[s]);
        ASSERT_TRUE(engine.outputs_as_given.contains(s)) << s;
        EXPECT_LT(relative_difference(outputs_of(passed_on, engine.rounded_rows.at(engine.graph.sites[s].input)),
                                      engine.outputs_as_given.at(s)),
                  1e-5);
    }
    how.activations = {.bits = 16};
    (void)applied(engine, how);
    EXPECT_TRUE(engine.outputs_as_given.empty());
    how = recipe("smoothquant-w8a8");
    how.calibration.inputs = rounding::calibration_inputs::propagated;
    (void)applied(engine, how);
    EXPECT_LT(engine.outputs_as_given.size(), engine.kept.size());
}

TEST(Apply, PropagationNeedsAnEngineThatPropagates) {
    fake_engine engine;
    model::engine lent = engine.lend();
    lent.propagate = {};
    quant::recipe how = recipe("gptq-w3-g64-propagated");
    const auto done = apply(lent, *make_plan(engine.graph, how));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, errc::not_found);
    EXPECT_NE(done.error().message.find("blk.0.attn_in"), std::string::npos) << done.error().message;
}

/// 3 bits with real zeros, 16 bits for the activations.
TEST(Apply, WhatIsKnownOfTheInputsHelpsWeightsAlone) {
    fake_engine engine;
    const double nearest = error_of(engine, recipe("rtn-w3-g32"));
    const double blind = error_of(engine, recipe("hqq-w3-g32"));
    EXPECT_LT(error_of(engine, recipe("awq-w3-g32")), nearest);
    EXPECT_LT(error_of(engine, recipe("imatrix-w3-g32")), blind);
    EXPECT_LT(error_of(engine, recipe("gptq-fit-w3-g32")), 0.9 * blind);
}

TEST(Apply, ImportanceIsThatOfTheChangedInputs) {
    fake_engine engine;
    quant::recipe how = recipe("imatrix-w3-g32");
    how.transforms = {{{{quant::activation_scale{.alpha = 0.5F}}}, quant::input_choice::norm_fed}};
    const quantized_model model = applied(engine, how);
    ASSERT_EQ(model.decided.inputs[0].target, scale_target::gain);
    stats::channel_magnitude seen;
    ASSERT_TRUE(engine.lend().calibrate([&](std::size_t input, matrix_view<const float> x) {
        if (input == 0) {
            seen.add(x);
        }
    }));
    const quant::input_change change = quant::activation_scale{.alpha = 0.5F}.prepare(seen, {}, {});
    matrix<float> weight = matrix<float>::copy_of(engine.weights[0].view());
    change.apply_to_weight(weight.view());
    std::vector<float> importance;
    for (std::size_t j = 0; j < fake_engine::width; ++j) {
        const double divisor = double{change.divisors[j]};
        importance.push_back(static_cast<float>(seen.mean_squares()[j] / divisor / divisor));
    }
    const auto expected = rounding::imatrix{}.solve(weight.view(), how.weights, {.importance = importance});
    ASSERT_TRUE(expected);
    const quantized codes = *packing::unpack(std::get<quant::quantized_linear>(model.linears[0]).packed());
    EXPECT_TRUE(
        std::equal(codes.codes.elements().begin(), codes.codes.elements().end(), expected->codes.elements().begin()));
}

TEST(Apply, GptqNeedsCalibrationThatIsFinite) {
    fake_engine engine;
    const plan decided = *make_plan(engine.graph, recipe("gptq-w4a8-g128"));
    model::engine blind = engine.lend();
    blind.calibrate = {};
    EXPECT_EQ(apply(blind, decided).error().code, errc::not_found);
    model::engine broken = engine.lend();
    broken.calibrate = [&](const input_observer& see) -> result<void> {
        matrix<float> x(4, fake_engine::width);
        x(2, 7) = INFINITY;
        see(0, x.view());
        return {};
    };
    EXPECT_EQ(apply(broken, decided).error().message,
              "blk.0.attn_in: activations of channel 7 are not all finite numbers");
}

TEST(Apply, ReportAddsUp) {
    fake_engine engine;
    const quantized_model model = applied(engine, recipe("smoothquant-w8a8"), {.sample_rows = 16});
    ASSERT_EQ(model.report.layers.size(), 10U);
    std::size_t stored = 0;
    std::size_t memory = 0;
    for (std::size_t s = 0; s < 10; ++s) {
        const report::layer_report& layer = model.report.layers[s];
        EXPECT_EQ(layer.site, engine.graph.sites[s].name);
        EXPECT_EQ(layer.stored_bytes, layer.out_features * layer.in_features + 4 * layer.out_features);
        EXPECT_EQ(layer.memory_bytes, quant::bytes(model.linears[s]));
        EXPECT_EQ(layer.weight_error.count, layer.parameters());
        EXPECT_GT(layer.weight_error.snr_db(), 30.0);
        ASSERT_TRUE(layer.output_error);
        EXPECT_GT(layer.output_error->count, 8 * layer.out_features);
        EXPECT_GT(layer.output_error->snr_db(), 25.0);
        EXPECT_EQ(layer.transform, layer.module == "o" ? "" : "smooth");
        EXPECT_EQ(layer.solver, "rtn");
        stored += layer.stored_bytes;
        memory += layer.memory_bytes;
    }
    const report::totals sums = report::totals_of(model.report);
    EXPECT_EQ(sums.stored_bytes, stored);
    EXPECT_EQ(sums.memory_bytes, memory);
    EXPECT_EQ(sums.nominal_bits, 8.0);
    EXPECT_EQ(model.report.layers[0].scales_folded_into, "blk.0.attn_norm");
    EXPECT_EQ(model.report.recipe, "smoothquant-w8a8");
}

TEST(Apply, CountsClippedWeights) {
    fake_engine engine;
    EXPECT_EQ(report::totals_of(applied(engine, recipe("absmax-w8a8")).report).clip_share, 0.0);
    const double share = report::totals_of(applied(engine, recipe("rtn-w4a4")).report).clip_share;
    EXPECT_GT(share, 0.0);
    EXPECT_LT(share, 0.2);
}

TEST(Apply, FillsInStaticScales) {
    fake_engine engine;
    const quantized_model model = applied(engine, recipe("static-w8a8"));
    for (const site_plan& decided : model.decided.sites) {
        EXPECT_GT(decided.activations.static_scale, 0.0F);
    }
    EXPECT_EQ(model.decided.sites[0].activations, model.decided.sites[1].activations);
    auto source = engine.lend();
    source.calibrate = {};
    const auto again = apply(source, model.decided);  // the scales are known now
    ASSERT_TRUE(again);
    EXPECT_EQ(std::get<quant::quantized_linear>(again->linears[0]).activations(),
              std::get<quant::quantized_linear>(model.linears[0]).activations());
}

TEST(Apply, IsTheSameForAnyNumberOfThreads) {
    fake_engine engine;
    const quantized_model serial = applied(engine, recipe("smoothquant-w8a8"), {.sample_rows = 8});
    for (const std::size_t threads : {2U, 5U}) {
        thread_pool pool(threads);
        const quantized_model parallel =
            applied(engine, recipe("smoothquant-w8a8"), {.threads = pool, .sample_rows = 8});
        for (std::size_t s = 0; s < serial.linears.size(); ++s) {
            const auto a = std::get<quant::quantized_linear>(serial.linears[s]).packed().blob();
            const auto b = std::get<quant::quantized_linear>(parallel.linears[s]).packed().blob();
            EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
            EXPECT_EQ(serial.report.layers[s].weight_error.error_squares,
                      parallel.report.layers[s].weight_error.error_squares);
            EXPECT_EQ(serial.report.layers[s].output_error->error_squares,
                      parallel.report.layers[s].output_error->error_squares);
        }
    }
}

TEST(Apply, ScalesTiedWeightsOnce) {
    fake_engine engine;
    engine.graph.sites[1].storage = engine.graph.sites[0].storage;  // two readers of one input are one matrix
    engine.weights[1] = matrix<float>::copy_of(std::as_const(engine.weights[0]).view());
    EXPECT_LE(error_of(engine, recipe("smoothquant-w8a8"), {.keep_float = true}), 1e-5);
    engine.graph.sites[5].storage = engine.graph.sites[0].storage;  // and one of another block
    engine.weights[5] = matrix<float>::copy_of(std::as_const(engine.weights[0]).view());
    EXPECT_LE(error_of(engine, recipe("smoothquant-w8a8"), {.keep_float = true}), 1e-5);
    EXPECT_EQ(applied(engine, recipe("smoothquant-w8a8")).gains.size(), 2U);
}

TEST(Apply, KeepsFloatSitesInStepWithAFoldedGain) {
    fake_engine engine;
    plan decided = *make_plan(engine.graph, recipe("smoothquant-w8a8"));
    decided.sites[1].weights = quant::float_weights;
    decided.sites[1].activations = {.bits = 32};
    decided.sites[1].fallback = "asked for";
    const auto done = apply(engine.lend(), decided);
    ASSERT_TRUE(done);
    EXPECT_TRUE(std::holds_alternative<quant::float_linear>(done->linears[1]));
    EXPECT_LT(relative_difference(engine.run(engine.float_linears()), engine.run(done->linears, done->gains)), 0.05);
    EXPECT_EQ(report::fallbacks_of(done->report), 1U);
}

TEST(Apply, TellsProgress) {
    fake_engine engine;
    std::vector<std::string> seen;
    const progress_callback note = [&](std::string_view stage, std::string_view item, std::size_t done,
                                       std::size_t total) {
        seen.push_back(std::string(stage) + " " + std::string(item) + " " + std::to_string(done) + "/" +
                       std::to_string(total));
    };
    (void)applied(engine, recipe("rtn-w8a8"), {.progress = note});
    ASSERT_EQ(seen.size(), 12U);
    EXPECT_EQ(seen[0], "calibrate rtn-w8a8 0/1");
    EXPECT_EQ(seen[2], "quantize blk.0.q 1/10");
    EXPECT_EQ(seen[11], "quantize blk.1.up 10/10");
}

struct ApplyErrors : testing::Test {
    fake_engine engine;

    std::string message(const model::engine& source, std::string_view name = "smoothquant-w8a8") {
        const auto done = apply(source, *make_plan(engine.graph, recipe(name)));
        return done ? "" : done.error().message;
    }
};

TEST_F(ApplyErrors, NanInAWeight) {
    engine.weights[3](7, 12) = NAN;
    for (const std::string_view name : quant::recipe_names()) {
        if (!recipe(name).rotates_stream) {
            EXPECT_EQ(message(engine.lend(), name), "blk.0.gate: row 7, column 12 is NaN, not a finite number");
        }
    }
}

TEST_F(ApplyErrors, NanInAnActivation) {
    engine.gains["blk.1.attn_norm"][5] = INFINITY;
    EXPECT_EQ(message(engine.lend()), "blk.1.attn_in: activations of channel 5 are not all finite numbers");
}

TEST_F(ApplyErrors, ShapesThatContradict) {
    auto source = engine.lend();
    source.weight = [](const site&) -> result<matrix<float>> { return matrix<float>(3, 4); };
    EXPECT_EQ(message(source), "blk.1.gate: the weight is 3 x 4, the graph says 80 x 48");
    source = engine.lend();
    source.gain = [](const std::string&) -> result<buffer<float>> { return buffer<float>(60); };
    EXPECT_EQ(message(source), "blk.1.ffn_norm: the gain has 60 entries, blk.1.ffn_in has 48");
    source.gain = {};
    EXPECT_EQ(message(source), "blk.1.ffn_norm: the engine gives no norm gains");
    const std::vector<float> bias(5);
    source.bias = [&](const site&) -> std::span<const float> { return bias; };
    for (const std::string_view name : {"fp32", "rtn-w8a8"}) {
        EXPECT_EQ(message(source, name), "blk.0.q: bias has 5 entries, the weight asks for 48");
    }
}

TEST_F(ApplyErrors, CalibrationThatDoesNotHappen) {
    auto source = engine.lend();
    source.calibrate = {};
    EXPECT_EQ(message(source), "the plan needs calibration data and there is none");
    EXPECT_EQ(message(source, "rtn-w8a8"), "");
    source.calibrate = [](const input_observer&) -> result<void> { return {}; };
    EXPECT_EQ(message(source), "blk.0.attn_in: the calibration showed no rows of it");
    source.calibrate = [](const input_observer&) -> result<void> { return error{errc::io_failed, "no text"}; };
    EXPECT_EQ(message(source), "no text");
    source.calibrate = [](const input_observer& see) -> result<void> {
        const matrix<float> narrow(2, 47);
        see(0, narrow.view());
        return {};
    };
    EXPECT_EQ(message(source), "blk.0.attn_in: calibration rows of 47 values, the input carries 48");
}

}  // namespace
