// SPDX-License-Identifier: MIT
#include "quell/report/number_text.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace {

using namespace quell::report;

TEST(NumberText, ShowsSignificantDigits) {
    EXPECT_EQ(number_text(0.0), "0");
    EXPECT_EQ(number_text(0.0138), "0.0138");
    EXPECT_EQ(number_text(5.27), "5.27");
    EXPECT_EQ(number_text(-651.4), "-651");
    EXPECT_EQ(number_text(18610.0), "18610");
    EXPECT_EQ(number_text(1.0), "1.00");
    EXPECT_EQ(number_text(3.14159, 5), "3.1416");
    EXPECT_EQ(number_text(1.5e6), "1.50e6");
    EXPECT_EQ(number_text(-2.5e-7), "-2.50e-7");
    EXPECT_EQ(number_text(1e100), "1.00e100");
    EXPECT_EQ(number_text(5.0, 1), "5");
    EXPECT_EQ(number_text(1e-4, 1), "1e-4");
}

TEST(NumberText, ShowsADashForWhatIsNoNumber) {
    EXPECT_EQ(number_text(std::numeric_limits<double>::quiet_NaN()), "\xe2\x80\x93");
    EXPECT_EQ(number_text(std::numeric_limits<double>::infinity()), "\xe2\x80\x93");
}

TEST(NumberText, GroupsThousands) {
    EXPECT_EQ(count_text(0), "0");
    EXPECT_EQ(count_text(999), "999");
    EXPECT_EQ(count_text(12288), "12,288");
    EXPECT_EQ(count_text(106168320), "106,168,320");
    EXPECT_EQ(percent_text(0.0421), "4.21 %");
}

TEST(NumberText, RoundsCoordinatesToATenth) {
    EXPECT_EQ(coordinate(1.25), "1.2");
    EXPECT_EQ(coordinate(1.349), "1.3");
    EXPECT_EQ(coordinate(-0.01), "0");
    EXPECT_EQ(coordinate(12.0), "12");
    EXPECT_EQ(coordinate(1234.56), "1234.6");
}

}  // namespace
