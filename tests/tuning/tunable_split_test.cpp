// SPDX-License-Identifier: MIT
#include "quell/tuning/tunable_split.hpp"

#include "quell/quant/rounded_weight.hpp"
#include "quell/rounding/binary.hpp"
#include "quell/rounding/rtn.hpp"
#include "support/linear_outputs.hpp"
#include "support/planted.hpp"
#include "tuning/gradients.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace quell;
using namespace quell::tuning;

/// 10 columns of 4 bits with a zero, 70 of one bit, in groups of 32 that end ragged.
struct split_case {
    std::size_t high = 10, low = 70, out = 21, tokens = 40;
    matrix<float> w = random_matrix(out, high + low, 1);
    matrix<float> x = random_matrix(tokens, high + low, 2);
    matrix<float> dy = random_matrix(tokens, out, 3);
    std::vector<std::uint16_t> order = shuffled();
    quantized high_codes = *rounding::rtn{}.solve(w.view().block(0, 0, out, high), {.bits = 4,
                                                                                    .codes = code_set::zero_point,
                                                                                    .reach = granularity::group,
                                                                                    .group = 32,
                                                                                    .scales = scale_type::f16,
                                                                                    .zeros = zero_type::integer});
    quantized low_codes = *rounding::binary{}.solve(w.view().block(0, high, out, low), {.bits = 1,
                                                                                        .codes = code_set::sign_mean,
                                                                                        .reach = granularity::group,
                                                                                        .group = 32,
                                                                                        .scales = scale_type::f16,
                                                                                        .zeros = zero_type::real});
    quant::split_linear layer =
        *quant::split_linear::make({order, *packing::pack(high_codes), *packing::pack(low_codes)}, {.bits = 8});

    [[nodiscard]] std::vector<std::uint16_t> shuffled() const {
        std::vector<std::uint16_t> all;
        for (std::size_t p = 0; p < high + low; ++p) {
            all.push_back(static_cast<std::uint16_t>(p * 7 % (high + low)));
        }
        return all;
    }
};

struct split_pass {
    tunable_split linear;
    linear_scratch scratch;
    matrix<float> z, y, dx;

    explicit split_pass(const split_case& c)
        : linear(*tunable_split::make("l", c.layer)),
          z(c.tokens, 2 * c.out),
          y(c.tokens, c.out),
          dx(c.tokens, c.high + c.low) {
        linear.forward(c.x.view(), z.view(), y.view(), scratch, {});
        linear.backward(c.x.view(), z.view(), c.dy.view(), dx.view(), scratch, {});
    }

    std::vector<parameter<float>*> parameters() {
        std::vector<parameter<float>*> all;
        linear.for_each_parameter([&](parameter<float>& p) { all.push_back(&p); });
        return all;
    }
};

TEST(TunableSplit, RunsAsTheLinearItIs) {
    split_case c;
    split_pass pass(c);
    const matrix<float> expected = outputs_of(quant::linear(std::move(c.layer)), c.x);
    for (std::size_t i = 0; i < expected.elements().size(); ++i) {
        EXPECT_NEAR(pass.y.elements()[i], expected.elements()[i], 1e-5);
    }
}

/// With the codes of the inputs fixed, outputs are linear in the factors: a difference is exact.
TEST(TunableSplit, FactorsHaveTheGradientOfTheirDifferences) {
    const split_case c;
    split_pass pass(c);
    const std::vector<parameter<float>*> all = pass.parameters();
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0]->name, "l.high.scales");
    EXPECT_EQ(all[1]->name, "l.low.scales");
    const double before = sum_of_products(pass.y, c.dy);
    for (parameter<float>* p : all) {
        for (const std::size_t o : {std::size_t{0}, c.out - 1}) {
            p->value(0, o) = 1.25F;
            pass.linear.forward(c.x.view(), pass.z.view(), pass.y.view(), pass.scratch, {});
            const double slope = (sum_of_products(pass.y, c.dy) - before) / 0.25;
            EXPECT_NEAR(double{p->gradient(0, o)}, slope, 1e-3) << p->name << ' ' << o;
            p->value(0, o) = 1.0F;
        }
    }
}

TEST(TunableSplit, InputsGetTheProductWithTheDequantizedWeight) {
    const split_case c;
    const split_pass pass(c);
    expect_product(pass.dx, c.dy, c.layer.weight());
}

TEST(TunableSplit, WhatIsTunedEndsInTheScalesAndMeansOfTheSameCodes) {
    const split_case c;
    split_pass pass(c);
    for (parameter<float>* p : pass.parameters()) {
        p->value(0, 3) = 1.5F;
    }
    const auto tuned = pass.linear.finish({});
    ASSERT_TRUE(tuned) << tuned.error().message;
    const quantized high = *packing::unpack(tuned->high().packed());
    const quantized low = *packing::unpack(tuned->low().packed());
    EXPECT_TRUE(std::ranges::equal(high.codes.elements(), c.high_codes.codes.elements()));
    EXPECT_TRUE(std::ranges::equal(low.codes.elements(), c.low_codes.codes.elements()));
    EXPECT_TRUE(std::ranges::equal(high.zeros.elements(), c.high_codes.zeros.elements()));
    for (std::size_t g = 0; g < low.scales.cols(); ++g) {
        EXPECT_NEAR(low.scales(3, g), 1.5F * c.low_codes.scales(3, g), 1e-3F);
        EXPECT_NEAR(low.zeros(3, g), 1.5F * c.low_codes.zeros(3, g), 1e-3F);
        EXPECT_EQ(low.scales(4, g), c.low_codes.scales(4, g));
    }
    EXPECT_NEAR(high.scales(3, 0), 1.5F * c.high_codes.scales(3, 0), 1e-3F);
    EXPECT_TRUE(std::ranges::equal(tuned->order(), c.layer.order()));
}

TEST(TunableSplit, AnOnlineChangeIsRefused) {
    const split_case c;
    quant::online_input online;
    online.rotation = transforms::hadamard(c.high + c.low);
    const auto layer = quant::split_linear::make({c.order, *packing::pack(c.high_codes), *packing::pack(c.low_codes)},
                                                 {.bits = 8}, {}, std::move(online));
    ASSERT_TRUE(layer);
    const auto tuned = tunable_split::make("blk.0.attn_q", *layer);
    ASSERT_FALSE(tuned);
    EXPECT_EQ(tuned.error().message, "blk.0.attn_q: columns of two forms behind an online change are not tuned");
}

}  // namespace
