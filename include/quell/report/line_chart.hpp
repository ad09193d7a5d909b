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
#include <array>
#include <cstddef>
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

[[nodiscard]] inline chart_frame frame_of(const chart& c) {
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

/// Text is taken to be this wide; the true width depends on the font.
inline constexpr double letter_width = 5.6;
inline constexpr double letter_height = 11.0;

struct box {
    double left, top, right, bottom;

    [[nodiscard]] bool meets(const box& other) const {
        return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
    }
};

/// Puts labels beside their points, where no other label and no point stands, as far as that is possible.
class label_placer {
public:
    label_placer(double width, double height) : width_(width), height_(height) {}

    void block(double x, double y) { taken_.push_back({x - 4.0, y - 4.0, x + 4.0, y + 4.0}); }

    [[nodiscard]] box place(double x, double y, std::size_t letters) {
        const double w = letter_width * static_cast<double>(letters);
        const double h = letter_height;
        box best = {x + 6.0, y - h / 2.0, x + 6.0 + w, y + h / 2.0};
        for (const double shift : {0.0, 12.0, 24.0}) {
            const std::array candidates = {box{x + 6.0, y - h / 2.0 - shift, x + 6.0 + w, y + h / 2.0 - shift},
                                           box{x - 6.0 - w, y - h / 2.0 - shift, x - 6.0, y + h / 2.0 - shift},
                                           box{x + 6.0, y - h / 2.0 + shift, x + 6.0 + w, y + h / 2.0 + shift},
                                           box{x - w / 2.0, y - 6.0 - h - shift, x + w / 2.0, y - 6.0 - shift},
                                           box{x - w / 2.0, y + 6.0 + shift, x + w / 2.0, y + 6.0 + h + shift}};
            const auto free = std::find_if(candidates.begin(), candidates.end(), [&](const box& b) { return fits(b); });
            if (free != candidates.end()) {
                best = *free;
                break;
            }
        }
        taken_.push_back(best);
        return best;
    }

private:
    [[nodiscard]] bool fits(const box& b) const {
        return b.left >= 0.0 && b.right <= width_ && b.top >= 0.0 && b.bottom <= height_ &&
               std::none_of(taken_.begin(), taken_.end(), [&](const box& other) { return b.meets(other); });
    }

    double width_;
    double height_;
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

}  // namespace detail

/// Points that an axis cannot show, such as 0 on a logarithmic one, are left out.
[[nodiscard]] inline markup draw_lines(const chart& c) {
    const detail::chart_frame frame = detail::frame_of(c);
    markup m = frame.draw(c.title, c.x, c.y);
    for (const series& line : c.lines) {
        m += detail::draw_line(line, frame);
    }
    return detail::picture(c.width, c.height, c.title, m);
}

/// The same points as marks, each with its label and, under the pointer, its values.
[[nodiscard]] inline markup draw_scatter(const chart& c) {
    const detail::chart_frame frame = detail::frame_of(c);
    markup m = frame.draw(c.title, c.x, c.y);
    detail::label_placer placer(c.width, c.height - detail::chart_frame::bottom);
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
                const detail::box at = placer.place(frame.x(p.x), frame.y(p.y), p.label.size());
                m += detail::svg_text(at.left, at.bottom - 2.0, "tl", p.label);
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
