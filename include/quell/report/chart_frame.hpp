// SPDX-License-Identifier: MIT
/// @file
/// What charts share: a picture with two axes, grid lines and labels, and where a pair of values stands in it. Colours
/// are classes of the page's style (page.hpp), so that one picture serves light and dark.
#pragma once

#include "quell/core/target.hpp"
#include "quell/report/axis.hpp"
#include "quell/report/markup.hpp"
#include "quell/report/number_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

namespace quell::report {
inline namespace QUELL_BASELINE {

/// Series have one of six looks each; the first is the one of a baseline.
inline constexpr std::size_t series_looks = 6;

namespace detail {

[[nodiscard]] inline std::string look_class(std::string_view prefix, std::size_t look) {
    return numbered(prefix, look % series_looks);
}

/// Text is taken to be this wide; the true width depends on the font.
inline constexpr double letter_width = 6.2;
inline constexpr double letter_height = 11.0;
inline constexpr double title_letter_width = 7.2;

struct box {
    double left, top, right, bottom;

    [[nodiscard]] bool meets(const box& other) const {
        return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
    }
};

/// <svg> with a name for those who cannot see it.
[[nodiscard]] inline markup picture(double width, double height, const std::string& title, const markup& content) {
    return markup::element("svg",
                           {{"viewBox", "0 0 " + coordinate(width) + " " + coordinate(height)},
                            {"width", coordinate(width)},
                            {"height", coordinate(height)},
                            {"role", "img"},
                            {"aria-label", title}},
                           content);
}

[[nodiscard]] inline markup svg_text(double x, double y, const char* look, std::string_view text) {
    return text_element("text", {{"x", coordinate(x)}, {"y", coordinate(y)}, {"class", look}}, text);
}

[[nodiscard]] inline markup svg_line(double x1, double y1, double x2, double y2, const char* look) {
    return markup::element("line", {{"x1", coordinate(x1)},
                                    {"y1", coordinate(y1)},
                                    {"x2", coordinate(x2)},
                                    {"y2", coordinate(y2)},
                                    {"class", look}});
}

/// Ticks are round: without the zeros that other numbers end in.
[[nodiscard]] inline std::string tick_text(double v) {
    const bool is_plain = v == 0.0 || (std::abs(v) >= 1e-3 && std::abs(v) < 1e4);
    std::string text = is_plain ? number_text(v, 4) : short_exponent(formatted(v, std::chars_format::scientific, 2));
    const std::size_t e = std::min(text.find('e'), text.size());
    if (text.find('.') != std::string::npos) {
        std::size_t end = e;
        while (text[end - 1] == '0') {
            --end;
        }
        end -= text[end - 1] == '.' ? 1U : 0U;
        text.erase(end, e - end);
    }
    return text;
}

class chart_frame {
public:
    static constexpr double left = 54.0;
    static constexpr double right = 10.0;
    static constexpr double top = 24.0;
    static constexpr double bottom = 36.0;

    chart_frame(double width, double height, const axis_range& x, const axis_range& y)
        : width_(width), height_(height), x_(x), y_(y) {}

    [[nodiscard]] double x(double v) const { return left + x_.place(v) * (width_ - left - right); }
    [[nodiscard]] double y(double v) const { return height_ - bottom - y_.place(v) * (height_ - top - bottom); }
    [[nodiscard]] bool shows(double at_x, double at_y) const { return x_.shows(at_x) && y_.shows(at_y); }
    [[nodiscard]] box inside() const { return {left + 2.0, top, width_ - right, height_ - bottom - 1.0}; }

    /// Title, grid, tick labels and the names of the axes.
    [[nodiscard]] markup draw(const std::string& title, const axis& x_axis, const axis& y_axis) const {
        markup m = svg_text(left, 13.0, "ct", title);
        for (const double tick : y_.ticks(5)) {
            m += svg_line(left, y(tick), width_ - right, y(tick), "gl");
            m += svg_text(left - 4.0, y(tick) + 3.5, "tr", tick_text(tick));
        }
        for (const double tick : x_.ticks(6)) {
            m += svg_line(x(tick), height_ - bottom, x(tick), height_ - bottom + 3.0, "ax");
            m += svg_text(x(tick), height_ - bottom + 14.0, "tm", tick_text(tick));
        }
        m += svg_line(left, height_ - bottom, width_ - right, height_ - bottom, "ax");
        m += svg_text((left + width_ - right) / 2.0, height_ - 5.0, "tm", x_axis.label);
        const double middle = (top + height_ - bottom) / 2.0;
        m += text_element("text",
                          {{"transform", "translate(11 " + coordinate(middle) + ") rotate(-90)"}, {"class", "tm"}},
                          y_axis.label);
        return m;
    }

private:
    double width_;
    double height_;
    axis_range x_;
    axis_range y_;
};

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::report
