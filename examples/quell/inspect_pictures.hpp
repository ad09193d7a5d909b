// SPDX-License-Identifier: MIT
/// @file
/// The pictures of `quell inspect`: heat maps over layers and modules, and for an input its channels and tokens before
/// and after each transform.
#pragma once

#include "inspection.hpp"
#include "layer_map.hpp"
#include "quell/report/heat_map.hpp"
#include "quell/report/line_chart.hpp"
#include "quell/report/markup.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace program {

/// What a heat map shows of a linear under a transform.
using site_number = std::function<double(const site_place&, input_transform)>;

/// One map for each transform, all with one scale.
[[nodiscard]] inline report::markup maps_of(const inspection& found, const std::vector<site_place>& sites,
                                            const std::string& label, const site_number& number) {
    report::axis_range range(report::axis_kind::logarithmic);
    for (const site_place& p : sites) {
        for (const input_transform t : input_transforms) {
            range.include(number(p, t));
        }
    }
    report::markup maps;
    for (const input_transform t : input_transforms) {
        report::heat_map map = make_layer_map(std::string(name_of(t)), found.graph.sites);
        for (const site_place& p : sites) {
            map.cells.push_back(layer_cell(map, site_at(found, p), site_at(found, p).name, number(p, t)));
        }
        maps += report::draw_heat_map(map, range);
    }
    return report::draw_heat_scale(range, label) + report::markup::element("div", {{"class", "row"}}, maps);
}

/// Which transform is the best, and how many times less it loses than none.
[[nodiscard]] inline report::markup gain_map(const inspection& found, const std::vector<site_place>& sites) {
    constexpr std::array<const char*, 4> letters = {"", "S", "R", "B"};
    report::heat_map map = make_layer_map("best transform: S smooth, R rotate, B both, empty none", found.graph.sites);
    map.cell_width = std::max(map.cell_width, 15.0);
    report::axis_range range(report::axis_kind::logarithmic);
    range.include(1.0);
    for (const site_place& p : sites) {
        const input_transform best = best_at(found, p);
        report::heat_cell cell = layer_cell(map, site_at(found, p), site_at(found, p).name,
                                            lost_at(found, p, input_transform::none) / lost_at(found, p, best));
        cell.mark = letters[static_cast<std::size_t>(best)];
        cell.tip += ", " + std::string(name_of(best)) + ", times less";
        range.include(cell.value);
        map.cells.push_back(cell);
    }
    return report::draw_heat_scale(range, "how many times less is lost than without a transform") +
           report::markup::element("div", {{"class", "row"}}, report::draw_heat_map(map, range));
}

/// `count` of the ranks 0 ... n - 1, dense where a sorted curve is steep: at its head.
[[nodiscard]] inline std::vector<std::size_t> ranks_shown(std::size_t n, std::size_t count) {
    std::vector<std::size_t> ranks;
    for (std::size_t i = 0; i < count && n > 0; ++i) {
        const double share = static_cast<double>(i) / static_cast<double>(count - 1);
        const auto rank = static_cast<std::size_t>(std::lround(std::pow(static_cast<double>(n), share))) - 1;
        if (ranks.empty() || rank > ranks.back()) {
            ranks.push_back(rank);
        }
    }
    return ranks;
}

[[nodiscard]] inline report::series series_for(const quell::quant::transform_effect& effect) {
    return {.name = std::string(name_of(effect.transform)), .look = static_cast<std::size_t>(effect.transform)};
}

using magnitudes = std::vector<double> quell::quant::transform_effect::*;

[[nodiscard]] inline report::markup magnitude_chart(const quell::model::input_study& input, const std::string& title,
                                                    magnitudes member) {
    report::chart c{.title = title,
                    .x = {"channel, the largest first", report::axis_kind::logarithmic},
                    .y = {"L2 norm", report::axis_kind::logarithmic}};
    for (const auto& effect : input.effects) {
        report::series line = series_for(effect);
        for (const std::size_t rank : ranks_shown((effect.*member).size(), 48)) {
            line.points.push_back({.x = static_cast<double>(rank + 1), .y = (effect.*member)[rank]});
        }
        c.lines.push_back(std::move(line));
    }
    return report::draw_lines(c);
}

/// The largest token maximum of every stretch of the window; the first token is a stretch of its own.
[[nodiscard]] inline report::markup token_chart(const inspection& found, const quell::model::input_study& input) {
    constexpr std::size_t stretches = 48;
    report::chart c{.title = "Token maxima over the window",
                    .x = {"position in the window", report::axis_kind::linear},
                    .y = {"max |x| of the tokens", report::axis_kind::logarithmic}};
    const std::size_t length = std::max<std::size_t>((found.window + stretches - 1) / stretches, 1);
    for (const auto& effect : input.effects) {
        std::vector<double> largest(stretches + 1, -1.0);
        for (std::size_t r = 0; r < input.rows.size(); ++r) {
            const std::size_t position = input.rows[r] % found.window;
            double& v = largest[position == 0 ? 0 : 1 + (position - 1) / length];
            v = std::max(v, static_cast<double>(effect.token_maxima[r]));
        }
        report::series line = series_for(effect);
        for (std::size_t s = 0; s < largest.size(); ++s) {
            if (largest[s] > 0.0) {
                line.points.push_back({.x = s == 0 ? 0.0 : (static_cast<double>(s) - 0.5) * static_cast<double>(length),
                                       .y = largest[s]});
            }
        }
        c.lines.push_back(std::move(line));
    }
    return report::draw_lines(c);
}

/// The layer error of every linear over the difficulty of its input, which it follows.
[[nodiscard]] inline report::markup error_over_difficulty(const inspection& found) {
    report::chart c{.title = "Layer error over difficulty",
                    .x = {"D(X), difficulty of the activations", report::axis_kind::logarithmic},
                    .y = {"E, layer error", report::axis_kind::logarithmic},
                    .width = 620.0,
                    .height = 330.0};
    for (const input_transform t : input_transforms) {
        report::series cloud{.name = std::string(name_of(t)), .look = static_cast<std::size_t>(t)};
        for (const quell::model::input_study& input : found.inputs) {
            const auto& effect = input.effects[static_cast<std::size_t>(t)];
            for (const auto& w : effect.weights) {
                cloud.points.push_back({.x = effect.difficulty.deviation, .y = w.error.squares});
            }
        }
        c.lines.push_back(std::move(cloud));
    }
    return report::draw_scatter(c);
}

/// The looks of the transforms, for all charts.
[[nodiscard]] inline report::markup transform_legend() {
    std::vector<report::series> lines;
    for (const input_transform t : input_transforms) {
        lines.push_back({.name = std::string(name_of(t)), .look = static_cast<std::size_t>(t)});
    }
    return report::draw_legend(lines);
}

}  // namespace program
