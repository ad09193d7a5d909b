// SPDX-License-Identifier: MIT
/// @file
/// A heat map of a model: its modules as rows, in the order of the network, and its layers as columns.
#pragma once

#include "quell/report/heat_map.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

namespace program {

namespace report = quell::report;

/// Without cells yet. `sites`: anything with a module and a layer.
template <typename Sites>
[[nodiscard]] report::heat_map make_layer_map(std::string title, const Sites& sites) {
    constexpr double width = 440.0;
    report::heat_map map{.title = std::move(title), .column_label = "layer"};
    std::size_t layers = 1;
    for (const auto& s : sites) {
        if (std::find(map.rows.begin(), map.rows.end(), s.module) == map.rows.end()) {
            map.rows.push_back(s.module);
        }
        layers = std::max(layers, s.layer + 1);
    }
    for (std::size_t l = 0; l < layers; ++l) {
        map.columns.push_back(std::to_string(l));
    }
    map.cell_width = std::clamp(width / static_cast<double>(layers), 9.0, 34.0);
    return map;
}

template <typename Site>
[[nodiscard]] report::heat_cell layer_cell(const report::heat_map& map, const Site& s, std::string name, double value) {
    const auto row = std::find(map.rows.begin(), map.rows.end(), s.module) - map.rows.begin();
    return {.row = static_cast<std::size_t>(row), .column = s.layer, .value = value, .tip = std::move(name)};
}

}  // namespace program
