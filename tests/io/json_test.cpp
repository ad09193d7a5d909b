// SPDX-License-Identifier: MIT
#include "quell/io/json.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace {

using namespace std::string_view_literals;
using quell::io::json_limits;
using quell::io::parse_json;

std::string error_of(std::string_view text, const json_limits& limits = {}) {
    const auto document = parse_json(text, "f", limits);
    if (document) {
        return "no error";
    }
    EXPECT_EQ(document.error().code, quell::errc::bad_format);
    return document.error().message;
}

TEST(Json, BuildsWhatTheTextSays) {
    const std::string text =
        R"({"a":[1,-2,2.5,true,false,null,"t",{},[]],"b":{"a":{"a":18446744073709551615}},"c":"\u00e4"})";
    const auto document = parse_json(text, "f");
    ASSERT_TRUE(document);
    EXPECT_EQ(document->dump(),
              R"({"a":[1,-2,2.5,true,false,null,"t",{},[]],"b":{"a":{"a":18446744073709551615}},"c":"ä"})");
    EXPECT_EQ(parse_json(" 7 ", "f")->get<int>(), 7);
}

TEST(Json, RefusesAKeyThatStandsTwice) {
    EXPECT_EQ(error_of(R"({"a":1,"b":{"a":1},"a":2})"), R"(f: the key "a" stands twice in one object)");
    EXPECT_EQ(error_of(R"({"b":{"a":1,"\u0061":2}})"), R"(f: the key "a" stands twice in one object)");
}

TEST(Json, RefusesWhatIsNotJson) {
    EXPECT_EQ(error_of(""), "f: not valid JSON at byte 1");
    EXPECT_EQ(error_of(R"({"a":1,})"), "f: not valid JSON at byte 8");
    EXPECT_EQ(error_of(R"({"a":1} x)"), "f: not valid JSON at byte 9");
    EXPECT_EQ(error_of("[1"), "f: not valid JSON at byte 3");
    EXPECT_EQ(error_of("[NaN]"), "f: not valid JSON at byte 2");
    EXPECT_EQ(error_of("// c\n1"), "f: not valid JSON at byte 1");
    EXPECT_EQ(error_of("\"\xff\""), "f: not valid JSON at byte 2");
    EXPECT_EQ(error_of("[1e999]"), "f: a number out of range at byte 6");
}

TEST(Json, RefusesBytesAfterANul) {
    EXPECT_EQ(error_of("{}\0{"sv), "f: a NUL byte in the JSON at byte 2");
}

TEST(Json, StopsAtItsLimits) {
    const json_limits small{.depth = 3, .values = 5};
    EXPECT_EQ(error_of("[[[]],1,2]", small), "no error");
    EXPECT_EQ(error_of("[[[[]]]]", small), "f: nested deeper than 3");
    EXPECT_EQ(error_of(R"({"a":{"a":{"a":{}}}})", small), "f: nested deeper than 3");
    EXPECT_EQ(error_of("[1,2,3,4,5]", small), "f: more than 5 values");
    EXPECT_EQ(error_of(std::string(1'000'000, '[')), "f: nested deeper than 16");
}

}  // namespace
