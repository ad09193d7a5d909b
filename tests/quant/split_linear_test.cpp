// SPDX-License-Identifier: MIT
#include "quell/quant/split_linear.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/packing/unpack.hpp"
#include "quell/quant/linear_arrays.hpp"
#include "quell/quant/recipe_linear.hpp"
#include "quell/quant/rounded_weight.hpp"
#include "reference/quantized_product.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace quell;
using namespace quell::quant;

constexpr scheme signs_of(std::size_t group) {
    return {.bits = 1,
            .codes = code_set::sign_mean,
            .reach = granularity::group,
            .group = group,
            .scales = scale_type::f16,
            .zeros = zero_type::real};
}

/// Codes, scales and zeros drawn at random; half the columns of each parity, from the last to the first.
split_quantized random_split(std::size_t out, std::size_t n_high, std::size_t n_low, std::uint64_t seed) {
    split_quantized q{.order = {},
                      .high = make_quantized(rounding::staged{}.high, out, n_high),
                      .low = make_quantized(signs_of(32), out, n_low)};
    rng random(seed);
    for (quantized* part : {&q.high, &q.low}) {
        const code_range range = codes_of(part->form);
        for (std::int8_t& code : part->codes.elements()) {
            code = static_cast<std::int8_t>(
                range.low + static_cast<int>(random.below(static_cast<std::uint64_t>(range.high - range.low + 1))));
        }
        for (float& scale : part->scales.elements()) {
            scale = static_cast<float>(1 + random.below(7)) / 8.0F;
        }
        for (float& zero : part->zeros.elements()) {
            zero = static_cast<float>(random.below(7));
        }
    }
    for (std::size_t p = n_high + n_low; p-- > 0;) {
        if (p % 2 == 0) {
            q.order.push_back(static_cast<std::uint16_t>(p));
        }
    }
    for (std::size_t p = 1; p < n_high + n_low; p += 2) {
        q.order.push_back(static_cast<std::uint16_t>(p));
    }
    return q;
}

split_quantized copy_of(const split_quantized& q) {
    const auto part = [](const quantized& p) {
        return quantized{.form = p.form,
                         .codes = matrix<std::int8_t>::copy_of(p.codes.view()),
                         .scales = matrix<float>::copy_of(p.scales.view()),
                         .zeros = matrix<float>::copy_of(p.zeros.view())};
    };
    return {.order = q.order, .high = part(q.high), .low = part(q.low)};
}

linear layer_of(const split_quantized& q, const activation_scheme& activations = {}, std::span<const float> bias = {},
                online_input online = {}) {
    auto made = quell::quant::linear_of(rounded_weight(copy_of(q)), {activations, bias, std::move(online), {}});
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    return *std::move(made);
}

std::vector<float> product_with(const linear& layer, const matrix<float>& x, const executor& threads = {}) {
    matrix<float> y(x.rows(), out_features(layer));
    std::vector<std::byte> workspace(workspace_bytes(layer, x.rows()));
    forward(layer, x.view(), y.view(), workspace, threads);
    return {y.elements().begin(), y.elements().end()};
}

TEST(SplitLinear, EqualsTheProductOfTheDequantizedOperands) {
    for (const auto& [n_high, n_low] :
         {std::pair<std::size_t, std::size_t>{1, 3}, {20, 77}, {115, 461}, {64, 0}, {0, 65}}) {
        const split_quantized q = random_split(37, n_high, n_low, 3);
        const std::size_t n = n_high + n_low;
        const matrix<float> x = random_matrix(5, n, 7);
        const matrix<float> bias = random_matrix(1, 37, 8);
        const matrix<float> w = dequantize(q);
        for (const activation_scheme& form : {activation_scheme{}, activation_scheme{.bits = 4, .clip = 0.9F},
                                              activation_scheme{.reach = granularity::tensor, .static_scale = 0.02F}}) {
            const std::vector<float> y = product_with(layer_of(q, form, bias.elements()), x);
            for (std::size_t r = 0; r < 5; ++r) {
                std::vector<float> ordered(n);
                for (std::size_t p = 0; p < n; ++p) {
                    ordered[p] = x(r, q.order[p]);
                }
                const reference::activation_rule rule{form.bits, form.clip, form.static_scale};
                std::vector<double> a = reference::rounded_row(std::span(ordered).first(n_high), rule);
                const std::vector<double> low = reference::rounded_row(std::span(ordered).subspan(n_high), rule);
                a.insert(a.end(), low.begin(), low.end());
                for (std::size_t o = 0; o < 37; ++o) {
                    double sum = double{bias(0, o)};
                    double magnitude = std::abs(sum);
                    for (std::size_t p = 0; p < n; ++p) {
                        const double term = a[p] * double{w(o, q.order[p])};
                        sum += term;
                        magnitude += std::abs(a[p]) * 16.0;
                    }
                    EXPECT_NEAR(double{y[r * 37 + o]}, sum, 30 * 0x1p-24 * magnitude) << n_high << " + " << n_low;
                }
            }
        }
    }
}

TEST(SplitLinear, SumsIntegersExactly) {
    split_quantized q = random_split(33, 115, 461, 4);
    for (quantized* part : {&q.high, &q.low}) {
        std::fill(part->scales.elements().begin(), part->scales.elements().end(), 1.0F);
    }
    matrix<float> x(3, 576);
    rng random(9);
    for (float& v : x.elements()) {
        v = static_cast<float>(random.below(255)) - 127.0F;
    }
    const matrix<float> w = dequantize(q);
    const std::vector<float> y = product_with(layer_of(q, {.reach = granularity::tensor, .static_scale = 1.0F}), x);
    for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t o = 0; o < 33; ++o) {
            std::int64_t sum = 0;
            for (std::size_t c = 0; c < 576; ++c) {
                sum += static_cast<std::int64_t>(x(r, c)) * static_cast<std::int64_t>(w(o, c));
            }
            EXPECT_EQ(static_cast<std::int64_t>(y[r * 33 + o]), sum) << "row " << r << ", output " << o;
        }
    }
}

TEST(SplitLinear, UnpacksToTheCanonicalForm) {
    const split_quantized q = random_split(37, 20, 77, 5);
    const linear layer = layer_of(q);
    const auto* split = std::get_if<split_linear>(&layer);
    ASSERT_NE(split, nullptr);
    EXPECT_TRUE(std::equal(q.order.begin(), q.order.end(), split->order().begin(), split->order().end()));
    for (const auto& [part, packed] :
         {std::pair(&q.high, &split->high().packed()), std::pair(&q.low, &split->low().packed())}) {
        const auto again = packing::unpack(*packed);
        ASSERT_TRUE(again);
        EXPECT_EQ(again->form, part->form);
        EXPECT_TRUE(std::ranges::equal(again->codes.elements(), part->codes.elements()));
        EXPECT_TRUE(std::ranges::equal(again->scales.elements(), part->scales.elements()));
        EXPECT_TRUE(std::ranges::equal(again->zeros.elements(), part->zeros.elements()));
    }
    EXPECT_TRUE(std::ranges::equal(weight(layer).elements(), dequantize(q).elements()));
}

TEST(SplitLinear, ChangesItsInputOnline) {
    const split_quantized q = random_split(37, 20, 76, 5);
    buffer<float> scale(96);
    for (std::size_t c = 0; c < 96; ++c) {
        scale[c] = 0.5F + static_cast<float>(c % 4);
    }
    const activation_scheme fine{.reach = granularity::tensor, .static_scale = 0.001F};
    const linear layer =
        layer_of(q, fine, {}, {.scale = buffer<float>::copy_of(scale), .rotation = transforms::hadamard(96)});
    const matrix<float> w = weight(layer);
    matrix<float> x = random_matrix(4, 96, 6);
    for (float& v : x.elements()) {
        v *= 0.01F;
    }
    const std::vector<float> y = product_with(layer, x);
    const std::vector<float> exact = product_with(float_linear(w.view()), x);
    for (std::size_t i = 0; i < y.size(); ++i) {
        EXPECT_NEAR(y[i], exact[i], 0.35F);
    }
}

TEST(SplitLinear, RunsBesideOthersAndOnManyThreads) {
    const split_quantized q = random_split(70, 40, 160, 6);
    const split_quantized other = random_split(50, 40, 160, 7);
    const matrix<float> w = random_matrix(30, 200, 8);
    const linear layers[] = {layer_of(q), float_linear(w.view()), layer_of(other),
                             layer_of(random_split(20, 0, 200, 9))};
    const matrix<float> x = random_matrix(9, 200, 10);
    thread_pool pool(3);
    std::vector<matrix<float>> outputs;
    std::vector<linear_call> calls;
    std::size_t room = 0;
    for (const linear& layer : layers) {
        outputs.emplace_back(9, out_features(layer));
        room = std::max(room, workspace_bytes(layer, 9));
    }
    for (std::size_t i = 0; i < 4; ++i) {
        calls.push_back({&layers[i], outputs[i].view()});
    }
    std::vector<std::byte> workspace(room + 1);
    forward_shared(calls, x.view(), std::span(workspace).subspan(1), pool);
    for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_TRUE(std::ranges::equal(product_with(layers[i], x), outputs[i].elements())) << i;
    }
}

TEST(SplitLinear, ComesApartIntoArraysAndTogetherAgain) {
    const matrix<float> bias = random_matrix(1, 37, 8);
    const linear layer = layer_of(random_split(37, 20, 77, 5), {}, bias.elements());
    const linear_arrays arrays = arrays_of(layer);
    const auto mapped = map_linear(arrays);
    ASSERT_TRUE(mapped) << mapped.error().message;
    const matrix<float> x = random_matrix(3, 97, 11);
    EXPECT_EQ(product_with(*mapped, x), product_with(layer, x));
    EXPECT_EQ(arrays_of(*mapped).weight.data(), arrays.weight.data());
    EXPECT_EQ(arrays_of(*mapped).high_weight.data(), arrays.high_weight.data());
    const storage_bits stored = storage_of(layer);
    EXPECT_EQ(stored.codes, 37U * (20U * 4U + 77U));
    EXPECT_EQ(stored.scales, 37U * (16U + 3U * 16U));
    EXPECT_EQ(stored.zeros, 37U * (4U + 3U * 16U));
    EXPECT_EQ(stored.order, 97U * 16U);
}

TEST(SplitLinear, RefusesWhatDoesNotFit) {
    const split_quantized q = random_split(37, 20, 77, 5);
    const auto message = [&](std::vector<std::uint16_t> order, const quantized& high, const activation_scheme& a = {}) {
        const auto made = split_linear::make({order, *packing::pack(high), *packing::pack(q.low)}, a);
        return made ? std::string("made") : made.error().message;
    };
    std::vector<std::uint16_t> order = q.order;
    EXPECT_EQ(message(order, q.high), "made");
    order[3] = order[4];
    EXPECT_EQ(message(order, q.high), "an order of 97 columns names column " + std::to_string(order[4]) + " twice");
    order[3] = 97;
    EXPECT_EQ(message(order, q.high), "an order of 97 columns names column 97");
    EXPECT_EQ(message({0, 1}, q.high), "an order of 2 columns, the weight has 97");
    EXPECT_EQ(message(q.order, random_split(36, 20, 77, 5).high), "parts of 36 and 37 output features");
    EXPECT_EQ(split_linear::make({q.order, *packing::pack(q.high), *packing::pack(q.low)}, {.bits = 32}).error().code,
              errc::unsupported);
}

}  // namespace
