// SPDX-License-Identifier: MIT
#include "quell/packing/layout.hpp"

#include "packing/forms.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace {

using namespace quell;

TEST(PanelShapeOf, HoldsEveryFormOfWeights) {
    for (const scheme& form : all_forms()) {
        const auto shape = packing::panel_shape_of(form, 20, 200);
        ASSERT_TRUE(shape) << describe(form, 20, 200);
        EXPECT_EQ(bits_of(shape->format), static_cast<std::size_t>(form.bits > 4 ? 8 : form.bits));
        EXPECT_EQ(shape->group, form.group);
        EXPECT_EQ(shape->zeros, form.zeros);
        EXPECT_EQ(shape->scales == scale_type::f16, form.scales == scale_type::f16 && form.group != 0);
        EXPECT_EQ(shape->scales == scale_type::codes8, form.scales == scale_type::codes8);
    }
}

TEST(PanelShapeOf, RefusesWhatNoPanelsHold) {
    constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
    const scheme refused[] = {
        {.bits = 0},
        {.bits = 1},
        {.bits = 9},
        {.bits = 16},
        {.bits = 32},
        {.bits = 2, .codes = code_set::sign},
        {.bits = 1, .codes = code_set::sign, .zeros = zero_type::real},
        {.bits = 1, .codes = code_set::sign_mean},
        {.bits = 1, .codes = code_set::sign_mean, .zeros = zero_type::integer},
        {.bits = 1, .codes = code_set::zero_point, .zeros = zero_type::integer},
        {.bits = 4, .codes = code_set::zero_point},
        {.bits = 4, .zeros = zero_type::integer},
        {.bits = 4, .scales = scale_type::codes8},
        {.bits = 1, .codes = code_set::sign, .reach = granularity::group, .group = 32, .scales = scale_type::codes8},
        {.bits = 8, .reach = granularity::token},
        {.bits = 4, .reach = granularity::group},
        {.bits = 4, .reach = granularity::group, .group = 48},
        {.bits = 4, .reach = granularity::group, .group = packing::max_group + 32},
        {.bits = 4, .reach = granularity::group, .group = largest - 31},
    };
    for (const scheme& form : refused) {
        const auto shape = packing::panel_shape_of(form, 2, 64);
        ASSERT_FALSE(shape) << describe(form, 2, 64);
        EXPECT_EQ(shape.error().code, errc::unsupported);
        EXPECT_EQ(packing::packed_bytes(form, 2, 64), 0U);
    }
    EXPECT_EQ(packing::panel_shape_of({.bits = 8}, 1, kernels::max_k + 1).error().code, errc::unsupported);
    EXPECT_EQ(packing::panel_shape_of({.bits = 8}, largest, kernels::max_k).error().code, errc::bad_shape);
}

TEST(StoredSize, CountsCodesScalesAndZerosWithoutPadding) {
    using packing::stored_bits;
    EXPECT_EQ(stored_bits({.bits = 8}, 10, 100), 10U * 100 * 8 + 10 * 32);
    EXPECT_EQ(stored_bits({.bits = 8, .reach = granularity::tensor}, 10, 100), 10U * 100 * 8 + 32);
    const scheme g128 = {.bits = 4, .reach = granularity::group, .group = 128, .scales = scale_type::f16};
    EXPECT_EQ(stored_bits(g128, 2, 576), 2U * (576 * 4 + 5 * 16)) << "the last group of a row is short";
    scheme zeros = g128;
    zeros.codes = code_set::zero_point;
    zeros.zeros = zero_type::integer;
    EXPECT_EQ(stored_bits(zeros, 1, 256), 256U * 4 + 2 * (16 + 4));
    zeros.zeros = zero_type::real;
    EXPECT_EQ(stored_bits(zeros, 1, 256), 256U * 4 + 2 * (16 + 16));
    zeros.scales = scale_type::codes8;
    EXPECT_EQ(stored_bits(zeros, 3, 256), 3U * (256 * 4 + 2 * (8 + 8) + 16));
    const scheme mean = {.bits = 1, .codes = code_set::sign_mean, .scales = scale_type::bf16, .zeros = zero_type::real};
    EXPECT_EQ(stored_bits(mean, 3, 100), 3U * (100 + 16 + 16));
    EXPECT_EQ(stored_bits(packing::float_form, 3, 5), 3U * 5 * 32);
    EXPECT_EQ(packing::stored_bytes({.bits = 1, .codes = code_set::sign, .scales = scale_type::f16}, 1, 9), 4U);
}

}  // namespace
