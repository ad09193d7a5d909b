// SPDX-License-Identifier: MIT
#include "quell/model/make_plan.hpp"
#include "quell/model/plan_json.hpp"
#include "quell/quant/recipes.hpp"
#include "support/fake_engine.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace quell;
using namespace quell::model;

plan plan_for(const graph& g, std::string_view recipe) {
    return *make_plan(g, *quant::find_recipe(recipe, {.alpha = 0.5F}));
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

/// What check() says of a recipe's plan after these edits; nothing where it agrees.
std::string status_after(std::string_view recipe, std::initializer_list<std::pair<const char*, const char*>> edits) {
    const fake_engine engine;
    std::string edited = to_text(plan_for(engine.graph, recipe));
    for (const auto& [from, to] : edits) {
        edited = replaced(edited, from, to);
    }
    const auto read = plan_from_text(edited, "p.json");
    EXPECT_TRUE(read) << read.error().message;
    EXPECT_EQ(to_text(*read), edited);
    const auto status = check(*read, engine.graph);
    return status ? std::string() : status.error().message;
}

TEST(Plan, FoldsSmoothingIntoNormGainsOnly) {
    const fake_engine engine;
    const plan decided = plan_for(engine.graph, "smoothquant-w8a8");
    EXPECT_EQ(decided.inputs[0].target, scale_target::gain);
    EXPECT_EQ(decided.inputs[0].folded_into, "blk.0.attn_norm");
    EXPECT_EQ(decided.inputs[0].transform.name(), "smooth");
    EXPECT_EQ(decided.inputs[1].target, scale_target::none);
    EXPECT_EQ(decided.inputs[1].transform.name(), "none");
    EXPECT_EQ(decided.sites[0].weights.bits, 8);
    EXPECT_TRUE(check(decided, engine.graph));
}

TEST(Plan, PutsOnlineWhatCannotBeFolded) {
    fake_engine engine;
    engine.graph.inputs[2].producer = "blk.0.attn_norm";  // one norm feeds both
    engine.graph.sites[5].storage = engine.graph.sites[3].storage;
    quant::recipe recipe = *quant::find_recipe("smoothquant-w8a8", {.alpha = 0.5F});
    recipe.transforms[0].inputs = quant::input_choice::all;
    const plan decided = *make_plan(engine.graph, recipe);
    EXPECT_EQ(decided.inputs[0].target, scale_target::online);
    EXPECT_EQ(decided.inputs[0].reason, "the gain blk.0.attn_norm also feeds blk.0.ffn_in");
    EXPECT_EQ(decided.inputs[1].target, scale_target::producer);  // a product with the output of k
    EXPECT_EQ(decided.inputs[1].folded_into, "blk.0.k");
    EXPECT_EQ(decided.inputs[3].reason, "blk.1.q shares its weight with blk.0.gate");
    EXPECT_EQ(decided.inputs[5].target, scale_target::gain);
    EXPECT_TRUE(check(decided, engine.graph));
}

TEST(Plan, PutsOnlineAProductWhoseLinearFeedsOthers) {
    fake_engine engine;
    engine.graph.inputs[1].producer = "blk.0.attn_norm";
    quant::recipe recipe = *quant::find_recipe("smoothquant-w8a8", {.alpha = 0.5F});
    recipe.transforms[0].inputs = quant::input_choice::all;
    const plan decided = *make_plan(engine.graph, recipe);
    EXPECT_EQ(decided.inputs[1].target, scale_target::online);
    EXPECT_EQ(decided.inputs[1].reason, "blk.0.attn_norm is no linear of 48 outputs");
}

TEST(Plan, RotatesOnlyAStreamWhoseEndsAreKnown) {
    fake_engine engine;
    const auto refused = make_plan(engine.graph, *quant::find_recipe("quarot-w4a4-rtn"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message,
              "quarot-w4a4-rtn: the residual stream cannot be rotated: the engine does not name embedding, head and "
              "final norm");
    engine.graph.stream = {.embedding = "e", .head = "h", .final_norm = "n", .width = fake_engine::width};
    engine.graph.inputs[0].reads_residual = true;
    plan decided = plan_for(engine.graph, "quarot-w4a4-rtn");
    EXPECT_EQ(decided.inputs[0].target, scale_target::stream);
    EXPECT_EQ(decided.inputs[1].target, scale_target::online);
    EXPECT_TRUE(check(decided, engine.graph));
    decided.stream = stream_basis::original;
    EXPECT_EQ(check(decided, engine.graph).error().message,
              "plan: input blk.0.attn_in: its target is a rotated stream, which it does not read");
    engine.graph.inputs[0].kind = producer_kind::none;
    EXPECT_FALSE(make_plan(engine.graph, *quant::find_recipe("quarot-w4a4-rtn")));
}

TEST(Plan, SplitsAStreamAtARankBelowItsWidth) {
    fake_engine engine;
    engine.graph.stream = {.embedding = "e", .head = "h", .final_norm = "n", .width = fake_engine::width};
    engine.graph.inputs[0].reads_residual = true;
    plan decided = *make_plan(engine.graph, *quant::find_recipe("quad-w4a4a8-rtn", {.rank = 4}));
    EXPECT_EQ(decided.stream, stream_basis::split);
    EXPECT_EQ(decided.split_rank, 4U);
    EXPECT_TRUE(check(decided, engine.graph));
    for (const std::size_t rank : {std::size_t{0}, std::size_t{fake_engine::width}}) {
        decided.split_rank = rank;
        EXPECT_EQ(check(decided, engine.graph).error().code, errc::bad_value) << rank;
    }
    decided.stream = stream_basis::rotated;
    EXPECT_FALSE(check(decided, engine.graph));
}

TEST(Plan, CarriesHowTheFloatPartIsTuned) {
    fake_engine engine;
    engine.graph.stream = {.embedding = "e", .head = "h", .final_norm = "n", .width = fake_engine::width};
    engine.graph.inputs[0].reads_residual = true;
    plan decided = *make_plan(engine.graph, *quant::find_recipe("quad-w4a4-tuned", {.rank = 4}));
    EXPECT_EQ(decided.tuning, quant::default_tuning);
    EXPECT_TRUE(check(decided, engine.graph));
    decided.tuning.sequences = 0;
    EXPECT_EQ(check(decided, engine.graph).error().message,
              "plan: tuning takes a rate in 0 ... 1 and 1 ... 1048576 tokens a step");
    decided.tuning = {.steps = 1, .rate = NAN};
    EXPECT_EQ(check(decided, engine.graph).error().code, errc::bad_value);
    decided.tuning.steps = 0;
    EXPECT_TRUE(check(decided, engine.graph));
    EXPECT_EQ(make_plan(engine.graph, *quant::find_recipe("quad-w4a4-rtn", {.rank = 4}))->tuning, quant::tuning_rule());
}

TEST(Plan, LeavesTheHeadInFloat) {
    fake_engine engine;
    engine.graph.sites[4].module = "head";
    const plan decided = plan_for(engine.graph, "rtn-w4a4");
    EXPECT_TRUE(decided.sites[4].is_float());
    EXPECT_EQ(decided.sites[4].fallback, "");
    EXPECT_EQ(decided.sites[3].weights.bits, 4);
}

TEST(Plan, FallsBackToFloatWithTheReason) {
    const fake_engine engine;
    quant::recipe recipe = *quant::find_recipe("rtn-w4a8-g128");
    recipe.weights.group = 48;
    const plan decided = *make_plan(engine.graph, recipe);
    EXPECT_TRUE(decided.sites[0].is_float());
    EXPECT_NE(decided.sites[0].fallback.find("groups of 48"), std::string::npos);
    EXPECT_TRUE(check(decided, engine.graph));
}

TEST(Plan, RefusesGraphsThatContradictThemselves) {
    const auto message = [](const graph& g) {
        const auto decided = make_plan(g, *quant::find_recipe("fp32"));
        return decided ? "" : decided.error().message;
    };
    graph g = fake_engine().graph;
    g.sites[1].input = 6;
    EXPECT_EQ(message(g), "blk.0.k: reads input 6 of 6");
    g = fake_engine().graph;
    g.sites[1].in_features = 47;
    EXPECT_EQ(message(g), "blk.0.k: has 47 input features, blk.0.attn_in carries 48");
    g = fake_engine().graph;
    g.sites[1].name = g.sites[0].name;
    EXPECT_EQ(message(g), "site 'blk.0.q' has no name or has it twice");
}

TEST(PlanJson, ReadsBackWhatItWrites) {
    fake_engine engine;
    engine.graph.stream = {.embedding = "e", .head = "h", .final_norm = "n", .width = fake_engine::width};
    for (const std::string_view name : quant::recipe_names()) {
        const std::string text = to_text(plan_for(engine.graph, name));
        const auto read = plan_from_text(text, "plan.json");
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_EQ(to_text(*read), text) << name;
        EXPECT_TRUE(check(*read, engine.graph)) << name;
    }
}

TEST(PlanJson, TakesEditsByHand) {
    const fake_engine engine;
    std::string text = to_text(plan_for(engine.graph, "smoothquant-w8a8"));
    text = replaced(text, R"("alpha": 0.5)", R"("alpha": 0.85)");
    text = replaced(text, R"("bits": 8)", R"("bits": 4)");
    const auto unfit = plan_from_text(text, "plan.json");
    ASSERT_TRUE(unfit);
    EXPECT_EQ(check(*unfit, engine.graph).error().message,
              "plan: site " + engine.graph.sites[0].name +
                  ": activations with a zero point meet symmetric weights of 8 bits, not 4 bits");
    const auto read = plan_from_text(replaced(text, R"("zero_point": true)", R"("zero_point": false)"), "plan.json");
    ASSERT_TRUE(read);
    EXPECT_EQ(std::get<quant::smooth>(read->inputs[0].transform.policy).alpha, 0.85F);
    EXPECT_EQ(read->sites[0].weights.bits, 4);
    EXPECT_TRUE(check(*read, engine.graph));
}

TEST(PlanJson, NamesWhatItDoesNotUnderstand) {
    const std::string good = to_text(plan_for(fake_engine().graph, "smoothquant-w8a8"));
    const auto message = [&](std::string_view from, std::string_view to) {
        const auto read = plan_from_text(replaced(good, from, to), "p.json");
        return read ? std::string() : read.error().message;
    };
    EXPECT_EQ(message(R"("clip": 1)", R"("clop": 1)"),
              "p.json.sites[0].activations: unknown key 'clop'; known are bits, reach, clip, static_scale, "
              "at_run_time, zero_point");
    EXPECT_EQ(message(R"("kind": "smooth")", R"("kind": "spin")"),
              "p.json.inputs[0].transform.kind: expected one of none, smooth, rotate, smooth+rotate, balance, "
              "balance+rotate, activation-scale, found \"spin\"");
    EXPECT_EQ(message(R"("target": "gain")", R"("target": "loss")"),
              "p.json.inputs[0].target: expected one of none, gain, producer, stream, online, found \"loss\"");
    EXPECT_EQ(message(R"("alpha": 0.5)", R"("alpha": true)"),
              "p.json.inputs[0].transform.alpha: expected a finite number, found true");
    EXPECT_EQ(message(R"("group": 0)", R"("group": -1)"),
              "p.json.sites[0].weights.group: expected an integer of at least 0, found -1");
    EXPECT_EQ(message(R"("quell_plan": 2)", R"("quell_plan": 1)"), "p.json: quell_plan is 1, this version reads 2");
    EXPECT_EQ(message(R"("kind": "smooth",)", R"("kind": "none",)"),
              "p.json.inputs[0].transform: unknown key 'alpha'; known are kind");
    EXPECT_NE(message(R"("recipe")", R"("recipe": "a", "recipe")"), "");
    EXPECT_NE(message(R"("alpha": 0.5)", R"("alpha": 1e999)"), "");
    EXPECT_NE(message("{", "{{"), "");
    EXPECT_EQ(plan_from_text("[]", "p.json").error().message, "p.json: expected an object, found []");
    EXPECT_FALSE(plan_from_text("", "p.json"));
    EXPECT_FALSE(plan_from_text(std::string(100000, '['), "p.json"));
}

TEST(PlanJson, ChecksFindWhatWouldFailLater) {
    const std::string site = "plan: site blk.0.q: ";
    const std::string input = "plan: input blk.0.attn_in: ";
    EXPECT_EQ(status_after("smoothquant-w8a8", {{"blk.0.q", "blk.0.w"}}),
              "plan: site 0 is blk.0.w, the model has blk.0.q there");
    EXPECT_EQ(status_after("smoothquant-w8a8", {{R"("alpha": 0.5)", R"("alpha": 2.0)"}}),
              input + "alpha 2.000000 is not in 0 ... 1");
    EXPECT_EQ(status_after("smoothquant-w8a8", {{"blk.0.attn_norm", "blk.1.attn_norm"}}),
              input + "its scale folds into blk.0.attn_norm, not into 'blk.1.attn_norm'");
    EXPECT_EQ(status_after("smoothquant-w8a8", {{R"("target": "gain")", R"("target": "none")"}}),
              input + "a transform without a target");
    EXPECT_EQ(status_after("smoothquant-w8a8", {{R"("target": "none")", R"("target": "gain")"}}),
              "plan: input blk.0.o_in: a target, but no transform");
    EXPECT_EQ(status_after("smoothquant-w8a8", {{R"("clip": 1.0)", R"("clip": 7.0)"}}),
              site + "activation clip 7.000000 is not in (0, 1]");
    EXPECT_EQ(status_after("smoothquant-w8a8", {{R"("clip_candidates": 80)", R"("clip_candidates": 100)"}})
                  .rfind(site + "a clip search", 0),
              0U);
    EXPECT_EQ(status_after("smoothquant-w8a8", {{R"("bits": 8)", R"("bits": 32)"}}),
              site + "weights and activations are both in float or both in integers");
    for (const char* edit : {R"("bits": 9)", R"("bits": -8)", R"("bits": 100000)", R"("bits": 0)"}) {
        EXPECT_EQ(status_after("smoothquant-w8a8", {{R"("bits": 8)", edit}}).rfind(site, 0), 0U) << edit;
    }
    EXPECT_EQ(status_after("smoothquant-w8a8", {{R"("reach": "channel")", R"("reach": "group")"}}).rfind(site, 0), 0U);
    EXPECT_EQ(
        status_after("smoothquant-w8a8", {{R"("codes": "symmetric")", R"("codes": "zero_point")"}}).rfind(site, 0), 0U);
}

TEST(PlanJson, KnowsTheOptionsOfGptq) {
    EXPECT_EQ(status_after("gptq-w4a8-g128", {{R"("activation_noise": 0.0)", R"("activation_noise": 0.02)"},
                                              {R"("damping": 0.01)", R"("damping": 0.05)"},
                                              {R"("clip_weighting": "none")", R"("clip_weighting": "schur")"},
                                              {R"("column_order": "activation")", R"("column_order": "natural")"},
                                              {R"("static_groups": true)", R"("static_groups": false)"},
                                              {R"("block": 64)", R"("block": 32)"}}),
              "");
    const std::string site = "plan: site blk.0.q: ";
    EXPECT_EQ(status_after("gptq-w4a8-g128", {{R"("static_groups": true)", R"("static_groups": false)"}}),
              site + "groups in activation order need static groups");
    EXPECT_EQ(status_after("gptq-w4a8-g128", {{R"("block": 64)", R"("block": 0)"}}), site + "a block without columns");
    EXPECT_EQ(
        status_after("gptq-w4a8-g128", {{R"("damping": 0.01)", R"("damping": -1.0)"}}).rfind(site + "a damping", 0),
        0U);
    EXPECT_EQ(status_after("gptq-w4a8-g128", {{R"("clip_candidates": 80)", R"("clip_candidates": 0)"}})
                  .rfind(site + "a clip search", 0),
              0U);
    EXPECT_EQ(status_after("gptq-w4a8-g128", {{R"("inputs": "full_precision")", R"("inputs": "propagated")"}}), "");
    EXPECT_EQ(status_after("gptq-w4a8-g128", {{R"("strength": 1.0)", R"("strength": 1.5)"}}),
              "plan: calibration takes a strength in 0 ... 1 and a damping in 0 ... 1000");
}

TEST(PlanJson, KnowsTheOptionsOfTheOtherSolvers) {
    const std::string site = "plan: site blk.0.q: ";
    EXPECT_EQ(status_after("hqq-w4-g64", {{R"("iterations": 20)", R"("iterations": 5)"}}), "");
    EXPECT_EQ(status_after("hqq-w4-g64", {{R"("kappa": 1.01)", R"("kappa": 0.5)"}}).rfind(site + "hqq takes", 0), 0U);
    EXPECT_EQ(status_after("hqq-w4-g64", {{R"("zeros": "real")", R"("zeros": "integer")"}}),
              site + "the solver takes codes with a real zero");
    EXPECT_EQ(status_after("imatrix-w4-g64", {{R"("fit_lines": 2)", R"("fit_lines": 4)"}}), "");
    EXPECT_EQ(status_after("imatrix-w4-g64", {{R"("fit_candidates": 9)", R"("fit_candidates": 90)"}})
                  .rfind(site + "a fit", 0),
              0U);
    EXPECT_EQ(status_after("gptq-fit-w4-g64", {{R"("fit_candidates": 9)", R"("fit_candidates": 0)"}})
                  .rfind(site + "a fit", 0),
              0U);
    EXPECT_EQ(status_after("awq-w4-g64", {{R"("clip_candidates": 10)", R"("clip_candidates": 5)"}}), "");
    EXPECT_EQ(status_after("awq-w4-g64", {{R"("clip_candidates": 10)", R"("clip_candidates": 20)"}})
                  .rfind(site + "a clip", 0),
              0U);
}

TEST(Plan, KnowsNoImportanceBehindARotation) {
    const fake_engine engine;
    quant::recipe how = *quant::find_recipe("imatrix-w4-g64");
    how.transforms = {{{{quant::rotate{}}}, quant::input_choice::all}};
    const auto decided = make_plan(engine.graph, how);
    ASSERT_TRUE(decided);
    EXPECT_EQ(check(*decided, engine.graph).error().message,
              "plan: site blk.0.q: the importance of channels that a rotation mixes");
}

TEST(PlanJson, KnowsTheOptionsOfBinarySolvers) {
    EXPECT_EQ(status_after("squeeze10", {{R"("salience": "pbar")", R"("salience": "pbar_compensated")"},
                                         {R"("first_stage": "none")", R"("first_stage": "gptq")"},
                                         {R"("share": 0.2)", R"("share": 0.3)"},
                                         {R"("rounds": 2)", R"("rounds": 4)"}}),
              "");
    EXPECT_EQ(status_after("pb-llm-20", {{R"("salience": "hessian")", R"("salience": "magnitude")"}}), "");
    EXPECT_EQ(status_after("billm", {{R"("most_columns": 48)", R"("most_columns": 16)"}}), "");
    const std::string site = "plan: site blk.0.q: ";
    EXPECT_EQ(status_after("squeeze10", {{R"("share": 0.2)", R"("share": 1.2)"}}),
              site + "staged takes a share in 0 ... 1, 0 ... 100 rounds and a damping in 0 ... 1000");
    EXPECT_EQ(status_after("squeeze10", {{R"("bits": 1)", R"("bits": 4)"}}),
              site + "binary rounding takes one bit, signs with a scale and perhaps a mean");
    EXPECT_EQ(status_after("squeeze10", {{R"("bits": 4)", R"("bits": 9)"}}).rfind(site + "9-bit integer", 0), 0U);
    EXPECT_EQ(status_after("billm", {{R"("bits": 32)", R"("bits": 8)"}}),
              site + "a simulated weight takes activations in float");
    EXPECT_EQ(status_after("billm", {{R"("most_columns": 48)", R"("most_columns": 0)"}}),
              site + "billm takes at least one salient column and a damping in 0 ... 1000");
    EXPECT_EQ(status_after("pb-llm-20", {{R"("share": 0.2)", R"("share": -0.2)"}}),
              site + "masked-binary takes a share in 0 ... 1 and a damping in 0 ... 1000");
}

TEST(PlanJson, MissingSitesAreNamed) {
    const fake_engine engine;
    plan decided = plan_for(engine.graph, "rtn-w8a8");
    decided.sites.pop_back();
    EXPECT_EQ(check(decided, engine.graph).error().message, "plan: site 9 is nothing, the model has blk.1.up there");
    decided.sites.clear();
    EXPECT_FALSE(check(decided, engine.graph));
}

}  // namespace
