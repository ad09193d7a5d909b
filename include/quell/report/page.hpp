// SPDX-License-Identifier: MIT
/// @file
/// One HTML page that needs nothing else: its style and its pictures are in it, no script, no network. It follows the
/// reader's choice of light or dark and can be printed. The same content gives the same bytes.
#pragma once

#include "quell/core/target.hpp"
#include "quell/report/heat_map.hpp"
#include "quell/report/markup.hpp"
#include "quell/report/number_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace quell::report {
inline namespace QUELL_BASELINE {

namespace detail {

struct rgb {
    unsigned red;
    unsigned green;
    unsigned blue;

    /// 0 is black, 1 is white.
    [[nodiscard]] double lightness() const { return (0.3 * red + 0.59 * green + 0.11 * blue) / 255.0; }
    [[nodiscard]] std::string text() const {
        return numbered("rgb(", red) + numbered(",", green) + numbered(",", blue) + ")";
    }
};

using palette = std::array<rgb, 5>;

/// Lightness falls (or, on dark pages, rises) all along, so that the scale also reads without colour.
inline constexpr palette light_heat = {
    {{249, 240, 226}, {250, 190, 140}, {236, 106, 92}, {163, 44, 115}, {52, 16, 84}}};
inline constexpr palette dark_heat = {{{38, 36, 58}, {96, 34, 112}, {186, 56, 104}, {246, 132, 84}, {253, 235, 172}}};

[[nodiscard]] inline rgb colour_at(const palette& stops, double share) {
    const double at = share * static_cast<double>(stops.size() - 1);
    const auto below = std::min(static_cast<std::size_t>(at), stops.size() - 2);
    const double part = at - static_cast<double>(below);
    const auto mix = [&](double x, double y) { return static_cast<unsigned>(std::lround(x + part * (y - x))); };
    const rgb& a = stops[below];
    const rgb& b = stops[below + 1];
    return {mix(a.red, b.red), mix(a.green, b.green), mix(a.blue, b.blue)};
}

[[nodiscard]] inline std::string heat_style(const palette& stops) {
    std::string style;
    for (std::size_t i = 0; i < heat_colours; ++i) {
        const rgb colour = colour_at(stops, static_cast<double>(i) / static_cast<double>(heat_colours - 1));
        const std::string name = numbered("h", i);
        style.append(".").append(name).append("{fill:").append(colour.text()).append("}.mk.").append(name);
        style += colour.lightness() > 0.55 ? "{fill:#1d2129}" : "{fill:#fff}";
    }
    return style;
}

inline constexpr char page_style[] = R"(
:root{color-scheme:light dark;--bg:#fff;--fg:#1d2129;--soft:#59616d;--line:#dde1e7;--panel:#f5f6f8;--mark:#fff3c9;
--l0:#7b838f;--l1:#c26a00;--l2:#1f66cc;--l3:#0a8256;--l4:#9a3fb5;--l5:#b3261e}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,"Segoe UI",Roboto,Helvetica,Arial,sans-serif}
main{max-width:1120px;margin:0 auto;padding:20px 20px 60px}
h1{font-size:24px;margin:8px 0 2px}h2{font-size:19px;margin:36px 0 6px;border-bottom:1px solid var(--line)}
h3{font-size:15px;margin:18px 0 4px}p{margin:6px 0;max-width:88ch}.facts{color:var(--soft);max-width:none}
.summary{background:var(--panel);border-left:4px solid var(--l2);padding:8px 16px;margin:14px 0}
.summary li{margin:4px 0}ul{padding-left:20px;margin:6px 0}
a{color:var(--l2)}code{font:13px/1.4 ui-monospace,Consolas,monospace}
.row{display:flex;flex-wrap:wrap;gap:10px 18px;align-items:flex-start;margin:4px 0 12px}
svg{max-width:100%;height:auto}svg text{font:11px system-ui,"Segoe UI",Roboto,Helvetica,Arial,sans-serif;fill:var(--soft)}
svg .ct{font-size:12px;font-weight:600;fill:var(--fg)}
.tr{text-anchor:end}.tm{text-anchor:middle}.gl{stroke:var(--line)}.ax{stroke:var(--soft)}.ld{stroke:var(--soft);stroke-width:.6}
.l0,.l1,.l2,.l3,.l4,.l5{fill:none;stroke-width:1.8;stroke-linejoin:round}
.l0{stroke:var(--l0)}.l1{stroke:var(--l1);stroke-dasharray:7 3}.l2{stroke:var(--l2);stroke-dasharray:2 2.5}
.l3{stroke:var(--l3);stroke-width:2.4}.l4{stroke:var(--l4);stroke-dasharray:9 3 2 3}.l5{stroke:var(--l5)}
.m0,.b0{fill:var(--l0)}.m1,.b1{fill:var(--l1)}.m2,.b2{fill:var(--l2)}.m3,.b3{fill:var(--l3)}.m4,.b4{fill:var(--l4)}
.m5,.b5{fill:var(--l5)}.m0,.m1,.m2,.m3,.m4,.m5{fill-opacity:.75}
.h-none{fill:none;stroke:var(--line)}svg .mk{font-size:10px;text-anchor:middle}svg .mk.h-none{stroke:none;fill:var(--soft)}
.legend{margin:4px 0;font-size:13px;color:var(--soft)}.key{margin-right:18px;white-space:nowrap}.key svg{vertical-align:middle}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px;margin:8px 0}
caption{text-align:left;color:var(--soft);padding:2px 0}
th,td{padding:2px 8px;text-align:left;border-bottom:1px solid var(--line)}td{white-space:nowrap}
th{background:var(--panel);vertical-align:bottom}.n{text-align:right;font-variant-numeric:tabular-nums}
td.best{background:var(--mark);font-weight:600}
details{border-top:1px solid var(--line);padding:4px 0}summary{cursor:pointer;padding:3px 0}
@media(prefers-color-scheme:dark){:root{--bg:#14171c;--fg:#e6e8eb;--soft:#a3abb7;--line:#343a44;--panel:#1d2128;
--mark:#43401f;--l0:#9aa3af;--l1:#f0a33c;--l2:#74adf7;--l3:#46cb9b;--l4:#d08be6;--l5:#f2867c}}
@media print{body{font-size:11px}main{max-width:none;padding:0}table{font-size:8.5px}th,td{padding:1px 4px}
h2,h3,summary{break-after:avoid}svg,tr{break-inside:avoid}.row{gap:4px}.row svg{max-width:49%}details .row svg{max-width:32%}}
)";

}  // namespace detail

class page {
public:
    /// `title` is the page's name and its first heading.
    explicit page(std::string title) : title_(std::move(title)) {}

    page& add(const markup& part) {
        body_ += part;
        body_ += markup::literal("\n");
        return *this;
    }
    page& paragraph(std::string_view text) { return add(text_element("p", {}, text)); }
    page& heading(std::string_view text, std::string id) {
        return add(text_element("h2", {{"id", std::move(id)}}, text));
    }

    [[nodiscard]] std::string finish() const {
        const std::string style = std::string(detail::page_style) + detail::heat_style(detail::light_heat) +
                                  "\n@media(prefers-color-scheme:dark){" + detail::heat_style(detail::dark_heat) +
                                  "}\n";
        return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
               "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
               "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
               "'unsafe-inline'\"/>\n" +
               text_element("title", {}, title_).text() + "\n<style>" + style + "</style>\n</head>\n<body>\n<main>\n" +
               text_element("h1", {}, title_).text() + "\n" + body_.text() + "</main>\n</body>\n</html>\n";
    }

private:
    std::string title_;
    markup body_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::report
