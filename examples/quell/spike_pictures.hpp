// SPDX-License-Identifier: MIT
/// @file
/// The spikes of a model as pictures: for every layer and module how far the largest token stands above the typical
/// one, without and behind a prefix that draws the spikes to itself.
#pragma once

#include "inspection.hpp"
#include "layer_map.hpp"
#include "quell/report/heat_map.hpp"
#include "quell/report/line_chart.hpp"
#include "quell/report/markup.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace program {

/// The scales of the tokens at one input.
struct token_scale {
    double largest = 0.0;      ///< of all tokens
    double median = 0.0;       ///< of the token maxima
    double spike_ratio = 1.0;  ///< largest over median of a window, mean over windows
};

/// Both by input_study, in the order of inspection::inputs.
struct token_scales {
    std::vector<token_scale> without;
    std::vector<token_scale> behind;
};

[[nodiscard]] inline token_scale scale_of(const quell::outliers::input_profile& profile) {
    return {.largest = static_cast<double>(profile.absmax.overall()),
            .median = static_cast<double>(profile.token_maxima.quantile(0.5)),
            .spike_ratio = profile.spikes.mean()};
}

[[nodiscard]] inline token_scales scales_of(const inspection& found) {
    token_scales scales;
    for (const quell::model::input_study& input : found.inputs) {
        scales.without.push_back(scale_of(input.profile));
        const auto behind = found.behind_prefix.inputs.find(found.graph.inputs[input.input].name);
        if (behind != found.behind_prefix.inputs.end()) {
            scales.behind.push_back(scale_of(behind->second));
        }
    }
    return scales;
}

/// The largest token and the median one over the layers, for the inputs of one module.
[[nodiscard]] inline report::markup token_scale_chart(const inspection& found, const token_scales& scales,
                                                      const std::string& module) {
    report::chart c{.title = "Token scale, input of " + module,
                    .x = {"layer", report::axis_kind::linear},
                    .y = {"max |x| of a token", report::axis_kind::logarithmic}};
    const auto add = [&](const std::string& name, const std::vector<token_scale>& of, double token_scale::*member) {
        report::series line{.name = name, .look = c.lines.size()};
        for (std::size_t i = 0; i < of.size(); ++i) {
            const quell::site& first = found.graph.sites[found.inputs[i].readers.front()];
            if (first.module == module) {
                line.points.push_back({.x = static_cast<double>(first.layer), .y = of[i].*member});
            }
        }
        c.lines.push_back(std::move(line));
    };
    add("largest", scales.without, &token_scale::largest);
    add("median", scales.without, &token_scale::median);
    if (!scales.behind.empty()) {
        add("largest, behind the prefix", scales.behind, &token_scale::largest);
        add("median, behind the prefix", scales.behind, &token_scale::median);
    }
    return report::draw_lines(c);
}

/// The first readers of the inputs: one name for every kind of input.
[[nodiscard]] inline std::vector<std::string> first_modules(const inspection& found) {
    std::vector<std::string> modules;
    for (const quell::model::input_study& input : found.inputs) {
        const std::string& module = found.graph.sites[input.readers.front()].module;
        if (std::find(modules.begin(), modules.end(), module) == modules.end()) {
            modules.push_back(module);
        }
    }
    return modules;
}

/// The spike ratio of every linear's input, one map without and one behind the prefix, in one scale.
[[nodiscard]] inline report::markup spike_maps(const inspection& found, const token_scales& scales) {
    report::axis_range range(report::axis_kind::logarithmic);
    range.include(1.0);
    for (const auto* of : {&scales.without, &scales.behind}) {
        for (const token_scale& s : *of) {
            range.include(s.spike_ratio);
        }
    }
    report::markup maps;
    for (const auto* of : {&scales.without, &scales.behind}) {
        report::heat_map map =
            make_layer_map(of == &scales.without ? "without" : "behind the prefix", found.graph.sites);
        for (std::size_t i = 0; i < of->size(); ++i) {
            for (const std::size_t s : found.inputs[i].readers) {
                const quell::site& site = found.graph.sites[s];
                map.cells.push_back(layer_cell(map, site, site.name, (*of)[i].spike_ratio));
            }
        }
        maps += of->empty() ? report::markup() : report::draw_heat_map(map, range);
    }
    return report::draw_heat_scale(range, "largest over median token of a window") +
           report::markup::element("div", {{"class", "row"}}, maps);
}

/// The looks of the lines, for all charts of token scales.
[[nodiscard]] inline report::markup token_scale_legend(const token_scales& scales) {
    std::vector<report::series> lines = {{.name = "largest token", .look = 0}, {.name = "median token", .look = 1}};
    if (!scales.behind.empty()) {
        lines.push_back({.name = "largest, behind the prefix", .look = 2});
        lines.push_back({.name = "median, behind the prefix", .look = 3});
    }
    return report::draw_legend(lines);
}

[[nodiscard]] inline report::markup token_scale_charts(const inspection& found, const token_scales& scales) {
    report::markup charts;
    for (const std::string& module : first_modules(found)) {
        charts += token_scale_chart(found, scales, module);
    }
    return token_scale_legend(scales) + report::markup::element("div", {{"class", "row"}}, charts);
}

/// "Behind the prefix 0 198 1 the largest spike ratio falls from 2015 (blk.11.down_in) to 70.4 (blk.2.down_in)."
[[nodiscard]] inline std::string say_prefix(const inspection& found, const token_scales& scales) {
    const auto worst = [&](const std::vector<token_scale>& of) {
        const auto less = [](const token_scale& a, const token_scale& b) { return a.spike_ratio < b.spike_ratio; };
        const auto at = std::max_element(of.begin(), of.end(), less);
        const auto& input = found.inputs[static_cast<std::size_t>(at - of.begin())];
        return number_text(at->spike_ratio) + " (" + found.graph.inputs[input.input].name + ")";
    };
    if (scales.behind.empty()) {
        return "The largest spike ratio is " + worst(scales.without) + "; a prefix would serve little.";
    }
    std::string ids;
    for (const std::int32_t id : found.prefix) {
        ids += " " + std::to_string(id);
    }
    return "Behind the prefix of the tokens" + ids + " the largest spike ratio goes from " + worst(scales.without) +
           " to " + worst(scales.behind) + ".";
}

}  // namespace program
