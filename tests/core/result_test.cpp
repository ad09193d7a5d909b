// SPDX-License-Identifier: MIT
#include "quell/core/result.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace {

using quell::errc;
using quell::error;
using quell::result;

const error broken{errc::bad_value, "row 3 holds nan"};

result<int> half_of(int n) {
    if (n % 2 != 0) {
        return error{errc::bad_value, std::to_string(n) + " is odd"};
    }
    return n / 2;
}

result<int> quarter_of(int n) {
    QUELL_TRY(const int half, half_of(n));
    QUELL_TRY(const int quarter, half_of(half));
    return quarter;
}

result<void> must_be_even(int n) {
    QUELL_TRY_VOID(half_of(n));
    return {};
}

TEST(Result, HoldsAValue) {
    const result<std::string> text = std::string("yes");
    ASSERT_TRUE(text);
    EXPECT_TRUE(text.has_value());
    EXPECT_EQ(*text, "yes");
    EXPECT_EQ(text->size(), 3U);
}

TEST(Result, HoldsAnError) {
    const result<std::string> text = broken;
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, errc::bad_value);
    EXPECT_EQ(text.error().message, "row 3 holds nan");
}

TEST(Result, KeepsApartAValueThatIsAnError) {
    const result<const char*> text = "value";
    EXPECT_TRUE(text);
}

TEST(Result, GivesTheOtherValueWhereThereIsNone) {
    EXPECT_EQ(half_of(8).value_or(-1), 4);
    EXPECT_EQ(half_of(7).value_or(-1), -1);
}

TEST(Result, MovesWhatCannotBeCopied) {
    result<std::unique_ptr<int>> owner = std::make_unique<int>(7);
    const std::unique_ptr<int> taken = *std::move(owner);
    EXPECT_EQ(*taken, 7);
}

TEST(Result, TryBindsTheValueOrReturnsTheError) {
    EXPECT_EQ(*quarter_of(12), 3);
    EXPECT_EQ(quarter_of(6).error().message, "3 is odd");
    EXPECT_EQ(quarter_of(5).error().message, "5 is odd");
}

TEST(Result, TryVoidPassesTheErrorOn) {
    EXPECT_TRUE(must_be_even(4));
    EXPECT_EQ(must_be_even(9).error().message, "9 is odd");
}

TEST(Result, ErrorsSayWhereTheyAreFrom) {
    const error outer = broken.in("blk.0.attn_q").in("model.gguf");
    EXPECT_EQ(outer.message, "model.gguf: blk.0.attn_q: row 3 holds nan");
    EXPECT_EQ(outer.code, errc::bad_value);
}

}  // namespace
