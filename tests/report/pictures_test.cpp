// SPDX-License-Identifier: MIT
// Charts, maps, tables and pages: well-formed, without a number that is none, the same bytes every time, and with
// nothing of a hostile name left in them.
#include "quell/report/bar_chart.hpp"
#include "quell/report/heat_map.hpp"
#include "quell/report/html_table.hpp"
#include "quell/report/line_chart.hpp"
#include "quell/report/page.hpp"
#include "report/well_formed.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace quell::report;
using namespace std::string_literals;

const std::string hostile_name = "</text><script>alert('1')</script>&\"\0\x1b\xff"s;
constexpr double undefined = std::numeric_limits<double>::quiet_NaN();
constexpr double endless = std::numeric_limits<double>::infinity();

void expect_sound(const std::string& text) {
    EXPECT_EQ(report_test::fault_of(text), "");
    EXPECT_FALSE(report_test::names_no_number(text)) << text.substr(0, 2000);
    EXPECT_EQ(text.find("<script"), std::string::npos);
}

std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++count;
    }
    return count;
}

chart sample_chart(const std::string& name) {
    return {.title = name,
            .x = {name, axis_kind::logarithmic},
            .y = {name, axis_kind::logarithmic},
            .lines = {{name, {{1.0, 5.0, name}, {10.0, 50.0, ""}, {100.0, 5000.0, ""}}, 0},
                      {name, {{2.0, undefined, ""}, {0.0, 3.0, ""}, {4.0, endless, ""}, {5.0, 7.0, ""}}, 9}}};
}

TEST(Pictures, LinesShowEverySeries) {
    const std::string text = draw_lines(sample_chart("x")).text();
    expect_sound(text);
    EXPECT_EQ(count_of(text, "<path"), 2U);
    EXPECT_NE(text.find("class=\"l0\""), std::string::npos);
    EXPECT_NE(text.find("class=\"l3\""), std::string::npos);  // looks repeat
}

TEST(Pictures, ALineStandsWhereItsValuesAre) {
    const chart c{.title = "t", .lines = {{"s", {{0.0, 0.0, ""}, {1.0, 2.0, ""}}, 0}}, .width = 160.0, .height = 160.0};
    // Between margins of 50 and 10, 24 and 36.
    EXPECT_NE(draw_lines(c).text().find("d=\"M54 124L150 24\""), std::string::npos) << draw_lines(c).text();
}

TEST(Pictures, ALineIsBrokenWhereAPointIsMissing) {
    const chart c{.title = "t",
                  .lines = {{"s", {{0.0, 0.0, ""}, {1.0, 1.0, ""}, {2.0, undefined, ""}, {3.0, 1.0, ""}}, 0}}};
    EXPECT_EQ(count_of(draw_lines(c).text(), "M"), 2U);
}

TEST(Pictures, ScatterLabelsItsPoints) {
    const std::string text = draw_scatter(sample_chart("name")).text();
    expect_sound(text);
    EXPECT_EQ(count_of(text, "<circle"), 4U);
    EXPECT_NE(text.find("<title>name: 1.00, 5.00</title>"), std::string::npos);
}

TEST(Pictures, LabelsKeepApart) {
    detail::label_placer placer({0.0, 0.0, 400.0, 300.0});
    std::vector<detail::box> boxes;
    for (int i = 0; i < 12; ++i) {
        boxes.push_back(placer.place(200.0, 150.0, 10));
        for (int j = 0; j < i; ++j) {
            EXPECT_FALSE(boxes.back().meets(boxes[static_cast<std::size_t>(j)])) << i << " and " << j;
        }
    }
}

TEST(Pictures, BarsAreAsLongAsTheirValues) {
    const bar_chart c{.title = "t", .bars = {{"a", 50.0, 0}, {"b", 100.0, 1}, {"c", undefined, 2}}, .width = 334.0};
    const std::string text = draw_bars(c).text();
    expect_sound(text);
    EXPECT_NE(text.find("width=\"50\" height=\"14\" class=\"b0\""), std::string::npos) << text;
    EXPECT_NE(text.find("width=\"100\" height=\"14\" class=\"b1\""), std::string::npos);
    EXPECT_NE(text.find("width=\"0\" height=\"14\" class=\"b2\""), std::string::npos);
    expect_sound(
        draw_bars({.title = "t", .kind = axis_kind::logarithmic, .bars = {{"a", 0.0, 0}, {"b", 9.0, 0}}}).text());
    expect_sound(draw_bars({}).text());
}

heat_map sample_map(const std::string& name) {
    return {
        .title = name,
        .column_label = name,
        .rows = {name, "b"},
        .columns = {"0", name},
        .cells = {{0, 0, 1.0, name, name}, {0, 1, 100.0, name, ""}, {1, 0, undefined, name, "x"}, {1, 1, 0.0, "", ""}}};
}

axis_range sample_range() {
    axis_range range(axis_kind::logarithmic);
    range.include(1.0);
    range.include(100.0);
    return range;
}

TEST(Pictures, HeatMapsColourFromTheLowEndToTheHigh) {
    const std::string text = draw_heat_map(sample_map("m"), sample_range()).text();
    expect_sound(text);
    EXPECT_EQ(count_of(text, "<rect"), 4U);
    EXPECT_NE(text.find("class=\"h0\"><title>m: 1.00</title>"), std::string::npos) << text;
    EXPECT_NE(text.find("class=\"h15\"><title>m: 100</title>"), std::string::npos);
    EXPECT_EQ(count_of(text, "class=\"h-none\""), 2U);  // NaN, and 0 on a logarithmic scale
    expect_sound(draw_heat_map({}, sample_range()).text());
    const std::string scale = draw_heat_scale(sample_range(), "error").text();
    expect_sound(scale);
    EXPECT_EQ(count_of(scale, "<rect"), heat_colours);
}

TEST(Pictures, ANarrowHeatMapLeavesRoomForItsTitle) {
    heat_map map = sample_map("m");
    const std::string narrow = draw_heat_map(map, sample_range()).text();
    map.title = std::string(100, 't');
    EXPECT_NE(narrow.find("viewBox=\"0 0 78 "), std::string::npos) << narrow;
    EXPECT_NE(draw_heat_map(map, sample_range()).text().find("viewBox=\"0 0 764 "), std::string::npos);
}

html_table sample_table(const std::string& name) {
    table_cell link(name);
    link.link = name;
    return {.caption = name,
            .columns = {{name, column_kind::text, name}, {"n", column_kind::number, ""}},
            .rows = {{link, 3.25}, {name, undefined}}};
}

TEST(Pictures, TablesHoldEveryCell) {
    const std::string text = draw_table(sample_table("cell")).text();
    expect_sound(text);
    EXPECT_EQ(count_of(text, "<td"), 4U);
    EXPECT_NE(text.find("<td class=\"n\">3.25</td>"), std::string::npos);
    EXPECT_NE(text.find("<a href=\"#cell\">cell</a>"), std::string::npos);
}

std::string sample_page(const std::string& name) {
    page p(name);
    p.heading(name, "top").paragraph(name);
    p.add(draw_lines(sample_chart(name))).add(draw_scatter(sample_chart(name)));
    p.add(draw_legend(sample_chart(name).lines));
    p.add(draw_bars({.title = name, .bars = {{name, 1.0, 0}}}));
    p.add(draw_heat_map(sample_map(name), sample_range())).add(draw_heat_scale(sample_range(), name));
    p.add(draw_table(sample_table(name)));
    return p.finish();
}

TEST(Pictures, APageIsSoundAndTheSameEveryTime) {
    const std::string text = sample_page("plain");
    expect_sound(text);
    EXPECT_TRUE(text.starts_with("<!DOCTYPE html>"));
    EXPECT_EQ(text, sample_page("plain"));
}

TEST(Pictures, APageNeedsNothingFromElsewhere) {
    const std::string text = sample_page("plain");
    for (const char* outside : {"http://", "https://", "url(", "@import", "<link", "<img", " src=", "javascript:"}) {
        EXPECT_EQ(text.find(outside), std::string::npos) << outside;
    }
}

TEST(Pictures, HostileNamesStayNames) {
    const std::string text = sample_page(hostile_name);
    expect_sound(text);
    EXPECT_NE(text.find("&lt;script&gt;alert(&#39;1&#39;)"), std::string::npos);
    EXPECT_EQ(text.find('\0'), std::string::npos);
    EXPECT_EQ(text.find("alert('1')"), std::string::npos);
}

TEST(Pictures, EveryLookHasAStyle) {
    const std::string text = page("t").finish();
    for (std::size_t i = 0; i < series_looks; ++i) {
        for (const char* kind : {".l", ".m", ".b"}) {
            EXPECT_NE(text.find(kind + std::to_string(i)), std::string::npos) << kind << i;
        }
    }
    for (std::size_t i = 0; i < heat_colours; ++i) {
        EXPECT_EQ(count_of(text, ".h" + std::to_string(i) + "{fill:rgb("), 2U) << i;  // light and dark
    }
}

TEST(Pictures, HeatColoursGrowEvenlyDarkerOrLighter) {
    for (std::size_t i = 1; i < heat_colours; ++i) {
        const auto share = [](std::size_t k) { return static_cast<double>(k) / static_cast<double>(heat_colours - 1); };
        EXPECT_LT(detail::colour_at(detail::light_heat, share(i)).lightness(),
                  detail::colour_at(detail::light_heat, share(i - 1)).lightness());
        EXPECT_GT(detail::colour_at(detail::dark_heat, share(i)).lightness(),
                  detail::colour_at(detail::dark_heat, share(i - 1)).lightness());
    }
}

}  // namespace
