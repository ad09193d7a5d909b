// SPDX-License-Identifier: MIT
/// @file
/// What `quell eval` reports: one row per recipe, as a table for a person and as JSON for a program.
#pragma once

#include "quell/core/storage.hpp"
#include "quell/report/layer_report.hpp"
#include "quell/report/report_json.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace program {

struct eval_row {
    std::string recipe;
    double weight_bits_nominal = 32;
    double weight_bits_stored = 32;
    double model_bits_stored = 32;
    int embedding_bits = 32;
    int activation_bits = 32;
    int kv_bits = 32;  ///< of keys and values in the cache; 32: float
    std::size_t bytes = 0;
    double perplexity = 0;
    double perplexity_change = 0;  ///< percent of the float model's; NaN where that is not known
    double kl_divergence = 0;      ///< NaN where there was nothing to compare with, as is the next
    double top1_agreement = 0;
    double top1_accuracy = 0;  ///< percent of the text's tokens that were the likeliest
    double prefill_tokens_per_second = 0;
    double decode_tokens_per_second = 0;
    double quantize_seconds = 0;
    std::size_t peak_rss_bytes = 0;
    std::vector<quell::report::layer_report> layers = {};  ///< for the page
};

struct eval_report {
    std::string model;
    std::string text;
    std::size_t tokens = 0;
    std::size_t context = 0;
    std::string isa;
    std::size_t threads = 0;
    std::vector<eval_row> rows;
    std::vector<std::string> notes = {};  ///< what was measured besides, and every fallback
};

/// `width`: of the first column; that of its longest name.
inline void print_header(int width) {
    std::printf("%-*s %6s %7s %4s %8s %10s %9s %9s %7s %9s %8s %7s\n", width, "recipe", "w bits", "stored", "a", "MiB",
                "perplexity", "change %", "KL", "top-1 %", "prefill/s", "decode/s", "quant s");
}

/// The number as `format` prints it, or "-" where it is not known.
inline std::string known(const char* format, double value) {
    char text[64];
    std::snprintf(text, sizeof text, format, value);
    return std::isnan(value) ? "-" : text;
}

inline void print_row(const eval_row& row, int width) {
    std::printf("%-*s %6.2f %7.3f %4d %8.1f %10.3f %9s %9s %7s %9.1f %8.1f %7.2f\n", width, row.recipe.c_str(),
                row.weight_bits_nominal, row.weight_bits_stored, row.activation_bits,
                static_cast<double>(row.bytes) / 1048576.0, row.perplexity,
                known("%+.2f", row.perplexity_change).c_str(), known("%.5f", row.kl_divergence).c_str(),
                known("%.2f", row.top1_agreement).c_str(), row.prefill_tokens_per_second, row.decode_tokens_per_second,
                row.quantize_seconds);
    std::fflush(stdout);
}

/// What a file stores of the quantized weights, by name.
inline quell::storage_bits stored_of(const eval_row& row) {
    quell::storage_bits sum;
    for (const quell::report::layer_report& layer : row.layers) {
        sum.add(layer.weights.bits == 32 ? quell::storage_bits() : layer.stored);
    }
    return sum;
}

/// Bits a weight by name, for recipes that store more than codes, scales and zeros; empty for others.
inline std::string stored_note(const eval_row& row) {
    const quell::storage_bits stored = stored_of(row);
    if (stored.order == 0 && stored.mask == 0) {
        return {};
    }
    const double weights = static_cast<double>(stored.total()) / row.weight_bits_stored;
    std::string text = row.recipe + ": bits stored a weight:";
    quell::report::for_each_part(stored, [&](const char* name, std::size_t bits) {
        char part[48];
        std::snprintf(part, sizeof part, " %s %.3f", name, static_cast<double>(bits) / weights);
        text += bits == 0 ? "" : part;
    });
    return text;
}

/// Which share of the float model's top-1 accuracy each recipe keeps, in one line; empty where there is none.
inline std::string accuracy_note(const std::vector<eval_row>& rows, double float_accuracy) {
    std::string text;
    for (const eval_row& row : rows) {
        char part[32];
        std::snprintf(part, sizeof part, " %.1f %%", 100.0 * row.top1_accuracy / float_accuracy);
        text += row.recipe == "fp32" ? "" : (text.empty() ? " " : ", ") + row.recipe + part;
    }
    char start[80];
    std::snprintf(start, sizeof start, "of the float model's top-1 accuracy (%.2f %%) remain:", float_accuracy);
    return text.empty() || float_accuracy == 0.0 ? std::string() : start + text;
}

inline nlohmann::ordered_json to_json(const eval_row& row) {
    return {{"recipe", row.recipe},
            {"weight_bits_nominal", row.weight_bits_nominal},
            {"weight_bits_stored", row.weight_bits_stored},
            {"stored_bytes", quell::report::to_json(stored_of(row))},
            {"model_bits_stored", row.model_bits_stored},
            {"embedding_bits", row.embedding_bits},
            {"activation_bits", row.activation_bits},
            {"kv_bits", row.kv_bits},
            {"bytes", row.bytes},
            {"perplexity", row.perplexity},
            {"kl_divergence", row.kl_divergence},
            {"top1_agreement", row.top1_agreement},
            {"top1_accuracy", row.top1_accuracy},
            {"prefill_tokens_per_second", row.prefill_tokens_per_second},
            {"decode_tokens_per_second", row.decode_tokens_per_second},
            {"quantize_seconds", row.quantize_seconds},
            {"peak_rss_bytes", row.peak_rss_bytes}};
}

inline nlohmann::ordered_json to_json(const eval_report& report) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const eval_row& row : report.rows) {
        rows.push_back(to_json(row));
    }
    return {{"model", report.model},     {"text", report.text}, {"tokens", report.tokens},
            {"context", report.context}, {"isa", report.isa},   {"threads", report.threads},
            {"rows", std::move(rows)}};
}

}  // namespace program
