// SPDX-License-Identifier: MIT
#include "quell/report/markup.hpp"

#include "report/well_formed.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace {

using namespace std::string_view_literals;
using quell::report::markup;
using quell::report::text_element;
using report_test::fault_of;

TEST(Markup, EscapesWhatCouldBecomeATag) {
    EXPECT_EQ(markup::escaped("a<b>&\"c'").text(), "a&lt;b&gt;&amp;&quot;c&#39;");
    EXPECT_EQ(text_element("p", {{"title", "\"><script>"}}, "</p>&amp;").text(),
              "<p title=\"&quot;&gt;&lt;script&gt;\">&lt;/p&gt;&amp;amp;</p>");
}

TEST(Markup, ReplacesWhatNoPageMayHold) {
    EXPECT_EQ(markup::escaped("a\0b\x1b[2J\x7f"sv).text(),
              "a\xef\xbf\xbd"
              "b\xef\xbf\xbd[2J\xef\xbf\xbd");
    EXPECT_EQ(markup::escaped("\xff\xc3\xa4\xe2\x82").text(), "\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd");
    EXPECT_EQ(markup::escaped("two\n\tlines").text(), "two\n\tlines");
}

TEST(Markup, NestsElements) {
    const markup inner = text_element("b", {}, "x") + markup::element("br", {});
    const markup outer = markup::element("p", {{"class", "c"}, {"id", "d"}}, inner);
    EXPECT_EQ(outer.text(), "<p class=\"c\" id=\"d\"><b>x</b><br/></p>");
    EXPECT_EQ(fault_of(outer.text()), "");
}

TEST(WellFormed, SeesWhatIsWrong) {
    EXPECT_EQ(fault_of("<p><b>x</b></p>"), "");
    EXPECT_NE(fault_of("<p><b>x</p></b>"), "");
    EXPECT_NE(fault_of("<p>"), "");
    EXPECT_NE(fault_of("a & b"), "");
    EXPECT_NE(fault_of("1 < 2"), "");
    EXPECT_NE(fault_of("<p a=b></p>"), "");
    EXPECT_NE(fault_of("<p a=\"b></p>"), "");
    EXPECT_NE(fault_of("\x01"), "");
    EXPECT_TRUE(report_test::names_no_number("x=\"nan\""));
    EXPECT_TRUE(report_test::names_no_number(" -inf "));
    EXPECT_FALSE(report_test::names_no_number(" information, finance "));
}

}  // namespace
