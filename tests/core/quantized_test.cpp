// SPDX-License-Identifier: MIT
#include "quell/core/quantized.hpp"

#include <gtest/gtest.h>

namespace {

using quell::code_set;
using quell::granularity;
using quell::make_quantized;
using quell::quantized;
using quell::value_of;
using quell::zero_type;

quantized one_value(const quell::scheme& form, std::int8_t code, float scale, float zero) {
    quantized q = make_quantized(form, 1, 1);
    q.codes(0, 0) = code;
    q.scales(0, 0) = scale;
    if (form.zeros != zero_type::none) {
        q.zeros(0, 0) = zero;
    }
    return q;
}

TEST(Quantized, HasTheShapesOfItsScheme) {
    const quantized q = make_quantized({.bits = 4, .reach = granularity::group, .group = 128}, 3, 576);
    EXPECT_EQ(q.out_features(), 3U);
    EXPECT_EQ(q.in_features(), 576U);
    EXPECT_EQ(q.scales.cols(), 5U);
    EXPECT_EQ(q.zeros.rows(), 0U);
    const quantized with_zeros = make_quantized({.codes = code_set::zero_point, .zeros = zero_type::integer}, 3, 8);
    EXPECT_EQ(with_zeros.zeros.rows(), 3U);
    EXPECT_EQ(with_zeros.zeros.cols(), 1U);
}

TEST(Quantized, SymmetricValueIsScaleTimesCode) {
    EXPECT_EQ(value_of(one_value({.bits = 4}, -8, 0.25F, 0.0F), 0, 0), -2.0F);
}

TEST(Quantized, ZeroPointIsTakenOffTheCode) {
    const quell::scheme form{.bits = 4, .codes = code_set::zero_point, .zeros = zero_type::integer};
    EXPECT_EQ(value_of(one_value(form, 3, 0.5F, 7.0F), 0, 0), -2.0F);
}

TEST(Quantized, RealZeroNeedsNoInteger) {
    const quell::scheme form{.bits = 4, .codes = code_set::zero_point, .zeros = zero_type::real};
    EXPECT_EQ(value_of(one_value(form, 3, 0.5F, 1.5F), 0, 0), 0.75F);
}

TEST(Quantized, SignsArePlusAndMinusTheScale) {
    const quell::scheme form{.bits = 1, .codes = code_set::sign};
    EXPECT_EQ(value_of(one_value(form, 1, 0.5F, 0.0F), 0, 0), 0.5F);
    EXPECT_EQ(value_of(one_value(form, 0, 0.5F, 0.0F), 0, 0), -0.5F);
}

TEST(Quantized, MeanIsAddedToTheSigns) {
    const quell::scheme form{.bits = 1, .codes = code_set::sign_mean, .zeros = zero_type::real};
    EXPECT_EQ(value_of(one_value(form, 1, 0.5F, 0.125F), 0, 0), 0.625F);
    EXPECT_EQ(value_of(one_value(form, 0, 0.5F, 0.125F), 0, 0), -0.375F);
}

TEST(Quantized, DequantizesEveryElementWithTheScaleOfItsGroup) {
    quantized q = make_quantized({.bits = 4, .reach = granularity::group, .group = 2}, 2, 5);
    for (std::size_t r = 0; r < 2; ++r) {
        for (std::size_t g = 0; g < 3; ++g) {
            q.scales(r, g) = static_cast<float>(1 + 10 * r + g);
        }
        for (std::size_t c = 0; c < 5; ++c) {
            q.codes(r, c) = static_cast<std::int8_t>(c);
        }
    }
    const quell::matrix<float> w = dequantize(q);
    EXPECT_EQ(w(0, 1), 1.0F);
    EXPECT_EQ(w(0, 2), 4.0F);
    EXPECT_EQ(w(0, 4), 12.0F);
    EXPECT_EQ(w(1, 3), 36.0F);
    EXPECT_EQ(w(1, 4), 52.0F);
}

}  // namespace
