// SPDX-License-Identifier: MIT
/// @file
/// The program `quell`: quantizes a language model and shows what that costs and what it gains.
#include "commands.hpp"
#include "quell/core/version.hpp"
#include "quell/transforms/hadamard.hpp"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <map>
#include <string>

#define QUELL_TEXT_OF(x) QUELL_TEXT(x)
#define QUELL_TEXT(x) #x

namespace {

constexpr int bad_usage = 2;

void add_common(CLI::App& command, program::common_options& options) {
    command.add_option("--threads", options.threads, "Threads; default: all processors")->check(CLI::Range(1, 1024));
    command.add_option("--isa", options.isa, "Use at most this instruction set: scalar, avx2, ...");
    command.add_flag("--quiet", options.quiet, "No progress");
}

void add_survey(CLI::App& command, std::string& path) {
    command.add_option("--survey", path,
                       "Keep in this file what auto-<bits> finds out; another run with the same model and text goes on "
                       "from it");
}

void add_token_ms(CLI::App& command, double& most) {
    command
        .add_option("--token-ms", most,
                    "auto-<bits>: at most so many milliseconds in the linears and the head of one token, as measured "
                    "before")
        ->check(CLI::PositiveNumber);
}

void add_regrid(CLI::App& command, std::uint64_t& seed) {
    command
        .add_option("--regrid", seed,
                    "Seed of random channel scales, undone by their readers, which take the weights off the grid of a "
                    "quantized file")
        ->check(CLI::PositiveNumber);
}

void add_settings(CLI::App& command, quell::quant::recipe_options& settings) {
    using quell::transforms::rotation;
    static const std::map<std::string, rotation> reaches = {{"full", rotation::full}, {"blocks", rotation::blocks}};
    command
        .add_option("--alpha", settings.alpha,
                    "Smoothing exponent; else smoothquant takes the best of some for each input at 8 bits, 0.65 at 4; "
                    "others 0.5")
        ->check(CLI::Range(0.0, 1.0));
    command.add_option("--rank", settings.rank, "Directions of the residual stream that QUAD keeps in float")
        ->check(CLI::PositiveNumber);
    command
        .add_option("--rotation", settings.reach,
                    "full, or blocks: Hadamard transforms of an input over blocks of a power of two")
        ->transform(CLI::CheckedTransformer(reaches))
        ->option_text("{full,blocks}");
}

CLI::App* add_eval(CLI::App& app, program::eval_options& options) {
    CLI::App* command = app.add_subcommand("eval", "Perplexity, KL divergence, size and speed of recipes");
    command->add_option("--model", options.model, "toy, toy-gelu, FILE.gguf, FILE.safetensors or a folder");
    command->add_option("--text", options.text, "The text to score, UTF-8; builtin: made by the program");
    command->add_option("--recipe", options.recipes,
                        "Names with commas between them, or all (see: quell recipes); a packed file has its own");
    command->add_option("--reference", options.reference,
                        "The model that a packed file was made from, for KL divergence and top-1 agreement");
    command->add_option("--tokens", options.tokens, "Score the first N tokens only")->check(CLI::PositiveNumber);
    command->add_option("--context", options.context, "Window length in tokens; default 512")
        ->check(CLI::Range(2, 1 << 20));
    command->add_option("--calib", options.calibration, "Calibration text; the toys have a built-in one");
    command->add_option("--calib-tokens", options.calibration_tokens, "How much of it is used")
        ->check(CLI::PositiveNumber);
    command->add_option("--seed", options.seed, "Seed of all that is random");
    add_settings(*command, options.settings);
    command->add_option("--embedding-bits", options.embedding_bits, "Embedding and head: 32, 8 or 4")
        ->check(CLI::IsMember({32, 8, 4}));
    command->add_option("--kv-bits", options.kv_bits, "Keys and values in the cache: 8, 4, or 16 for as they are")
        ->check(CLI::IsMember({16, 8, 4}));
    command->add_option("--plan", options.plan, "Run this plan (JSON, as a report prints it) instead of a recipe");
    add_survey(*command, options.survey);
    add_token_ms(*command, options.token_ms);
    command->add_option("--plant", options.plant, "Plant outliers without changing the float model")
        ->check(CLI::IsMember({"channels", "tokens", "both"}));
    add_regrid(*command, options.regrid);
    command->add_option("--json", options.json, "Write the table to this file");
    command->add_option("--html", options.html, "Write a page with the table, charts and the errors of every layer");
    add_common(*command, options.common);
    return command;
}

CLI::App* add_quantize(CLI::App& app, program::quantize_options& options) {
    CLI::App* command = app.add_subcommand("quantize", "Write a quantized model that run and eval start from at once");
    command->add_option("--model", options.model, "toy, toy-gelu, FILE.gguf, FILE.safetensors or a folder");
    command->add_option("--recipe", options.recipe, "See: quell recipes");
    command->add_option("--out", options.out, "FILE.safetensors: weights, configuration, tokenizer and plan")
        ->required();
    command->add_option("--calib", options.calibration, "Calibration text, where the recipe needs one");
    command->add_option("--calib-tokens", options.calibration_tokens, "How much of it is used")
        ->check(CLI::PositiveNumber);
    add_settings(*command, options.settings);
    command->add_option("--embedding-bits", options.embedding_bits, "Embedding and head: 32, 8 or 4")
        ->check(CLI::IsMember({32, 8, 4}));
    command->add_option("--kv-bits", options.kv_bits, "Keys and values in the cache: 8, 4, or 16 for as they are")
        ->check(CLI::IsMember({16, 8, 4}));
    command->add_option("--plan", options.plan,
                        "Carry out this plan (JSON, as a report prints it) instead of a recipe");
    add_survey(*command, options.survey);
    add_token_ms(*command, options.token_ms);
    command->add_option("--save-plan", options.save_plan, "Write the plan that was carried out (JSON), to be edited");
    add_regrid(*command, options.regrid);
    command->add_flag("--strict", options.strict, "Fail where a linear cannot be what the recipe asks for");
    add_common(*command, options.common);
    return command;
}

CLI::App* add_run(CLI::App& app, program::run_options& options) {
    CLI::App* command = app.add_subcommand("run", "Continue a prompt");
    command->add_option("--model", options.model, "toy, toy-gelu, FILE.gguf, FILE.safetensors or a folder");
    command->add_option("--prompt", options.prompt, "The text to continue")->required();
    command->add_option("-n", options.length, "How many tokens")->check(CLI::PositiveNumber);
    command->add_option("--recipe", options.recipe, "Quantize first (see: quell recipes)");
    command->add_option("--calib", options.calibration, "Calibration text, where the recipe needs one");
    command->add_option("--temperature", options.temperature, "0: always the likeliest token")
        ->check(CLI::Range(0.0, 100.0));
    command->add_option("--seed", options.seed, "Seed of the sampling");
    add_common(*command, options.common);
    return command;
}

CLI::App* add_layer(CLI::App& app, program::layer_options& options) {
    CLI::App* command = app.add_subcommand("layer", "Quantize one matrix and measure the error");
    command->add_option("--in", options.in, "safetensors: weight [out,in], inputs [n,in] (optional)")->required();
    command->add_option("--recipe", options.recipe, "See: quell recipes")->required();
    command->add_option("--out", options.out, "safetensors: dequantized, codes, scales, zeros")->required();
    command->add_option("--alpha", options.alpha, "Smoothing exponent")->check(CLI::Range(0.0, 1.0));
    add_common(*command, options.common);
    return command;
}

CLI::App* add_stats(CLI::App& app, program::stats_options& options) {
    CLI::App* command = app.add_subcommand("stats", "Statistics and outliers of what enters every linear");
    command->add_option("--model", options.model, "toy, toy-gelu, FILE.gguf, FILE.safetensors or a folder");
    command->add_option("--calib", options.calibration, "Calibration text; the toys have a built-in one");
    command->add_option("--calib-tokens", options.calibration_tokens, "How much of it is used")
        ->check(CLI::PositiveNumber);
    command->add_option("--context", options.context, "Window length in tokens; default 512")
        ->check(CLI::Range(1, 1 << 20));
    command->add_option("--out", options.out, "The safetensors file to write")->required();
    add_common(*command, options.common);
    return command;
}

CLI::App* add_inspect(CLI::App& app, program::inspect_options& options) {
    CLI::App* command = app.add_subcommand("inspect", "A page that shows the outliers and what transforms do to them");
    command->add_option("--model", options.model, "toy, toy-gelu, FILE.gguf, FILE.safetensors or a folder");
    command->add_option("--calib", options.calibration, "Calibration text; the toys have a built-in one");
    command->add_option("--html", options.html, "The page to write")->required();
    command->add_option("--calib-tokens", options.calibration_tokens, "How much of the text is used")
        ->check(CLI::PositiveNumber);
    command->add_option("--alpha", options.alpha, "Smoothing exponent")->check(CLI::Range(0.0, 1.0));
    command->add_option("--bits", options.bits, "Of activations and weights: 4 or 8")->check(CLI::IsMember({4, 8}));
    command->add_option("--plant", options.plant, "Plant outliers without changing the float model")
        ->check(CLI::IsMember({"channels", "tokens", "both"}));
    command->add_option("--seed", options.seed, "Seed of what is planted");
    add_common(*command, options.common);
    return command;
}

CLI::App* add_merge_stats(CLI::App& app, program::merge_stats_options& options) {
    CLI::App* command = app.add_subcommand("merge-stats", "One file of statistics from those of several texts");
    command->add_option("files", options.files, "Files of quell stats, in the order of their texts")->required();
    command->add_option("--out", options.out, "The safetensors file to write")->required();
    return command;
}

CLI::App* add_train_toy(CLI::App& app, program::train_toy_options& options) {
    CLI::App* command = app.add_subcommand("train-toy", "Train a toy transformer from nothing");
    command->add_option("--out", options.out, "The safetensors file to write")->required();
    command->add_option("--arch", options.architecture, "Feed-forward: swiglu or gelu")
        ->check(CLI::IsMember({"swiglu", "gelu"}));
    command->add_option("--steps", options.steps, "Optimizer steps")->check(CLI::PositiveNumber);
    command->add_option("--seed", options.seed, "Seed of weights and text");
    add_common(*command, options.common);
    return command;
}

CLI::App* add_tune(CLI::App& app, program::tune_options& options) {
    CLI::App* command = app.add_subcommand("tune", "Tune the scales and the float columns of a quantized model");
    command->add_option("--model", options.model, "toy, toy-gelu, FILE.gguf, FILE.safetensors or a folder");
    command->add_option("--recipe", options.recipe,
                        "How it is quantized first, such as quad-w4a4; of a packed file none");
    command->add_option("--reference", options.reference,
                        "The float model that a packed file was made from, whose predictions are the goal");
    command->add_option("--data", options.data, "The text to tune and calibrate on; the toys have a built-in one");
    command->add_option("--out", options.out, "FILE.safetensors, as quell quantize writes it")->required();
    command->add_option("--tokens", options.tokens, "Tune on the first N tokens only")->check(CLI::PositiveNumber);
    command->add_option("--calib-tokens", options.calibration_tokens, "How many of them calibrate")
        ->check(CLI::PositiveNumber);
    command->add_option("--steps", options.steps, "Optimizer steps")->check(CLI::PositiveNumber);
    command->add_flag("--codes", options.codes, "Tune the codes too, and the scales of every group");
    command->add_option("--rate", options.rate, "Learning rate, relative to the size of what is tuned")
        ->check(CLI::PositiveNumber);
    add_settings(*command, options.settings);
    add_common(*command, options.common);
    return command;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("quell: quells activation outliers and quantizes language models to 8, 4 or 1.6 bits");
    app.set_version_flag("--version",
                         "quell " QUELL_TEXT_OF(QUELL_VERSION_MAJOR) "." QUELL_TEXT_OF(QUELL_VERSION_MINOR) "."  //
                         QUELL_TEXT_OF(QUELL_VERSION_PATCH));
    app.require_subcommand(1);
    program::eval_options eval;
    program::quantize_options quantize;
    program::run_options run;
    program::layer_options layer;
    program::stats_options stats;
    program::merge_stats_options merge_stats;
    program::inspect_options inspect;
    program::train_toy_options train;
    program::tune_options tune;
    const CLI::App* eval_command = add_eval(app, eval);
    const CLI::App* quantize_command = add_quantize(app, quantize);
    const CLI::App* run_command = add_run(app, run);
    const CLI::App* layer_command = add_layer(app, layer);
    const CLI::App* stats_command = add_stats(app, stats);
    const CLI::App* merge_stats_command = add_merge_stats(app, merge_stats);
    const CLI::App* inspect_command = add_inspect(app, inspect);
    const CLI::App* train_command = add_train_toy(app, train);
    const CLI::App* tune_command = add_tune(app, tune);
    app.add_subcommand("recipes", "List the recipes");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : bad_usage;
    }
    if (eval_command->parsed()) {
        return program::eval(eval);
    }
    if (quantize_command->parsed()) {
        return program::quantize(quantize);
    }
    if (run_command->parsed()) {
        return program::run(run);
    }
    if (layer_command->parsed()) {
        return program::layer(layer);
    }
    if (stats_command->parsed()) {
        return program::stats(stats);
    }
    if (merge_stats_command->parsed()) {
        return program::merge_stats(merge_stats);
    }
    if (inspect_command->parsed()) {
        return program::inspect(inspect);
    }
    if (train_command->parsed()) {
        return program::train_toy(train);
    }
    if (tune_command->parsed()) {
        return program::tune(tune);
    }
    return program::list_recipes();
}
