// SPDX-License-Identifier: MIT
/// @file
/// A line chart of some series, and a scatter chart of labelled points, as inline SVG.
#pragma once

#include "quell/core/target.hpp"
#include "quell/report/axis.hpp"
#include "quell/report/chart_frame.hpp"
#include "quell/report/markup.hpp"
#include "quell/report/number_text.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace quell::report {
inline namespace QUELL_BASELINE {

struct chart_point {
    double x = 0.0;
    double y = 0.0;
    std::string label{};  ///< of a scatter chart, beside the point
};

struct series {
    std::string name{};
    std::vector<chart_point> points{};
    std::size_t look = 0;
};

struct chart {
    std::string title{};
    axis x{};
    axis y{};
    std::vector<series> lines{};
    double width = 340.0;
    double height = 230.0;
};

namespace detail {

/// `room` is the share of each axis that stays free at both ends.
[[nodiscard]] inline chart_frame frame_of(const chart& c, double room) {
    axis_range x(c.x.kind);
    axis_range y(c.y.kind);
    for (const series& line : c.lines) {
        for (const chart_point& p : line.points) {
            if (x.shows(p.x) && y.shows(p.y)) {
                x.include(p.x);
                y.include(p.y);
            }
        }
    }
    if (room > 0.0) {
        x.widen(room);
        y.widen(room);
    }
    return {c.width, c.height, x, y};
}

/// The line is broken where a point cannot be shown.
[[nodiscard]] inline markup draw_line(const series& line, const chart_frame& frame) {
    std::string path;
    bool is_down = false;
    for (const chart_point& p : line.points) {
        const bool shown = frame.shows(p.x, p.y);
        if (shown) {
            path += (is_down ? "L" : "M") + coordinate(frame.x(p.x)) + " " + coordinate(frame.y(p.y));
        }
        is_down = shown;
    }
    return path.empty() ? markup() : markup::element("path", {{"d", path}, {"class", look_class("l", line.look)}});
}

/// Puts labels beside their points, inside `area` and where no other label and no point stands, as far as possible.
class label_placer {
public:
    explicit label_placer(const box& area) : area_(area) {}

    void block(double x, double y) { taken_.push_back({x - 4.0, y - 4.0, x + 4.0, y + 4.0}); }

    /// The nearest free place, beside the point or further off.
    [[nodiscard]] box place(double x, double y, std::size_t letters) {
        const double width = letter_width * static_cast<double>(letters);
        box best = beside(x + gap, y, width);
        double nearest = std::numeric_limits<double>::infinity();
        for (int column = 0; column < 6; ++column) {
            for (int row = -10; row <= 10; ++row) {
                const double far = gap + 33.0 * column;
                const double shift = letter_height * row;
                for (const double left : {x + far, x - far - width}) {
                    const double distance = far + 1.5 * std::abs(shift);
                    if (const box candidate = beside(left, y + shift, width); distance < nearest && fits(candidate)) {
                        nearest = distance;
                        best = candidate;
                    }
                }
            }
        }
        taken_.push_back(best);
        return best;
    }

    static constexpr double gap = 7.0;  ///< between a point and a label beside it

private:
    [[nodiscard]] static box beside(double left, double y, double width) {
        return {left, y - letter_height / 2.0, left + width, y + letter_height / 2.0};
    }
    [[nodiscard]] bool fits(const box& b) const {
        return b.left >= area_.left && b.right <= area_.right && b.top >= area_.top && b.bottom <= area_.bottom &&
               std::none_of(taken_.begin(), taken_.end(), [&](const box& other) { return b.meets(other); });
    }

    box area_;
    std::vector<box> taken_;
};

[[nodiscard]] inline markup draw_mark(const chart_point& p, const series& owner, const chart_frame& frame) {
    const std::string values = number_text(p.x) + ", " + number_text(p.y);
    const markup tip = text_element("title", {}, (p.label.empty() ? owner.name : p.label) + ": " + values);
    return markup::element("circle",
                           {{"cx", coordinate(frame.x(p.x))},
                            {"cy", coordinate(frame.y(p.y))},
                            {"r", p.label.empty() ? "2" : "4"},
                            {"class", look_class("m", owner.look)}},
                           tip);
}

/// With a thin line to the point where it had to stand further off.
[[nodiscard]] inline markup draw_label(const chart_point& p, const chart_frame& frame, label_placer& placer) {
    const double x = frame.x(p.x);
    const double y = frame.y(p.y);
    const box at = placer.place(x, y, p.label.size());
    const double middle = (at.top + at.bottom) / 2.0;
    const double end = at.left > x ? at.left - 1.0 : at.right + 1.0;
    markup m = svg_text(at.left, at.bottom - 2.0, "tl", p.label);
    if (std::abs(middle - y) > 1.0 || std::abs(end - x) > label_placer::gap) {
        m += svg_line(x, y, end, middle, "ld");
    }
    return m;
}

}  // namespace detail

/// Points that an axis cannot show, such as 0 on a logarithmic one, are left out.
[[nodiscard]] inline markup draw_lines(const chart& c) {
    const detail::chart_frame frame = detail::frame_of(c, 0.0);
    markup m = frame.draw(c.title, c.x, c.y);
    for (const series& line : c.lines) {
        m += detail::draw_line(line, frame);
    }
    return detail::picture(c.width, c.height, c.title, m);
}

/// The same points as marks, each with its label and, under the pointer, its values.
[[nodiscard]] inline markup draw_scatter(const chart& c) {
    const detail::chart_frame frame = detail::frame_of(c, 0.06);
    markup m = frame.draw(c.title, c.x, c.y);
    detail::label_placer placer(frame.inside());
    for (const series& cloud : c.lines) {
        for (const chart_point& p : cloud.points) {
            if (frame.shows(p.x, p.y)) {
                placer.block(frame.x(p.x), frame.y(p.y));
                m += detail::draw_mark(p, cloud, frame);
            }
        }
    }
    for (const series& cloud : c.lines) {
        for (const chart_point& p : cloud.points) {
            if (frame.shows(p.x, p.y) && !p.label.empty()) {
                m += detail::draw_label(p, frame, placer);
            }
        }
    }
    return detail::picture(c.width, c.height, c.title, m);
}

/// One line of names with the look of each, for one chart or for several.
[[nodiscard]] inline markup draw_legend(std::span<const series> lines) {
    markup items;
    for (const series& line : lines) {
        const markup sample = markup::element(
            "svg", {{"viewBox", "0 0 28 10"}, {"width", "28"}, {"height", "10"}, {"aria-hidden", "true"}},
            markup::element("path", {{"d", "M1 5L27 5"}, {"class", detail::look_class("l", line.look)}}));
        items += markup::element("span", {{"class", "key"}}, sample + markup::escaped(" " + line.name));
    }
    return markup::element("p", {{"class", "legend"}}, items);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::report
