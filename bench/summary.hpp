// SPDX-License-Identifier: MIT
/// @file
/// What the summary reports, as a table for a person and as JSON for a program.
#pragma once

#include "operands.hpp"
#include "roofline.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace bench {

/// A product of m rows. What was not measured is empty.
struct summary_row {
    std::string format;
    std::string isa;
    std::size_t m = 0;
    sizes size;
    double seconds = 0;
    double least_seconds = 0;
    double weight_bytes = 0;
    std::optional<double> limit_seconds;
    std::optional<double> openblas_seconds;
    std::optional<double> eigen_seconds;
    std::optional<double> quantize_seconds;
    std::optional<bool> exact;

    [[nodiscard]] double gops_in(double time) const {
        return 2e-9 * static_cast<double>(m) * static_cast<double>(size.n) * static_cast<double>(size.k) / time;
    }
    [[nodiscard]] double gops() const { return gops_in(seconds); }
    [[nodiscard]] double gbytes_per_second() const { return 1e-9 * weight_bytes / seconds; }
    /// How many times the row's own time another time is.
    [[nodiscard]] std::optional<double> ratio(std::optional<double> other) const {
        return other ? std::optional(*other / seconds) : std::nullopt;
    }
    /// Of the floats that quantization reads.
    [[nodiscard]] std::optional<double> quantize_gbytes_per_second() const {
        return quantize_seconds ? std::optional(4e-9 * static_cast<double>(m * size.k) / *quantize_seconds)
                                : std::nullopt;
    }
};

/// Packing of a weight that is quantized already.
struct packing_row {
    std::string format;
    sizes size;
    double seconds = 0;

    /// Of the codes that are read.
    [[nodiscard]] double gbytes_per_second() const {
        return 1e-9 * static_cast<double>(size.n) * static_cast<double>(size.k) / seconds;
    }
};

struct summary {
    std::string processor;
    std::string compiler;
    std::string isa;
    std::size_t threads = 1;
    limits most;
    std::vector<std::string> compared_with;
    std::vector<std::string> missing;
    std::vector<summary_row> rows;
    std::vector<packing_row> packing;
};

inline void print_head(const summary& s) {
    const auto joined = [](const std::vector<std::string>& names) {
        std::string text;
        for (const std::string& name : names) {
            text += (text.empty() ? "" : ", ") + name;
        }
        return text.empty() ? std::string("none") : text;
    };
    std::printf("%s, %s, %s, threads: %zu\n", s.processor.c_str(), s.compiler.c_str(), s.isa.c_str(), s.threads);
    std::printf("limits: read %.1f GB/s; 8-bit codes %.1f GOP/s, shorter ones %.1f GOP/s; f32 %.1f GOP/s\n",
                s.most.read_bytes, s.most.w8_operations, s.most.narrow_operations, s.most.float_operations);
    std::printf("compared with: %s; missing: %s\n", joined(s.compared_with).c_str(), joined(s.missing).c_str());
}

inline void print_shape(sizes size) {
    std::printf("\n%zu x %zu (out x in)\n%-15s %5s %12s %9s %7s %8s %10s %10s %8s %11s %10s %6s\n", size.n, size.k,
                "format", "M", "microseconds", "GOP/s", "best", "GB/s", "% of limit", "x OpenBLAS", "x Eigen",
                "quant. GB/s", "quant. %", "exact");
}

/// A number, or a dash where there is none.
[[nodiscard]] inline std::string cell(std::optional<double> value, int decimals) {
    char text[32] = "-";
    if (value) {
        std::snprintf(text, sizeof(text), "%.*f", decimals, *value);
    }
    return text;
}

[[nodiscard]] inline std::optional<double> percent(std::optional<double> ratio) {
    return ratio ? std::optional(100 * *ratio) : std::nullopt;
}

inline void print_row(const summary_row& r) {
    const char* const exact = !r.exact ? "-" : *r.exact ? "yes" : "NO";
    std::printf("%-15s %5zu %12.1f %9.1f %7.1f %8.2f %10s %10s %8s %11s %10s %6s\n", r.format.c_str(), r.m,
                1e6 * r.seconds, r.gops(), r.gops_in(r.least_seconds), r.gbytes_per_second(),
                cell(percent(r.ratio(r.limit_seconds)), 1).c_str(), cell(r.ratio(r.openblas_seconds), 2).c_str(),
                cell(r.ratio(r.eigen_seconds), 2).c_str(), cell(r.quantize_gbytes_per_second(), 2).c_str(),
                cell(percent(r.ratio(r.quantize_seconds)), 1).c_str(), exact);
    std::fflush(stdout);
}

inline void print_packing(const std::vector<packing_row>& rows, sizes size) {
    std::string text;
    for (const packing_row& r : rows) {
        if (r.size.n == size.n && r.size.k == size.k) {
            text += " " + r.format + " " + cell(r.gbytes_per_second(), 2);
        }
    }
    if (!text.empty()) {
        std::printf("packing, GB/s of codes:%s\n", text.c_str());
    }
}

[[nodiscard]] inline nlohmann::ordered_json json_of(std::optional<double> value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

[[nodiscard]] inline nlohmann::ordered_json json_of(const summary_row& r, std::size_t threads) {
    return {{"format", r.format},
            {"isa", r.isa},
            {"threads", threads},
            {"m", r.m},
            {"n", r.size.n},
            {"k", r.size.k},
            {"microseconds", 1e6 * r.seconds},
            {"gops", r.gops()},
            {"best_gops", r.gops_in(r.least_seconds)},
            {"gbytes_per_second", r.gbytes_per_second()},
            {"percent_of_limit", json_of(percent(r.ratio(r.limit_seconds)))},
            {"ratio_to_openblas", json_of(r.ratio(r.openblas_seconds))},
            {"ratio_to_eigen", json_of(r.ratio(r.eigen_seconds))},
            {"quantize_gbytes_per_second", json_of(r.quantize_gbytes_per_second())},
            {"quantize_percent", json_of(percent(r.ratio(r.quantize_seconds)))},
            {"exact", r.exact ? nlohmann::ordered_json(*r.exact) : nlohmann::ordered_json()}};
}

[[nodiscard]] inline nlohmann::ordered_json json_of(const summary& s) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const summary_row& r : s.rows) {
        rows.push_back(json_of(r, s.threads));
    }
    nlohmann::ordered_json packing = nlohmann::ordered_json::array();
    for (const packing_row& r : s.packing) {
        packing.push_back({{"format", r.format},
                           {"n", r.size.n},
                           {"k", r.size.k},
                           {"microseconds", 1e6 * r.seconds},
                           {"gbytes_per_second", r.gbytes_per_second()}});
    }
    return {{"processor", s.processor},
            {"compiler", s.compiler},
            {"isa", s.isa},
            {"threads", s.threads},
            {"limits",
             {{"read_gbytes_per_second", s.most.read_bytes},
              {"w8_gops", s.most.w8_operations},
              {"narrow_gops", s.most.narrow_operations},
              {"f32_gops", s.most.float_operations}}},
            {"compared_with", s.compared_with},
            {"missing", s.missing},
            {"rows", std::move(rows)},
            {"packing", std::move(packing)}};
}

}  // namespace bench
