// SPDX-License-Identifier: MIT
#include "program/program.hpp"

#include "quell/core/rng.hpp"
#include "quell/io/files.hpp"
#include "quell/io/safetensors.hpp"
#include "support/llama_gguf.hpp"
#include "support/safetensors_builder.hpp"
#include "support/shared_data.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace {

using program_test::contents_of;
using program_test::outcome;

/// The rows of `eval --json`, by recipe.
std::map<std::string, nlohmann::json> rows_of(std::vector<std::string> arguments) {
    const support::temporary_folder folder;
    arguments.insert(arguments.begin(), "eval");
    arguments.insert(arguments.end(), {"--json", folder.file("out.json"), "--quiet"});
    const outcome o = program_test::quell(arguments);
    EXPECT_EQ(o.status, 0) << o.err;
    const auto json = nlohmann::json::parse(contents_of(folder.file("out.json")), nullptr, false);
    std::map<std::string, nlohmann::json> rows;
    if (json.is_object()) {
        for (const auto& row : json["rows"]) {
            rows[row["recipe"]] = row;
        }
    }
    return rows;
}

TEST(Program, ComparesRecipesOnBothToys) {
    for (const char* model : {"toy", "toy-gelu"}) {
        auto rows = rows_of({"--model", model, "--tokens", "4096", "--recipe", "fp32,rtn-w8a8,rtn-w4a4"});
        ASSERT_EQ(rows.size(), 3U) << model;
        EXPECT_EQ(rows["fp32"]["kl_divergence"], 0.0);
        EXPECT_EQ(rows["fp32"]["top1_agreement"], 100.0);
        EXPECT_GT(rows["rtn-w8a8"]["kl_divergence"], 0.0);
        EXPECT_LT(rows["rtn-w8a8"]["kl_divergence"], 0.01);
        EXPECT_GT(rows["rtn-w4a4"]["kl_divergence"], rows["rtn-w8a8"]["kl_divergence"]);
        EXPECT_GT(rows["rtn-w4a4"]["perplexity"], rows["fp32"]["perplexity"]);
        EXPECT_LT(rows["rtn-w4a4"]["bytes"], rows["rtn-w8a8"]["bytes"]);
        EXPECT_LT(rows["rtn-w8a8"]["bytes"], rows["fp32"]["bytes"]);
        EXPECT_EQ(rows["rtn-w8a8"]["weight_bits_nominal"], 8.0);
        EXPECT_GT(rows["rtn-w8a8"]["weight_bits_stored"], 8.0);
    }
}

TEST(Program, Squeeze10BeatsOtherBinaryFormsInFewerBits) {
    auto rows = rows_of({"--model", "toy", "--tokens", "2048", "--calib-tokens", "2048", "--recipe",
                         "squeeze10,pb-llm-10,billm", "--embedding-bits", "8"});
    const auto of = [&](const char* recipe, const char* field) { return rows[recipe][field].get<double>(); };
    EXPECT_NEAR(of("squeeze10", "weight_bits_nominal"), 1.6, 0.03);
    for (const char* other : {"pb-llm-10", "billm"}) {
        EXPECT_LT(of("squeeze10", "weight_bits_stored"), of(other, "weight_bits_stored")) << other;
        EXPECT_LT(of("squeeze10", "kl_divergence"), of(other, "kl_divergence")) << other;
        EXPECT_GT(rows[other]["stored_bytes"]["mask"].get<double>(), 0.0) << other;
    }
    EXPECT_GT(rows["squeeze10"]["stored_bytes"]["order"].get<double>(), 0.0);
    EXPECT_EQ(rows["squeeze10"]["stored_bytes"]["mask"], 0.0);
}

TEST(Program, PlantedOutliersHurtRoundingAndSmoothingHelps) {
    auto rows = rows_of(
        {"--model", "toy", "--plant", "channels", "--tokens", "4096", "--recipe", "fp32,rtn-w8a8,smoothquant-w8a8"});
    ASSERT_EQ(rows.size(), 3U);
    EXPECT_LT(rows["smoothquant-w8a8"]["kl_divergence"], rows["rtn-w8a8"]["kl_divergence"]);
}

TEST(Program, InputsBehindRoundedLayersMakeBetterCodes) {
    auto rows = rows_of({"--model", "toy", "--tokens", "2048", "--calib-tokens", "4096", "--recipe",
                         "gptq-w3-g64,gptq-w3-g64-propagated,quarot-w4a4,quarot-w4a4-propagated"});
    const auto kl = [&](const char* recipe) { return rows[recipe]["kl_divergence"].get<double>(); };
    EXPECT_LT(kl("gptq-w3-g64-propagated"), 0.8 * kl("gptq-w3-g64"));
    EXPECT_LT(kl("quarot-w4a4-propagated"), kl("quarot-w4a4"));
}

/// Massive tokens: a rotation spreads them over all channels, and with them their error, unless they are smoothed
/// first.
TEST(Program, PlantedTokensHurtRotationAndSmoothingBeforeItHelps) {
    auto rows = rows_of({"--model", "toy", "--plant", "tokens", "--tokens", "2048", "--recipe",
                         "rtn-w4a4,quarot-w4a4-rtn,smoothrot-w4a4-rtn,auto-transform-w4a4-rtn"});
    ASSERT_EQ(rows.size(), 4U);
    const auto kl = [&](const char* recipe) { return rows[recipe]["kl_divergence"].get<double>(); };
    EXPECT_LT(kl("smoothrot-w4a4-rtn"), 0.7 * kl("rtn-w4a4"));
    EXPECT_LT(kl("smoothrot-w4a4-rtn"), 0.5 * kl("quarot-w4a4-rtn"));
    EXPECT_LT(kl("auto-transform-w4a4-rtn"), kl("smoothrot-w4a4-rtn"));
}

/// One static scale cannot serve massive tokens and all others; 16 bits for the few inputs that have them can.
TEST(Program, PlantedTokensHurtStaticScalesAndExemptionHelps) {
    auto rows =
        rows_of({"--model", "toy", "--plant", "tokens", "--tokens", "2048", "--recipe", "fp32,static-w8a8,qfem-w8a8"});
    ASSERT_EQ(rows.size(), 3U);
    const auto loss = [&](const char* recipe) { return std::log(rows[recipe]["perplexity"].get<double>()); };
    EXPECT_GT(loss("static-w8a8") - loss("fp32"), 0.5);
    EXPECT_LT(loss("qfem-w8a8") - loss("fp32"), 0.05 * (loss("static-w8a8") - loss("fp32")));
    EXPECT_LT(rows["qfem-w8a8"]["kl_divergence"], 0.02);
    EXPECT_EQ(rows["qfem-w8a8"]["weight_bits_stored"], rows["static-w8a8"]["weight_bits_stored"]);
}

TEST(Program, SaysWhichSitesAreExemptAndWhichTokensStandInFront) {
    const outcome o = program_test::quell({"eval", "--model", "toy", "--plant", "tokens", "--tokens", "512",
                                           "--calib-tokens", "2048", "--recipe", "qfem-qfep-w8a8", "--quiet"});
    ASSERT_EQ(o.status, 0) << o.err;
    EXPECT_NE(o.out.find("qfem-qfep-w8a8: blk.1.ffn_down: spike ratio "), std::string::npos) << o.out;
}

/// Less than a window, down to a single token, of which no recipe can learn much.
TEST(Program, OneTokenOfCalibrationIsEnoughToRun) {
    const std::string recipes =
        "smoothquant-w8a8,quarot-w4a4,smoothrot-w4a4,hybrid-w4a4,auto-transform-w4a4,gptq-w4a8-g128,"
        "gptq-w4a8-g128-propagated,awq-w4a8-g128,squeeze10";
    for (const std::string tokens : {"1", "300"}) {
        const std::string all = tokens == "1" ? recipes : recipes + ",quad-w4a4";
        auto rows = rows_of(
            {"--model", "toy", "--tokens", "512", "--calib-tokens", tokens, "--recipe", all, "--embedding-bits", "8"});
        ASSERT_EQ(rows.size(), tokens == "1" ? 9U : 10U);
        for (const auto& [recipe, row] : rows) {
            EXPECT_LT(row["kl_divergence"].get<double>(), 5.0) << recipe << " of " << tokens;
        }
        EXPECT_LT(rows["smoothquant-w8a8"]["kl_divergence"], 0.02);
        EXPECT_LT(rows["gptq-w4a8-g128"]["kl_divergence"], 0.05);
    }
    const outcome o = program_test::quell(
        {"eval", "--model", "toy", "--tokens", "512", "--calib-tokens", "1", "--recipe", "quad-w4a4", "--quiet"});
    EXPECT_EQ(o.status, 1);
    EXPECT_NE(o.err.find("1 tokens cannot tell 16 leading directions"), std::string::npos) << o.err;
}

TEST(Program, KeysAndValuesInCodesCostLittle) {
    const auto kl = [](const char* bits) {
        return rows_of({"--model", "toy", "--tokens", "2048", "--recipe", "rtn-w8a8", "--kv-bits",
                        bits})["rtn-w8a8"]["kl_divergence"]
            .get<double>();
    };
    EXPECT_LT(kl("8"), 0.002);
    EXPECT_LT(kl("4"), 0.05);
    EXPECT_LT(kl("8"), kl("4"));
}

TEST(Program, AQuantizedHeadCostsLittleAndSavesBytes) {
    auto whole = rows_of({"--model", "toy", "--tokens", "4096", "--recipe", "rtn-w8a8"});
    auto small = rows_of({"--model", "toy", "--tokens", "4096", "--recipe", "rtn-w8a8", "--embedding-bits", "8"});
    ASSERT_EQ(small.size(), 1U);
    EXPECT_LT(small["rtn-w8a8"]["model_bits_stored"], whole["rtn-w8a8"]["model_bits_stored"]);
    EXPECT_LT(small["rtn-w8a8"]["kl_divergence"], 0.01);
}

TEST(Program, GivesTheSameFiguresForAnyThreadCountAndInstructionSet) {
    const std::vector<std::string> arguments = {"--model",   "toy", "--tokens", "512",
                                                "--context", "128", "--recipe", "rtn-w4a8-g32"};
    const auto run = [&](const std::vector<std::string>& more) {
        std::vector<std::string> all = arguments;
        all.insert(all.end(), more.begin(), more.end());
        return rows_of(all)["rtn-w4a8-g32"]["kl_divergence"];
    };
    const auto one = run({"--threads", "1"});
    EXPECT_TRUE(one.is_number());
    EXPECT_EQ(one, run({"--threads", "3"}));
    EXPECT_EQ(one, run({"--isa", "scalar"}));
}

TEST(Program, ContinuesAPrompt) {
    const outcome o = program_test::quell({"run", "--model", "toy", "--prompt", "The old fox ", "-n", "12", "--quiet"});
    EXPECT_EQ(o.status, 0) << o.err;
    EXPECT_EQ(o.out.size(), std::string("The old fox ").size() + 12 + 1) << o.out;
    EXPECT_EQ(o.out, program_test::quell({"run", "--model", "toy", "--prompt", "The old fox ", "-n", "12", "--recipe",
                                          "fp32", "--threads", "1", "--quiet"})
                         .out);
}

/// The only row of a packed file, or of one recipe; null without one.
nlohmann::json row_of(const std::vector<std::string>& arguments) {
    const auto rows = rows_of(arguments);
    EXPECT_EQ(rows.size(), 1U);
    return rows.empty() ? nlohmann::json() : rows.begin()->second;
}

TEST(Program, WritesAModelThatScoresAsTheOneInMemory) {
    const support::temporary_folder folder;
    const std::string packed = folder.file("m.safetensors");
    for (const std::vector<std::string>& how :
         {std::vector<std::string>{"--recipe", "rtn-w4a8-g32", "--embedding-bits", "8"},
          {"--recipe", "smoothquant-w8a8", "--calib-tokens", "1024"},
          {"--recipe", "smoothrot-w4a4-rtn", "--calib-tokens", "1024"},
          {"--recipe", "qfem-qfep-w8a8", "--calib-tokens", "1024", "--kv-bits", "8"},
          {"--recipe", "auto-5.3", "--calib-tokens", "1024"},
          {"--recipe", "hybrid-w4a4", "--calib-tokens", "1024", "--kv-bits", "4"}}) {
        for (const char* model : {"toy", "toy-gelu"}) {
            std::vector<std::string> arguments = {"quantize", "--model", model, "--out", packed};
            arguments.insert(arguments.end(), how.begin(), how.end());
            const outcome o = program_test::quell(arguments);
            ASSERT_EQ(o.status, 0) << o.err;
            EXPECT_NE(o.out.find("wrote " + packed + ": " + std::to_string(contents_of(packed).size()) + " bytes"),
                      std::string::npos)
                << o.out;
            std::vector<std::string> direct = {"--model", model, "--tokens", "1024"};
            direct.insert(direct.end(), how.begin(), how.end());
            const auto expected = row_of(direct);
            if (model == std::string("toy")) {  // nothing beside the file is needed
                const auto alone = row_of({"--model", packed, "--tokens", "1024"});
                EXPECT_EQ(alone["perplexity"], expected["perplexity"]);
                EXPECT_TRUE(alone["kl_divergence"].is_null() && alone["top1_agreement"].is_null());
            }
            const auto compared = row_of({"--model", packed, "--reference", model, "--tokens", "1024"});
            for (const char* field : {"recipe", "perplexity", "kl_divergence", "top1_agreement", "bytes",
                                      "weight_bits_stored", "model_bits_stored", "embedding_bits", "activation_bits"}) {
                EXPECT_EQ(compared[field], expected[field]) << model << ": " << field;
            }
        }
    }
}

TEST(Program, TuningLowersTheDivergenceAndChangesNoSize) {
    const support::temporary_folder folder;
    const std::string untuned = folder.file("untuned.safetensors");
    const std::string tuned = folder.file("tuned.safetensors");
    const std::string again = folder.file("again.safetensors");
    const auto ran = [](const std::vector<std::string>& arguments) {
        const outcome o = program_test::quell(arguments);
        EXPECT_EQ(o.status, 0) << o.err;
        return o.out;
    };
    const std::vector<std::string> few = {"--recipe", "quad-w4a4-rtn", "--calib-tokens", "1024"};
    std::vector<std::string> quantize = {"quantize", "--model", "toy", "--out", untuned};
    quantize.insert(quantize.end(), few.begin(), few.end());
    ran(quantize);
    const std::vector<std::string> short_run = {"--steps", "20", "--tokens", "8193"};
    std::vector<std::string> tune = {"tune", "--model", untuned, "--reference", "toy", "--out", tuned};
    tune.insert(tune.end(), short_run.begin(), short_run.end());
    EXPECT_NE(ran(tune).find("quad-w4a4-rtn-tuned: 20 steps; loss "), std::string::npos);
    std::vector<std::string> whole = {"tune", "--model", "toy", "--out", again, "--threads", "1"};
    whole.insert(whole.end(), few.begin(), few.end());
    whole.insert(whole.end(), short_run.begin(), short_run.end());
    ran(whole);
    EXPECT_EQ(contents_of(again), contents_of(tuned));
    const auto before = row_of({"--model", untuned, "--reference", "toy", "--tokens", "4096"});
    const auto after = row_of({"--model", tuned, "--reference", "toy", "--tokens", "4096"});
    EXPECT_LT(after["kl_divergence"], before["kl_divergence"]);
    EXPECT_LT(after["perplexity"], before["perplexity"]);
    EXPECT_EQ(after["bytes"], before["bytes"]);
    EXPECT_EQ(after["stored_bytes"], before["stored_bytes"]);
    EXPECT_EQ(folder.names().size(), 3U);  // the checkpoints are gone
}

TEST(Program, TunedRecipesBeatTheUntuned) {
    auto rows = rows_of({"--model", "toy", "--tokens", "4096", "--calib-tokens", "4096", "--recipe",
                         "quad-w4a4,quad-w4a4-tuned,quad-w4a4a8,quad-w4a4a8-tuned"});
    ASSERT_EQ(rows.size(), 4U);
    const auto kl = [&](const char* recipe) { return rows[recipe]["kl_divergence"].get<double>(); };
    EXPECT_LT(kl("quad-w4a4-tuned"), kl("quad-w4a4"));
    EXPECT_LT(kl("quad-w4a4a8-tuned"), kl("quad-w4a4a8"));
    EXPECT_EQ(rows["quad-w4a4-tuned"]["weight_bits_stored"], rows["quad-w4a4"]["weight_bits_stored"]);
}

TEST(Program, APrefixStandsInFrontOfEveryTextWithoutBeingAskedFor) {
    const support::temporary_folder folder;
    const std::string plain = folder.file("plain.safetensors");
    ASSERT_EQ(program_test::quell(
                  {"quantize", "--model", "toy", "--recipe", "static-w8a8", "--calib-tokens", "1024", "--out", plain})
                  .status,
              0);
    std::string plan = quell::io::safetensors_file::open(plain)->metadata().at("quell.plan");
    const std::string none = "\"prefix\":[]";
    ASSERT_NE(plan.find(none), std::string::npos);
    plan.replace(plan.find(none), none.size(), "\"prefix\":[46,10]");
    const std::string plan_file = folder.write("plan.json", std::as_bytes(std::span(plan)));
    const std::string packed = folder.file("prefixed.safetensors");
    const outcome o = program_test::quell({"quantize", "--model", "toy", "--plan", plan_file, "--out", packed});
    ASSERT_EQ(o.status, 0) << o.err;
    EXPECT_NE(o.out.find("static-w8a8: behind a prefix of 2 tokens in float: 46 10\n"), std::string::npos) << o.out;
    const auto alone = row_of({"--model", packed, "--reference", "toy", "--tokens", "1024"});
    const auto direct = row_of({"--model", "toy", "--plan", plan_file, "--tokens", "1024"});
    EXPECT_EQ(alone["perplexity"], direct["perplexity"]);
    EXPECT_EQ(alone["bytes"], direct["bytes"]);
    const auto without = row_of({"--model", plain, "--tokens", "1024"});
    EXPECT_NE(alone["perplexity"], without["perplexity"]);
    EXPECT_GT(alone["bytes"], without["bytes"]);
    const outcome said = program_test::quell({"run", "--model", packed, "--prompt", "The old fox ", "-n", "8"});
    EXPECT_EQ(said.status, 0) << said.err;
    EXPECT_EQ(said.out.size(), std::string("The old fox ").size() + 8 + 1) << said.out;
}

TEST(Program, WritesTheSameBytesForAnyThreadCountAndAgain) {
    const support::temporary_folder folder;
    std::vector<std::string> written;
    for (const char* threads : {"1", "2", "3", "3"}) {
        const outcome o =
            program_test::quell({"quantize", "--model", "toy", "--recipe", "static-w8a8", "--calib-tokens", "1024",
                                 "--threads", threads, "--out", folder.file("m.safetensors")});
        ASSERT_EQ(o.status, 0) << o.err;
        written.push_back(contents_of(folder.file("m.safetensors")));
    }
    for (const std::string& bytes : written) {
        EXPECT_EQ(bytes, written.front());
    }
}

TEST(Program, AutoKeepsItsBudgetAndGoesOnWhereItWasInterrupted) {
    const support::temporary_folder folder;
    const std::string survey = folder.file("survey.json");
    const std::string plan = folder.file("plan.json");
    const auto quantized = [&](const std::vector<std::string>& how) {
        std::vector<std::string> arguments = {
            "quantize", "--model", "toy", "--calib-tokens", "1024", "--out", folder.file("m.safetensors")};
        arguments.insert(arguments.end(), how.begin(), how.end());
        const outcome o = program_test::quell(arguments);
        EXPECT_EQ(o.status, 0) << o.err;
        return contents_of(folder.file("m.safetensors"));
    };
    const std::string whole = quantized({"--recipe", "auto-4.6", "--survey", survey, "--save-plan", plan});
    auto known = nlohmann::json::parse(contents_of(survey));
    ASSERT_EQ(known["sites"].size(), 29U);  // 28 linears and the head
    known["sites"].erase(known["sites"].begin() + 7, known["sites"].end());
    const std::string some = known.dump();
    EXPECT_TRUE(quell::io::write_file_atomically(survey, std::as_bytes(std::span(some))));
    EXPECT_EQ(quantized({"--recipe", "auto-4.6", "--survey", survey}), whole);
    EXPECT_EQ(nlohmann::json::parse(contents_of(survey))["sites"].size(), 29U);
    EXPECT_EQ(quantized({"--plan", plan}), whole);
    const auto row = row_of({"--model", folder.file("m.safetensors"), "--tokens", "512"});
    EXPECT_LE(row["model_bits_stored"], 4.6);
    EXPECT_GT(row["model_bits_stored"], 4.5);
    EXPECT_EQ(row["activation_bits"], 8);
}

TEST(Program, ContinuesAPromptFromAPackedFile) {
    const support::temporary_folder folder;
    const std::string packed = folder.file("m.safetensors");
    ASSERT_EQ(program_test::quell({"quantize", "--model", "toy", "--recipe", "rtn-w8a8", "--out", packed}).status, 0);
    const auto said = [](const std::vector<std::string>& model) {
        std::vector<std::string> arguments = {"run", "--prompt", "The old fox ", "-n", "20"};
        arguments.insert(arguments.end(), model.begin(), model.end());
        const outcome o = program_test::quell(arguments);
        EXPECT_EQ(o.status, 0) << o.err;
        EXPECT_NE(o.err.find("loaded in "), std::string::npos) << o.err;
        return o.out;
    };
    const std::string direct = said({"--model", "toy", "--recipe", "rtn-w8a8"});
    EXPECT_EQ(said({"--model", packed}), direct);
    EXPECT_EQ(said({"--model", packed, "--recipe", "rtn-w8a8", "--isa", "scalar"}), direct);
}

TEST(Program, QuantizesOneMatrix) {
    const support::temporary_folder folder;
    quell::rng random(1);
    const std::vector<float> weight = support::random_weight(random, 24, 40);
    const std::vector<float> inputs = support::random_weight(random, 7, 40);
    const std::string in = folder.write(
        "in.safetensors",
        support::safetensors_builder().add("weight", {24, 40}, weight).add("inputs", {7, 40}, inputs).build());
    const std::string out = folder.file("out.safetensors");
    const outcome o = program_test::quell({"layer", "--in", in, "--recipe", "rtn-w4a8-g32", "--out", out});
    ASSERT_EQ(o.status, 0) << o.err;
    EXPECT_NE(o.out.find("weight error"), std::string::npos);
    EXPECT_NE(o.out.find("output error"), std::string::npos);
    const std::string written = contents_of(out);
    for (const char* tensor : {"dequantized", "codes", "scales"}) {
        EXPECT_NE(written.find(tensor), std::string::npos) << tensor;
    }
    EXPECT_EQ(written.find("zeros"), std::string::npos);
}

TEST(Program, RunsModelsOfUnfriendlySizes) {
    const support::temporary_folder folder;
    const support::llama_shape sizes{
        .vocab = 512, .width = 24, .layers = 1, .heads = 3, .kv_heads = 1, .ff_width = 172};
    const std::string model = folder.write("odd.gguf", support::llama_gguf(sizes).build());
    auto rows = rows_of(
        {"--model", model, "--tokens", "256", "--context", "64", "--recipe", "fp32,rtn-w8a8,rtn-w4a8-g128,rtn-w4a4"});
    ASSERT_EQ(rows.size(), 4U);
    for (const auto& [recipe, row] : rows) {
        EXPECT_TRUE(std::isfinite(row["perplexity"].get<double>())) << recipe;
    }
}

/// The reference figure comes from an independent implementation; see the notes beside the data.
TEST(Program, AgreesWithTheReferenceOnARealModel) {
    const auto model = ::shared_file("data/SmolLM2-135M-Instruct.Q4_1.gguf");
    const auto text = ::shared_file("data/wikitext2-evaluation.txt");
    if (!model || !text) {
        GTEST_SKIP() << "no SmolLM2-135M-Instruct.Q4_1.gguf with its texts here";
    }
    auto rows = rows_of({"--model", *model, "--text", *text, "--tokens", "5120", "--recipe",
                         "fp32,absmax-w8a8,absmax-w4a8-g128,rtn-w4a8-g128"});
    ASSERT_EQ(rows.size(), 4U);
    EXPECT_NEAR(rows["fp32"]["perplexity"].get<double>(), 31.75, 0.003 * 31.75);
    EXPECT_NEAR(rows["absmax-w8a8"]["kl_divergence"].get<double>(), 0.038, 0.0038);
    EXPECT_NEAR(rows["absmax-w4a8-g128"]["kl_divergence"].get<double>(), 0.729, 0.0729);
    EXPECT_LT(rows["rtn-w4a8-g128"]["kl_divergence"], rows["absmax-w4a8-g128"]["kl_divergence"]);
}

}  // namespace
