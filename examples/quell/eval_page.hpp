// SPDX-License-Identifier: MIT
/// @file
/// The page of `quell eval`: the table, quality over size, speed, and what every layer loses under each recipe.
#pragma once

#include "allocation_pictures.hpp"
#include "layer_map.hpp"
#include "quell/report/bar_chart.hpp"
#include "quell/report/html_table.hpp"
#include "quell/report/line_chart.hpp"
#include "quell/report/number_text.hpp"
#include "quell/report/page.hpp"
#include "table.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace program {

namespace detail {

[[nodiscard]] inline report::markup row_table(const eval_report& found) {
    using report::number_text;
    using enum report::column_kind;
    report::html_table table{.columns = {{"recipe", text},
                                         {"bits, codes", number, "of the quantized weights, without scales"},
                                         {"bits, stored", number, "of the quantized weights, with scales and zeros"},
                                         {"bits, model", number, "of all tensors: embedding, head and norms too"},
                                         {"activation bits", number, ""},
                                         {"MiB", number, "of all tensors"},
                                         {"perplexity", number, ""},
                                         {"change, %", number, "of the perplexity"},
                                         {"KL, nats", number, "divergence from the float model, mean over tokens"},
                                         {"top-1, %", number, "how often the likeliest token is the float model's"},
                                         {"prefill, tokens/s", number, ""},
                                         {"decode, tokens/s", number, ""},
                                         {"quantize, s", number, ""}}};
    for (const eval_row& row : found.rows) {
        table.rows.push_back({row.recipe, row.weight_bits_nominal, number_text(row.weight_bits_stored, 4),
                              number_text(row.model_bits_stored, 4), std::to_string(row.activation_bits),
                              static_cast<double>(row.bytes) / 1048576.0, number_text(row.perplexity, 5),
                              row.perplexity_change, row.kl_divergence, number_text(row.top1_agreement, 4),
                              number_text(row.prefill_tokens_per_second, 4),
                              number_text(row.decode_tokens_per_second, 4), row.quantize_seconds});
    }
    return report::draw_table(table);
}

/// 0 stands for the float model itself and has no place on the axis.
[[nodiscard]] inline report::markup quality_over_size(const eval_report& found) {
    report::series recipes{.look = 2};
    for (const eval_row& row : found.rows) {
        recipes.points.push_back({.x = row.weight_bits_stored, .y = row.kl_divergence, .label = row.recipe});
    }
    const report::chart c{.title = "Quality over size: down and left is better",
                          .x = {"stored bits a weight", report::axis_kind::linear},
                          .y = {"KL divergence from the float model, nats", report::axis_kind::logarithmic},
                          .lines = {recipes},
                          .width = 760.0,
                          .height = 400.0};
    return report::draw_scatter(c);
}

/// One bar for each recipe; logarithmic where the values are far apart.
template <typename Value>
[[nodiscard]] report::markup recipe_bars(const eval_report& found, std::string title, std::size_t look, Value value) {
    report::bar_chart c{.title = std::move(title)};
    double low = std::numeric_limits<double>::infinity();
    double high = 0.0;
    for (const eval_row& row : found.rows) {
        c.bars.push_back({.name = row.recipe, .value = value(row), .look = look});
        low = std::min(low, value(row));
        high = std::max(high, value(row));
    }
    if (high > 10.0 * low) {
        c.kind = report::axis_kind::logarithmic;
        c.title += ", logarithmic";
    }
    return report::draw_bars(c);
}

/// What a layer loses: of its output where that was measured, otherwise of its weight; not a number in float.
[[nodiscard]] inline double loss_of(const report::layer_report& layer) {
    if (layer.weights.bits == 32) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    return 100.0 * (layer.output_error ? layer.output_error->relative() : layer.weight_error.relative());
}

[[nodiscard]] inline bool has_losses(const eval_row& row) {
    return std::any_of(row.layers.begin(), row.layers.end(), [](const auto& layer) { return loss_of(layer) > 0.0; });
}

[[nodiscard]] inline report::markup loss_maps(const eval_report& found) {
    report::axis_range range(report::axis_kind::logarithmic);
    bool of_outputs = false;
    for (const eval_row& row : found.rows) {
        for (const report::layer_report& layer : row.layers) {
            range.include(loss_of(layer));
            of_outputs = of_outputs || layer.output_error.has_value();
        }
    }
    report::markup maps;
    for (const eval_row& row : found.rows) {
        report::heat_map map = make_layer_map(row.recipe, row.layers);
        for (const report::layer_report& layer : row.layers) {
            map.cells.push_back(layer_cell(map, layer, layer.site, loss_of(layer)));
        }
        maps += has_losses(row) ? report::draw_heat_map(map, range) : report::markup();
    }
    const std::string what =
        of_outputs ? "error of the output over its size, %" : "error of the weight over its size, %";
    return report::draw_heat_scale(range, what) + report::markup::element("div", {{"class", "row"}}, maps);
}

[[nodiscard]] inline report::markup list_of(const std::vector<std::string>& notes) {
    report::markup items;
    for (const std::string& note : notes) {
        items += report::text_element("li", {}, note);
    }
    return report::markup::element("ul", {}, items);
}

inline void add_charts(report::page& p, const eval_report& found) {
    const bool compares =
        std::any_of(found.rows.begin(), found.rows.end(), [](const eval_row& row) { return row.kl_divergence > 0.0; });
    p.heading("Quality and speed", "charts");
    if (compares) {
        p.add(quality_over_size(found));
    }
    const report::markup bars =
        recipe_bars(found, "Perplexity", 0, [](const eval_row& row) { return row.perplexity; }) +
        recipe_bars(found, "Size of the model, MiB", 4,
                    [](const eval_row& row) { return static_cast<double>(row.bytes) / 1048576.0; }) +
        recipe_bars(found, "Prefill, tokens/s", 2, [](const eval_row& row) { return row.prefill_tokens_per_second; }) +
        recipe_bars(found, "Decode, tokens/s", 3, [](const eval_row& row) { return row.decode_tokens_per_second; });
    p.add(report::markup::element("div", {{"class", "row"}}, bars));
}

}  // namespace detail

[[nodiscard]] inline std::string eval_page(const eval_report& found) {
    using report::count_text;
    report::page p("Recipes for " + found.model.substr(found.model.find_last_of('/') + 1));
    p.add(report::text_element("p", {{"class", "facts"}},
                               found.model + ", " + found.text + ": " + count_text(found.tokens) +
                                   " tokens in disjoint windows of " + count_text(found.context) +
                                   ", all but the first of a window scored; " + count_text(found.threads) +
                                   (found.threads == 1 ? " thread, " : " threads, ") + found.isa + "."));
    p.add(detail::row_table(found));
    detail::add_charts(p, found);
    if (std::any_of(found.rows.begin(), found.rows.end(), detail::has_losses)) {
        p.heading("What each layer loses", "layers");
        p.paragraph(
            "The size of the error over the size of what is approximated, by linear. Outputs are compared on rows "
            "of the calibration text, with activations rounded too; without such a text only weights are. "
            "Linears that stay in float have no colour. Point at a cell for its value.");
        p.add(detail::loss_maps(found));
    }
    for (const eval_row& row : found.rows) {
        if (has_scores(row.layers)) {
            p.heading("Where " + row.recipe + " puts its bits", "bits-" + row.recipe);
            p.paragraph("The score of each layer, by module; those that stand out carry their number.");
            p.add(score_charts(row.layers)).add(choice_table(row.layers));
        }
    }
    if (!found.notes.empty()) {
        p.heading("Notes", "notes").add(detail::list_of(found.notes));
    }
    return p.finish();
}

}  // namespace program
