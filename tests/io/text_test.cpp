// SPDX-License-Identifier: MIT
#include "quell/io/message.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace {

using namespace std::string_view_literals;
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

}  // namespace
