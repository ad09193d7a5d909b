// SPDX-License-Identifier: MIT
#include "quell/io/message.hpp"
#include "quell/io/utf8.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace {

using namespace std::string_view_literals;
using quell::io::is_utf8;
namespace io = quell::io;

TEST(Message, MakesHostileNamesFitForOneLine) {
    EXPECT_EQ(io::quoted("blk.0.attn_q.weight"), "\"blk.0.attn_q.weight\"");
    EXPECT_EQ(io::quoted("a\nb\x1b[2J\0\"\\\x7f"sv), R"("a\x0ab\x1b[2J\x00\x22\x5c\x7f")");
    EXPECT_EQ(io::quoted(std::string(81, 'x')), "\"" + std::string(80, 'x') + "\"…");
}

TEST(Message, StartsWithTheFile) {
    const quell::error e = quell::io::failure(quell::errc::bad_value, "f", "a ", -3, " b ", std::uint64_t{1} << 63U);
    EXPECT_EQ(e.message, "f: a -3 b 9223372036854775808");
}

TEST(Utf8, AcceptsEveryLength) {
    EXPECT_TRUE(is_utf8(""));
    EXPECT_TRUE(is_utf8("a\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
}

TEST(Utf8, RefusesWhatIsOverlongOrCutOrOutOfRange) {
    for (const std::string_view bad :
         {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
          "\xf5\x80\x80\x80", "\xff", "a\xc2", "\xe2\x82", "\xf0\x90\x80", "\xc2\x20", "\xe2\x28\xa1", "\xe2\x82\x28",
          "\xf0\x90\x80\xc0"}) {
        EXPECT_FALSE(is_utf8(bad)) << io::quoted(bad);
    }
}

}  // namespace
