// SPDX-License-Identifier: MIT
#include "quell/report/axis.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace {

using quell::report::axis_kind;
using quell::report::axis_range;

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

axis_range range_over(axis_kind kind, const std::vector<double>& values) {
    axis_range range(kind);
    for (const double v : values) {
        range.include(v);
    }
    return range;
}

TEST(Axis, PlacesValuesBetweenItsEnds) {
    const axis_range linear = range_over(axis_kind::linear, {2.0, 4.0, no_number});
    EXPECT_DOUBLE_EQ(linear.place(2.0), 0.0);
    EXPECT_DOUBLE_EQ(linear.place(3.0), 0.5);
    EXPECT_DOUBLE_EQ(linear.place(9.0), 1.0);
    const axis_range logarithmic = range_over(axis_kind::logarithmic, {1.0, 100.0, 0.0, -3.0});
    EXPECT_DOUBLE_EQ(logarithmic.place(10.0), 0.5);
    EXPECT_FALSE(logarithmic.shows(0.0));
    EXPECT_FALSE(logarithmic.shows(no_number));
    EXPECT_TRUE(linear.shows(-1.0));
}

TEST(Axis, WidensBothEndsAlike) {
    axis_range linear = range_over(axis_kind::linear, {0.0, 10.0});
    linear.widen(0.1);
    EXPECT_DOUBLE_EQ(linear.low(), -1.0);
    EXPECT_DOUBLE_EQ(linear.high(), 11.0);
    axis_range logarithmic = range_over(axis_kind::logarithmic, {1.0, 100.0});
    logarithmic.widen(0.5);
    EXPECT_DOUBLE_EQ(logarithmic.low(), 0.1);
    EXPECT_DOUBLE_EQ(logarithmic.high(), 1000.0);
    axis_range empty(axis_kind::linear);
    empty.widen(0.5);
    EXPECT_LT(empty.low(), empty.high());
}

TEST(Axis, MarksRoundValues) {
    EXPECT_EQ(range_over(axis_kind::linear, {0.0, 10.0}).ticks(5),
              (std::vector<double>{0.0, 2.0, 4.0, 6.0, 8.0, 10.0}));
    EXPECT_EQ(range_over(axis_kind::linear, {0.0, 511.0}).ticks(6),
              (std::vector<double>{0.0, 100.0, 200.0, 300.0, 400.0, 500.0}));
    EXPECT_EQ(range_over(axis_kind::logarithmic, {1.0, 576.0}).ticks(6), (std::vector<double>{1.0, 10.0, 100.0}));
    EXPECT_EQ(range_over(axis_kind::logarithmic, {3.0, 60.0}).ticks(6), (std::vector<double>{5.0, 10.0, 20.0, 50.0}));
}

TEST(Axis, NeverIsEmptyAndNeverHasManyMarks) {
    const std::vector<std::vector<double>> samples = {
        {}, {0.0}, {5.0}, {-7.0, -7.0}, {1e-30, 1e30}, {-1e9, 1e-9}, {1.0, 1.0 + 1e-14}, {3.0, 3.1}, {no_number}};
    for (const std::vector<double>& sample : samples) {
        for (const axis_kind kind : {axis_kind::linear, axis_kind::logarithmic}) {
            const axis_range range = range_over(kind, sample);
            EXPECT_LT(range.low(), range.high());
            const std::vector<double> ticks = range.ticks(5);
            EXPECT_LE(ticks.size(), 8U);
            EXPECT_TRUE(std::is_sorted(ticks.begin(), ticks.end()));
            for (const double tick : ticks) {
                EXPECT_GE(range.place(tick), 0.0);
                EXPECT_LE(range.place(tick), 1.0);
            }
        }
    }
}

}  // namespace
