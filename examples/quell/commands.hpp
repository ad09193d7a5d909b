// SPDX-License-Identifier: MIT
/// @file
/// The commands of the program `quell`: their options, and one function each that does the work and returns the exit
/// status: 0 done, 1 bad input or failed work, 2 bad usage.
#pragma once

#include "quell/quant/recipe_options.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace program {

/// What every command takes.
struct common_options {
    std::size_t threads = 0;  ///< 0: all processors
    std::string isa;          ///< empty: the best one
    bool quiet = false;
};

struct eval_options {
    common_options common;
    std::string model = "toy";
    std::string text = "builtin";
    std::string recipes;      ///< empty: all; of a packed file, its own
    std::string reference;    ///< what a packed file is compared with; empty: nothing
    std::size_t tokens = 0;   ///< 0: the whole text
    std::size_t context = 0;  ///< 0: 512, or what the model can take
    std::string calibration;
    std::size_t calibration_tokens = 12288;
    std::uint64_t seed = 1;
    quell::quant::recipe_options settings;
    int embedding_bits = 32;
    int kv_bits = 16;
    std::string plan;
    std::string survey;     ///< file that keeps what auto-<bits> found out; empty: none
    double token_ms = 0.0;  ///< that auto-<bits> may take in the linears of a token; 0: any
    std::string plant;
    std::uint64_t regrid = 0;  ///< seed by which the weights leave the grid of their file; 0: they stay
    std::string json;
    std::string html;
};

struct quantize_options {
    common_options common;
    std::string model = "toy";
    std::string recipe;
    std::string out;
    std::string calibration;
    std::size_t calibration_tokens = 12288;
    quell::quant::recipe_options settings;
    int embedding_bits = 32;
    int kv_bits = 16;
    std::string plan;
    std::string survey;        ///< file that keeps what auto-<bits> found out; empty: none
    double token_ms = 0.0;     ///< as for eval
    std::string save_plan;     ///< empty: nowhere
    std::uint64_t regrid = 0;  ///< as for eval
    bool strict = false;
};

struct run_options {
    common_options common;
    std::string model = "toy";
    std::string prompt;
    std::size_t length = 64;
    std::string recipe;  ///< empty: the model as it is
    std::string calibration;
    float temperature = 0;
    std::uint64_t seed = 1;
};

struct layer_options {
    common_options common;
    std::string in;
    std::string recipe;
    std::string out;
    std::optional<float> alpha = {};
};

struct inspect_options {
    common_options common;
    std::string model = "toy";
    std::string calibration;
    std::string html;
    std::size_t calibration_tokens = 12288;
    std::uint64_t seed = 1;
    float alpha = 0.5F;
    int bits = 4;
    std::string plant;
};

struct train_toy_options {
    common_options common;
    std::string out;
    std::string architecture = "swiglu";
    std::size_t steps = 0;  ///< 0: as many as the embedded weights took
    std::uint64_t seed = 1;
};

struct tune_options {
    common_options common;
    std::string model = "toy";
    std::string recipe;     ///< empty: of a packed file, its own
    std::string reference;  ///< the float model of a packed file
    std::string data = "builtin";
    std::string out;
    std::size_t tokens = 0;  ///< 0: the whole text
    std::size_t calibration_tokens = 12288;
    std::size_t steps = 0;  ///< 0: as the recipes do
    double rate = 0;        ///< 0: as the recipes do
    bool codes = false;
    quell::quant::recipe_options settings;
};

struct stats_options {
    common_options common;
    std::string model = "toy";
    std::string calibration;
    std::size_t calibration_tokens = 12288;
    std::size_t context = 0;  ///< 0: 512, or what the model can take
    std::string out;
};

struct merge_stats_options {
    std::vector<std::string> files;
    std::string out;
};

int eval(const eval_options& options);
int quantize(const quantize_options& options);
int run(const run_options& options);
int layer(const layer_options& options);
int stats(const stats_options& options);
int merge_stats(const merge_stats_options& options);
int inspect(const inspect_options& options);
int train_toy(const train_toy_options& options);
int tune(const tune_options& options);
int list_recipes();

}  // namespace program
