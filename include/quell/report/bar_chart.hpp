// SPDX-License-Identifier: MIT
/// @file
/// A chart of horizontal bars with their names on the left and their values at the end, as inline SVG.
#pragma once

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

struct bar {
    std::string name{};
    double value = 0.0;  ///< not finite: no bar, a dash
    std::size_t look = 0;
};

struct bar_chart {
    std::string title{};                 ///< with the unit of the values
    axis_kind kind = axis_kind::linear;  ///< linear bars start at 0, logarithmic ones at half of the smallest value
    std::vector<bar> bars{};
    double width = 520.0;
    double name_width = 170.0;
};

namespace detail {

[[nodiscard]] inline axis_range range_of(const bar_chart& c) {
    axis_range range(c.kind);
    if (c.kind == axis_kind::linear) {
        range.include(0.0);
    }
    for (const bar& b : c.bars) {
        range.include(b.value);
        range.include(c.kind == axis_kind::logarithmic ? b.value / 2.0 : b.value);
    }
    return range;
}

}  // namespace detail

[[nodiscard]] inline markup draw_bars(const bar_chart& c) {
    constexpr double top = 22.0;
    constexpr double step = 19.0;
    constexpr double value_width = 64.0;
    const axis_range range = detail::range_of(c);
    const double room = c.width - c.name_width - value_width;
    const double zero = c.kind == axis_kind::linear ? range.place(0.0) : 0.0;
    markup m = detail::svg_text(0.0, 13.0, "ct", c.title);
    for (std::size_t i = 0; i < c.bars.size(); ++i) {
        const bar& b = c.bars[i];
        const double y = top + step * static_cast<double>(i);
        const double end = range.shows(b.value) ? range.place(b.value) : zero;
        m += detail::svg_text(c.name_width - 6.0, y + 11.0, "tr", b.name);
        m += markup::element("rect", {{"x", coordinate(c.name_width + room * std::min(zero, end))},
                                      {"y", coordinate(y)},
                                      {"width", coordinate(room * std::abs(end - zero))},
                                      {"height", coordinate(step - 5.0)},
                                      {"class", detail::look_class("b", b.look)}});
        m += detail::svg_text(c.name_width + room * std::max(zero, end) + 4.0, y + 11.0, "tl", number_text(b.value));
    }
    return detail::picture(c.width, top + step * static_cast<double>(c.bars.size()), c.title, m);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::report
