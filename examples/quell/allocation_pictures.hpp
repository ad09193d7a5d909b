// SPDX-License-Identifier: MIT
/// @file
/// Where a recipe put its bits: the score of every layer by module, with those that stand out named, and a table of
/// what each linear got and why.
#pragma once

#include "quell/report/html_table.hpp"
#include "quell/report/layer_report.hpp"
#include "quell/report/line_chart.hpp"
#include "quell/report/markup.hpp"
#include "quell/report/names.hpp"
#include "quell/report/number_text.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace program {

namespace report = quell::report;

/// Whether the recipe compared layers at all.
[[nodiscard]] inline bool has_scores(const std::vector<report::layer_report>& layers) {
    return std::any_of(layers.begin(), layers.end(), [](const auto& layer) { return layer.score > 0.0; });
}

/// One chart a module, in the order of the network; 0 has no place on the axis.
[[nodiscard]] inline report::markup score_charts(const std::vector<report::layer_report>& layers) {
    std::vector<report::chart> charts;
    std::map<std::string, std::size_t> chart_of;
    for (const report::layer_report& layer : layers) {
        const auto [at, is_new] = chart_of.try_emplace(layer.module, charts.size());
        if (is_new) {
            charts.push_back({.title = layer.module,
                              .x = {"layer", report::axis_kind::linear},
                              .y = {"score", report::axis_kind::logarithmic},
                              .lines = {{.name = layer.module, .look = at->second % 6}}});
        }
        charts[at->second].lines[0].points.push_back({.x = static_cast<double>(layer.layer),
                                                      .y = layer.score,
                                                      .label = layer.flagged ? std::to_string(layer.layer) : ""});
    }
    report::markup all;
    for (const report::chart& c : charts) {
        all += report::draw_scatter(c);
    }
    return report::markup::element("div", {{"class", "row"}}, all);
}

/// The linears that were treated unlike others.
[[nodiscard]] inline report::markup choice_table(const std::vector<report::layer_report>& layers) {
    using enum report::column_kind;
    report::html_table table{.columns = {{"linear", text},
                                         {"score", number, "by which layers are compared"},
                                         {"stands out", text},
                                         {"form", text},
                                         {"bytes", number, "of codes, scales and zeros"},
                                         {"reason", text}}};
    for (const report::layer_report& layer : layers) {
        if (!layer.reason.empty()) {
            table.rows.push_back({layer.site, report::number_text(layer.score, 3), layer.flagged ? "yes" : "",
                                  report::describe(layer.weights), report::count_text(layer.stored_bytes),
                                  layer.reason});
        }
    }
    return report::draw_table(table);
}

}  // namespace program
