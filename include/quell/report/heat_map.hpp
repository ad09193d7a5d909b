// SPDX-License-Identifier: MIT
/// @file
/// A heat map with row and column names, as inline SVG, and the colour scale that several of them may share. Colours
/// are sixteen classes of the page's style, from the page's background to what stands out most on it.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/target.hpp"
#include "quell/report/axis.hpp"
#include "quell/report/chart_frame.hpp"
#include "quell/report/markup.hpp"
#include "quell/report/number_text.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace quell::report {
inline namespace QUELL_BASELINE {

inline constexpr std::size_t heat_colours = 16;

struct heat_cell {
    std::size_t row = 0;
    std::size_t column = 0;
    double value = 0.0;  ///< what the range cannot show stays without colour
    std::string tip{};   ///< under the pointer, before the value
    std::string mark{};  ///< a letter or two inside the cell
};

struct heat_map {
    std::string title{};
    std::string column_label{};
    std::vector<std::string> rows{};
    std::vector<std::string> columns{};
    std::vector<heat_cell> cells{};
    double cell_width = 15.0;
    double cell_height = 17.0;
};

namespace detail {

[[nodiscard]] inline std::string heat_class(const axis_range& range, double value) {
    const auto step = static_cast<std::size_t>(range.place(value) * static_cast<double>(heat_colours));
    return numbered("h", std::min(step, heat_colours - 1));
}

inline constexpr double heat_left = 44.0;
inline constexpr double heat_top = 20.0;

[[nodiscard]] inline markup draw_cell(const heat_map& map, const heat_cell& cell, const axis_range& range) {
    QUELL_EXPECTS(cell.row < map.rows.size() && cell.column < map.columns.size(), "a cell inside the map");
    const double x = heat_left + map.cell_width * static_cast<double>(cell.column);
    const double y = heat_top + map.cell_height * static_cast<double>(cell.row);
    const bool shown = range.shows(cell.value);
    const std::string look = shown ? heat_class(range, cell.value) : "h-none";
    markup m = markup::element("rect",
                               {{"x", coordinate(x)},
                                {"y", coordinate(y)},
                                {"width", coordinate(map.cell_width - 1.0)},
                                {"height", coordinate(map.cell_height - 1.0)},
                                {"class", look}},
                               text_element("title", {}, cell.tip + ": " + number_text(cell.value)));
    if (!cell.mark.empty()) {
        m += text_element("text",
                          {{"x", coordinate(x + (map.cell_width - 1.0) / 2.0)},
                           {"y", coordinate(y + map.cell_height / 2.0 + 3.0)},
                           {"class", "mk " + look}},
                          cell.mark);
    }
    return m;
}

/// Every column where there is room for its name, otherwise every other, fifth, tenth ...
[[nodiscard]] inline std::size_t column_stride(const heat_map& map) {
    std::size_t longest = 1;
    for (const std::string& name : map.columns) {
        longest = std::max(longest, name.size());
    }
    std::size_t stride = 1;
    for (const std::size_t next : {2U, 5U, 10U, 20U, 50U, 100U}) {
        const double room = map.cell_width * static_cast<double>(stride);
        stride = room < 6.5 * static_cast<double>(longest) + 3.0 ? next : stride;
    }
    return stride;
}

}  // namespace detail

/// Cells that are not given stay empty.
[[nodiscard]] inline markup draw_heat_map(const heat_map& map, const axis_range& range) {
    const double width = detail::heat_left + map.cell_width * static_cast<double>(map.columns.size()) + 4.0;
    const double below = detail::heat_top + map.cell_height * static_cast<double>(map.rows.size());
    markup m = detail::svg_text(detail::heat_left, 13.0, "ct", map.title);
    for (std::size_t r = 0; r < map.rows.size(); ++r) {
        const double y = detail::heat_top + map.cell_height * (static_cast<double>(r) + 0.5) + 3.0;
        m += detail::svg_text(detail::heat_left - 5.0, y, "tr", map.rows[r]);
    }
    for (std::size_t c = 0; c < map.columns.size(); c += detail::column_stride(map)) {
        const double x = detail::heat_left + map.cell_width * (static_cast<double>(c) + 0.5) - 0.5;
        m += detail::svg_text(x, below + 12.0, "tm", map.columns[c]);
    }
    for (const heat_cell& cell : map.cells) {
        m += detail::draw_cell(map, cell, range);
    }
    m += detail::svg_text((detail::heat_left + width) / 2.0, below + 26.0, "tm", map.column_label);
    const double title_end = detail::heat_left + detail::title_letter_width * static_cast<double>(map.title.size());
    return detail::picture(std::max(width, title_end), below + 31.0, map.title, m);
}

/// The colours of a range with what they stand for.
[[nodiscard]] inline markup draw_heat_scale(const axis_range& range, const std::string& label) {
    constexpr double left = 24.0;
    constexpr double cell = 18.0;
    constexpr double length = cell * static_cast<double>(heat_colours);
    markup m = detail::svg_text(left, 11.0, "tl", label);
    for (std::size_t i = 0; i < heat_colours; ++i) {
        m += markup::element("rect", {{"x", coordinate(left + cell * static_cast<double>(i))},
                                      {"y", "17"},
                                      {"width", coordinate(cell)},
                                      {"height", "10"},
                                      {"class", numbered("h", i)}});
    }
    for (const double tick : range.ticks(6)) {
        m += detail::svg_line(left + length * range.place(tick), 27.0, left + length * range.place(tick), 30.0, "ax");
        m += detail::svg_text(left + length * range.place(tick), 41.0, "tm", detail::tick_text(tick));
    }
    return detail::picture(2.0 * left + length, 45.0, label, m);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::report
