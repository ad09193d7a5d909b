// SPDX-License-Identifier: MIT
#include "quell/rounding/binary.hpp"

#include "quell/core/thread_pool.hpp"
#include "reference/binary.hpp"
#include "rounding/samples.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace {

using quell::code_set;
using quell::rounding::binary;
using quell::rounding::fit_levels;

quell::scheme binary_form(std::size_t group, bool with_mean, quell::scale_type scales = quell::scale_type::f16) {
    return {.bits = 1,
            .codes = with_mean ? code_set::sign_mean : code_set::sign,
            .reach = group == 0 ? quell::granularity::channel : quell::granularity::group,
            .group = group,
            .scales = scales,
            .zeros = with_mean ? quell::zero_type::real : quell::zero_type::none};
}

std::vector<quell::scheme> binary_forms() {
    std::vector<quell::scheme> all;
    for (const std::size_t group : {0U, 1U, 16U, 50U, 128U}) {
        for (const bool with_mean : {false, true}) {
            for (const auto scales : {quell::scale_type::f32, quell::scale_type::f16, quell::scale_type::bf16}) {
                all.push_back(binary_form(group, with_mean, scales));
            }
        }
    }
    return all;
}

TEST(Binary, GivesTheOraclesLevelsAndCodes) {
    const quell::matrix<float> w = sample(5, 130);
    for (const quell::scheme& form : binary_forms()) {
        const auto q = binary{}.solve(w.view(), form);
        ASSERT_TRUE(q) << name(form);
        const std::size_t length = quell::group_length(form, 130);
        for (std::size_t r = 0; r < 5; ++r) {
            for (std::size_t begin = 0; begin < 130; begin += length) {
                const std::size_t end = std::min<std::size_t>(130, begin + length);
                const std::vector<double> group(&w(r, begin), &w(r, begin) + (end - begin));
                const reference::levels expected = reference::binary_levels(group, form);
                const float scale = q->scales(r, begin / length);
                const bool is_constant = expected.scale == 0.0;
                EXPECT_TRUE(is_constant ? scale < 1e-6F : double{scale} == expected.scale) << name(form);
                for (std::size_t c = begin; c < end; ++c) {
                    EXPECT_EQ(int{q->codes(r, c)}, group[c - begin] >= expected.mean ? 1 : 0) << name(form);
                    EXPECT_NEAR(double{value_of(*q, r, c)}, expected.nearest(group[c - begin]), 1e-6) << name(form);
                }
            }
        }
    }
}

TEST(Binary, NoOtherScaleHasASmallerSumOfSquares) {
    const quell::matrix<float> w = sample(6, 64);
    const auto squares = [](const std::vector<double>& values, double mean, double scale) {
        double sum = 0.0;
        for (const double v : values) {
            sum += std::pow(v - mean - (v >= mean ? scale : -scale), 2);
        }
        return sum;
    };
    for (std::size_t r = 0; r < 6; ++r) {
        const std::vector<double> row(w.row(r).begin(), w.row(r).end());
        const auto fitted = fit_levels(binary_form(64, true, quell::scale_type::f32), row);
        const double least = squares(row, double{fitted.mean}, double{fitted.scale});
        for (int step = 1; step < 300; ++step) {
            EXPECT_GE(squares(row, double{fitted.mean}, double{fitted.scale} * step / 100.0) * (1.0 + 1e-9), least);
        }
    }
}

TEST(Binary, AMeanNeverCostsMoreAndConstantGroupsAreExact) {
    quell::matrix<float> w = sample(8, 96);
    for (float& v : w.row(3)) {
        v = 0.375F;
    }
    for (float& v : w.row(4)) {
        v = 0.0F;
    }
    const auto plain = binary{}.solve(w.view(), binary_form(32, false));
    const auto with_mean = binary{}.solve(w.view(), binary_form(32, true));
    ASSERT_TRUE(plain && with_mean);
    const auto error_of = [&](const quell::quantized& q) {
        const quell::matrix<float> rounded = dequantize(q);
        double sum = 0.0;
        for (std::size_t i = 0; i < rounded.elements().size(); ++i) {
            sum += std::pow(double{w.elements()[i]} - double{rounded.elements()[i]}, 2);
        }
        return sum;
    };
    EXPECT_LT(error_of(*with_mean), error_of(*plain));
    for (std::size_t c = 0; c < 96; ++c) {
        EXPECT_EQ(value_of(*with_mean, 3, c), 0.375F);
        EXPECT_EQ(value_of(*with_mean, 4, c), 0.0F);
        EXPECT_EQ(value_of(*plain, 4, c), 0.0F);
    }
}

TEST(Binary, DoesNotDependOnThreadsAndScalesWithTheWeight) {
    quell::matrix<float> w = sample(40, 100);
    quell::thread_pool pool(3);
    const auto alone = binary{}.solve(w.view(), binary_form(32, true, quell::scale_type::f32));
    EXPECT_TRUE(same(*alone, *binary{}.solve(w.view(), binary_form(32, true, quell::scale_type::f32), {}, pool)));
    for (float& v : w.elements()) {
        v *= 4.0F;
    }
    const auto larger = binary{}.solve(w.view(), binary_form(32, true, quell::scale_type::f32));
    EXPECT_EQ(larger->scales(7, 1), 4.0F * alone->scales(7, 1));
    EXPECT_EQ(larger->zeros(7, 1), 4.0F * alone->zeros(7, 1));
    EXPECT_TRUE(
        std::equal(larger->codes.elements().begin(), larger->codes.elements().end(), alone->codes.elements().begin()));
}

TEST(Binary, NamesWhatIsWrong) {
    quell::matrix<float> w = sample(2, 8);
    const auto message = [&](const quell::scheme& form) {
        const auto q = binary{}.solve(w.view(), form);
        return q ? std::string("none") : q.error().message;
    };
    EXPECT_EQ(message({.bits = 4}), "binary rounding takes one bit, signs with a scale and perhaps a mean");
    EXPECT_EQ(message({.bits = 1, .codes = code_set::sign_mean}),
              "binary rounding takes one bit, signs with a scale and perhaps a mean");
    EXPECT_EQ(message({.bits = 1, .codes = code_set::sign, .reach = quell::granularity::group}),
              "a group of 0 weights");
    EXPECT_EQ(message({.bits = 1, .codes = code_set::sign, .reach = quell::granularity::token}),
              "the scales of a weight reach over a channel or a group");
    w(1, 3) = INFINITY;
    EXPECT_NE(message(binary_form(0, false)).find("row 1, column 3"), std::string::npos);
}

}  // namespace
