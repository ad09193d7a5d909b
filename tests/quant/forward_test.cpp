// SPDX-License-Identifier: MIT
#include "quell/quant/forward.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/quant/round_activations.hpp"
#include "quell/rounding/rtn.hpp"
#include "reference/quantized_product.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <utility>
#include <vector>

namespace {

using namespace quell;
using namespace quell::quant;

constexpr scheme int8_rows{.bits = 8};
constexpr scheme int4_rows{.bits = 4};
constexpr scheme groups_of(std::size_t group, scale_type scales) {
    return {.bits = 4, .reach = granularity::group, .group = group, .scales = scales};
}

quantized round_plainly(const matrix<float>& w, const scheme& form) {
    return *rounding::rtn{rounding::no_clip_search}.solve(w.view(), form);
}

linear make(const quantized& q, const activation_scheme& activations, std::span<const float> bias,
            buffer<float> channel_scale = {}) {
    return *quantized_linear::make(*packing::pack(q), activations, bias, {.scale = std::move(channel_scale)});
}

matrix<float> run(const linear& layer, const matrix<float>& x, const executor& threads = {}) {
    matrix<float> y(x.rows(), out_features(layer));
    std::vector<std::byte> workspace(workspace_bytes(layer, x.rows()));
    forward(layer, x.view(), y.view(), workspace, threads);
    return y;
}

bool same_bits(const matrix<float>& a, const matrix<float>& b) {
    return a.rows() == b.rows() && a.cols() == b.cols() &&
           (a.elements().empty() ||
            std::memcmp(a.elements().data(), b.elements().data(), a.elements().size_bytes()) == 0);
}

void expect_oracle(const quantized& q, const activation_scheme& form, std::size_t m, bool online) {
    const matrix<float> x = random_matrix(m, q.in_features(), 7);
    const matrix<float> bias = random_matrix(1, q.out_features(), 8);
    buffer<float> scale(online ? q.in_features() : 0);
    for (std::size_t k = 0; k < scale.size(); ++k) {
        scale[k] = 0.25F + static_cast<float>(k % 5);
    }
    const reference::activation_rule rule{form.bits, form.clip, form.static_scale, scale};
    const linear layer = make(q, form, bias.elements(), buffer<float>::copy_of(scale));
    const matrix<float> y = run(layer, x);
    const double bound = static_cast<double>(q.scales.cols() + 3) * 0x1p-24;
    for (std::size_t r = 0; r < m; ++r) {
        const std::vector<double> a = reference::rounded_row(x.row(r), rule);
        for (std::size_t o = 0; o < q.out_features(); ++o) {
            const auto exact = reference::quantized_product(a, q, o, bias(0, o));
            EXPECT_NEAR(double{y(r, o)}, exact.value, bound * exact.magnitude)
                << q.form.bits << " bits, group " << q.form.group << ", row " << r << ", output " << o;
        }
    }
}

TEST(Forward, EqualsTheProductOfTheDequantizedOperands) {
    const std::pair<std::size_t, std::size_t> shapes[] = {{1, 1}, {16, 64}, {17, 129}, {40, 576}};
    for (const auto& [n, k] : shapes) {
        const matrix<float> w = random_matrix(n, k, 1);
        for (const scheme& form : {int8_rows, int4_rows, groups_of(128, scale_type::f16),
                                   groups_of(32, scale_type::f32), groups_of(64, scale_type::f16)}) {
            const quantized q = round_plainly(w, form);
            for (const std::size_t m : {1U, 5U}) {
                expect_oracle(q, {}, m, false);
                expect_oracle(q, {.bits = 4, .clip = 0.9F}, m, true);
                expect_oracle(q, {.bits = 16}, m, true);
                expect_oracle(q, {.reach = granularity::tensor, .static_scale = 0.02F}, m, false);
            }
        }
    }
}

TEST(Forward, AScaleOfEachCallIsTheLargestThatARowTakes) {
    const matrix<float> w = random_matrix(20, 70, 1);
    const quantized q = round_plainly(w, int8_rows);
    matrix<float> x = random_matrix(6, 70, 2);
    float largest = 0.0F;
    for (std::size_t r = 0; r < 6; ++r) {
        for (float& v : x.row(r)) {
            v *= r == 4 ? 0.0F : 0.01F;  // below 1, which is what a row of zeros would say
            largest = std::max(largest, std::abs(v));
        }
    }
    thread_pool pool(3);
    for (const int bits : {8, 4}) {
        const float scale = largest / (bits == 8 ? 127.0F : 7.0F);
        const linear fixed = make(q, {.bits = bits, .reach = granularity::tensor, .static_scale = scale}, {});
        const linear dynamic = make(q, {.bits = bits, .reach = granularity::tensor, .at_run_time = true}, {});
        EXPECT_TRUE(same_bits(run(dynamic, x), run(fixed, x))) << bits;
        EXPECT_TRUE(same_bits(run(dynamic, x), run(dynamic, x, pool))) << bits;
        EXPECT_TRUE(same_bits(run(dynamic, matrix<float>(3, 70)), matrix<float>(3, 20)));
    }
}

TEST(Forward, AStaticScaleClampsWhatCalibrationNeverSaw) {
    const matrix<float> w = random_matrix(20, 70, 1);
    const linear layer = make(round_plainly(w, int8_rows), {.reach = granularity::tensor, .static_scale = 0.01F}, {});
    matrix<float> at_limit = random_matrix(2, 70, 2);
    for (float& v : at_limit.elements()) {
        v = std::min(std::max(0.01F * std::nearbyint(100.0F * v), -1.27F), 1.27F);
    }
    at_limit(0, 3) = 1.27F;
    at_limit(1, 9) = -1.27F;
    matrix<float> beyond = matrix<float>::copy_of(at_limit.view());
    beyond(0, 3) = 1e6F;
    beyond(1, 9) = -3.0F;
    EXPECT_TRUE(same_bits(run(layer, beyond), run(layer, at_limit)));
}

double squared_distance(const matrix<float>& a, const matrix<float>& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.elements().size(); ++i) {
        const double d = double{a.elements()[i]} - double{b.elements()[i]};
        sum += d * d;
    }
    return sum;
}

TEST(Forward, SevenBitsWithAZeroPointAreAsFineAsEightWithoutOnOneSide) {
    const matrix<float> w = random_matrix(37, 100, 1);
    const quantized q = round_plainly(w, int8_rows);
    matrix<float> x = random_matrix(13, 100, 2);
    std::transform(x.elements().begin(), x.elements().end(), x.elements().begin(),
                   [](float v) { return std::max(v, 0.0F); });
    const matrix<float> exact = run(float_linear(dequantize(q).view()), x);
    const double eight = squared_distance(run(make(q, {}, {}), x), exact);
    const double seven = squared_distance(run(make(q, {.bits = 7, .zero_point = true}, {}), x), exact);
    EXPECT_NEAR(seven, eight, 1e-3 * eight);
}

TEST(Forward, AZeroPointHalvesTheStepOfOneSidedActivations) {
    const activation_scheme zeros{.zero_point = true};
    for (const scheme& form : {int8_rows, scheme{.bits = 8, .reach = granularity::group, .group = 32}}) {
        const matrix<float> w = random_matrix(37, 100, 1);
        const quantized q = round_plainly(w, form);
        const matrix<float> stored = dequantize(q);
        matrix<float> x = random_matrix(13, 100, 2);
        std::transform(x.elements().begin(), x.elements().end(), x.elements().begin(),
                       [](float v) { return v > 0.0F ? 8.0F * v : 0.1F * v; });
        for (const std::size_t rows : {1U, 2U, 13U}) {
            const matrix<float> some = matrix<float>::copy_of(x.view().block(0, 0, rows, 100));
            matrix<float> rounded = matrix<float>::copy_of(some.view());
            quant::round_activations(rounded.view(), zeros);
            const matrix<float> expected = run(float_linear(stored.view()), rounded);
            const matrix<float> exact = run(float_linear(stored.view()), some);
            const matrix<float> y = run(make(q, zeros, {}), some);
            for (std::size_t i = 0; i < y.elements().size(); ++i) {
                EXPECT_NEAR(y.elements()[i], expected.elements()[i], 1e-3) << rows;
            }
            EXPECT_LT(squared_distance(y, exact), 0.5 * squared_distance(run(make(q, {}, {}), some), exact)) << rows;
        }
    }
}

TEST(Forward, AZeroPointWantsSymmetricWeightsOfEightBits) {
    const matrix<float> w = random_matrix(20, 70, 1);
    const auto message = [&](const scheme& form) {
        auto packed = packing::pack(round_plainly(w, form));
        return quantized_linear::make(*std::move(packed), {.zero_point = true}).error().message;
    };
    EXPECT_EQ(message(int4_rows), "activations with a zero point meet symmetric weights of 8 bits, not 4 bits");
    for (const activation_scheme& form :
         {activation_scheme{.bits = 4, .zero_point = true}, activation_scheme{.clip = 0.0F, .zero_point = true},
          activation_scheme{.reach = granularity::tensor, .zero_point = true}}) {
        EXPECT_EQ(check(form).error().message,
                  "a zero point needs activations of 8 or 7 bits with scales of tokens, and a clip");
    }
    EXPECT_EQ(check(activation_scheme{.bits = 7}).error().message, "activations of 7 bits without a zero point");
}

/// The first channels in float, the others in integers.
linear with_float_columns(const matrix<float>& w, std::size_t count, std::span<const float> bias) {
    const matrix_view<const float> all = w.view();
    const quantized q =
        *rounding::rtn{rounding::no_clip_search}.solve(all.block(0, count, w.rows(), w.cols() - count), int4_rows);
    return *quantized_linear::make(*packing::pack(q), {.bits = 4, .clip = 0.9F}, bias, {},
                                   packing::pack_f32(all.block(0, 0, w.rows(), count)));
}

TEST(Forward, FloatColumnsAddToTheIntegerProductOfTheOtherChannels) {
    const matrix<float> w = random_matrix(37, 100, 1);
    const matrix<float> bias = random_matrix(1, 37, 2);
    const matrix<float> x = random_matrix(9, 100, 3);
    const linear layer = with_float_columns(w, 7, bias.elements());
    const matrix<float> y = run(layer, x);
    const quantized_linear& both = std::get<quantized_linear>(layer);
    const quantized q = *packing::unpack(both.packed());
    for (std::size_t r = 0; r < x.rows(); ++r) {
        const std::vector<double> a = reference::rounded_row(x.row(r).subspan(7), {4, 0.9F, 0.0F, {}});
        for (std::size_t o = 0; o < w.rows(); ++o) {
            auto exact = reference::quantized_product(a, q, o, bias(0, o));
            for (std::size_t k = 0; k < 7; ++k) {
                exact.value += double{x(r, k)} * double{w(o, k)};
                exact.magnitude += std::abs(double{x(r, k)} * double{w(o, k)});
            }
            EXPECT_NEAR(double{y(r, o)}, exact.value, 12 * 0x1p-24 * exact.magnitude);
        }
    }
}

TEST(Forward, FloatColumnsGiveTheSameBitsOnAnyNumberOfThreadsAndNextToOthers) {
    const matrix<float> w = random_matrix(400, 288, 1);
    const matrix<float> x = random_matrix(150, 288, 3);
    const linear layer = with_float_columns(w, 32, {});
    const linear other = with_float_columns(w, 16, {});
    const matrix<float> alone = run(layer, x);
    thread_pool pool(3);
    EXPECT_TRUE(same_bits(run(layer, x, pool), alone));
    matrix<float> first(150, 400);
    matrix<float> second(150, 400);
    const linear_call calls[] = {{&other, first.view()}, {&layer, second.view()}};
    std::vector<std::byte> workspace(workspace_bytes(other, 150));
    forward_shared(calls, x.view(), workspace, pool);
    EXPECT_TRUE(same_bits(second, alone));
    EXPECT_TRUE(same_bits(first, run(other, x)));
}

TEST(QuantizedLinear, WeightHasItsFloatColumnsExactly) {
    const matrix<float> w = random_matrix(19, 40, 1);
    const linear layer = with_float_columns(w, 8, {});
    const quantized_linear& both = std::get<quantized_linear>(layer);
    EXPECT_EQ(both.in_features(), 40U);
    EXPECT_EQ(both.float_features(), 8U);
    const matrix<float> whole = both.weight();
    std::vector<float> row(40);
    for (std::size_t r = 0; r < 19; ++r) {
        both.copy_row(r, row);
        for (std::size_t c = 0; c < 40; ++c) {
            EXPECT_EQ(row[c], whole(r, c));
            EXPECT_TRUE(c >= 8 || whole(r, c) == w(r, c));
        }
    }
}

TEST(QuantizedLinear, RefusesFloatColumnsThatDoNotFit) {
    const matrix<float> w = random_matrix(16, 32, 1);
    const quantized q = round_plainly(w, int4_rows);
    const auto refused = [&](const matrix<float>& columns) {
        return quantized_linear::make(*packing::pack(q), {}, {}, {}, packing::pack_f32(columns.view())).error().message;
    };
    EXPECT_EQ(refused(random_matrix(17, 3, 2)), "the columns in float have 17 rows, the integer weight has 16");
    EXPECT_EQ(quantized_linear::make(*packing::pack(q), {}, {}, {}, *packing::pack(q)).error().code, errc::unsupported);
}

TEST(Forward, FloatLinearMultipliesInFloat) {
    const matrix<float> w = random_matrix(37, 100, 1);
    const matrix<float> bias = random_matrix(1, 37, 2);
    const matrix<float> x = random_matrix(6, 100, 3);
    const linear layer = float_linear(w.view(), bias.elements());
    const matrix<float> y = run(layer, x);
    for (std::size_t r = 0; r < y.rows(); ++r) {
        for (std::size_t o = 0; o < y.cols(); ++o) {
            double sum = double{bias(0, o)};
            double magnitude = std::abs(sum);
            for (std::size_t k = 0; k < 100; ++k) {
                sum += double{x(r, k)} * double{w(o, k)};
                magnitude += std::abs(double{x(r, k)} * double{w(o, k)});
            }
            EXPECT_NEAR(double{y(r, o)}, sum, 102 * 0x1p-24 * magnitude);
        }
    }
}

TEST(FloatLinear, KeepsItsWeightExactly) {
    const matrix<float> w = random_matrix(19, 33, 1);
    const float_linear layer(w.view());
    EXPECT_TRUE(same_bits(layer.weight(), w));
    std::vector<float> row(33);
    for (std::size_t r = 0; r < w.rows(); ++r) {
        layer.copy_row(r, row);
        EXPECT_EQ(std::memcmp(row.data(), w.row(r).data(), row.size() * sizeof(float)), 0);
    }
    EXPECT_GE(layer.bytes(), 32 * 33 * sizeof(float));
}

TEST(QuantizedLinear, CopiesTheRowsOfItsWeight) {
    const matrix<float> w = random_matrix(19, 150, 1);
    buffer<float> channel_scale(150);
    for (std::size_t k = 0; k < 150; ++k) {
        channel_scale[k] = static_cast<float>(k + 1);
    }
    for (const scheme& form : {int8_rows, int4_rows, groups_of(32, scale_type::f16), groups_of(128, scale_type::f32)}) {
        const linear layer = make(round_plainly(w, form), {}, {}, buffer<float>::copy_of(channel_scale));
        const matrix<float> whole = weight(layer);
        std::vector<float> row(150);
        for (std::size_t r = 0; r < w.rows(); ++r) {
            std::get<quantized_linear>(layer).copy_row(r, row);
            EXPECT_EQ(std::memcmp(row.data(), whole.row(r).data(), row.size() * sizeof(float)), 0);
        }
    }
}

TEST(QuantizedLinear, WeightHoldsTheChannelScale) {
    const quantized q = round_plainly(random_matrix(5, 8, 1), int8_rows);
    buffer<float> scale(8);
    for (std::size_t k = 0; k < 8; ++k) {
        scale[k] = static_cast<float>(k + 1);
    }
    const linear layer = make(q, {}, {}, std::move(scale));
    const matrix<float> w = weight(layer);
    EXPECT_EQ(w(3, 7), value_of(q, 3, 7) * 8.0F);
}

TEST(QuantizedLinear, RefusesWhatDoesNotFit) {
    const auto packed = [] { return *packing::pack(round_plainly(random_matrix(5, 8, 1), int8_rows)); };
    const std::vector<float> four(4, 1.0F);
    const auto message = [](const result<quantized_linear>& layer) { return layer ? "" : layer.error().message; };
    EXPECT_EQ(message(quantized_linear::make(packed(), {}, four)), "bias has 4 entries, the weight asks for 5");
    EXPECT_EQ(message(quantized_linear::make(packed(), {}, {}, {.scale = buffer<float>(4)})),
              "channel scale has 4 entries, the weight asks for 8");
    const std::vector<float> infinite(5, INFINITY);
    EXPECT_EQ(message(quantized_linear::make(packed(), {}, infinite)), "bias, entry 0: inf");
    EXPECT_EQ(message(quantized_linear::make(packed(), {.bits = 5})),
              "activations of 5 bits (4, 7, 8, 16 and 32 exist)");
    EXPECT_EQ(quantized_linear::make(packed(), {.bits = 32}).error().code, errc::unsupported);
    EXPECT_EQ(quantized_linear::make(packed(), {.reach = granularity::tensor}).error().code, errc::unsupported);
    EXPECT_EQ(quantized_linear::make(packed(), {.clip = 0.0F}).error().code, errc::unsupported);
    EXPECT_EQ(quantized_linear::make(packed(), {.clip = -0.5F}).error().code, errc::bad_value);
    EXPECT_EQ(quantized_linear::make(packed(), {.reach = granularity::channel}).error().code, errc::unsupported);
    EXPECT_EQ(quantized_linear::make(packing::pack_f32(random_matrix(5, 8, 1).view()), {}).error().code,
              errc::unsupported);
}

TEST(Forward, GivesTheSameBitsForAnyNumberOfThreads) {
    const matrix<float> w = random_matrix(200, 320, 1);
    for (const std::size_t m : {1U, 3U, 70U, 300U}) {
        const matrix<float> x = random_matrix(m, 320, 2);
        std::vector<linear> layers;
        layers.push_back(float_linear(w.view()));
        layers.push_back(make(round_plainly(w, int8_rows), {}, {}));
        layers.push_back(make(round_plainly(w, groups_of(32, scale_type::f16)), {.bits = 4}, {}));
        for (const linear& layer : layers) {
            const matrix<float> serial = run(layer, x);
            for (std::size_t threads = 2; threads <= 8; ++threads) {
                thread_pool pool(threads);
                EXPECT_TRUE(same_bits(serial, run(layer, x, pool))) << m << " rows, " << threads << " threads";
            }
        }
    }
}

TEST(ForwardShared, EqualsSeparateForwards) {
    std::vector<linear> layers;
    buffer<float> scale(96);
    for (std::size_t k = 0; k < 96; ++k) {
        scale[k] = 1.0F / static_cast<float>(k + 1);
    }
    const auto w = [](std::size_t n) { return random_matrix(n, 96, n); };
    layers.push_back(make(round_plainly(w(70), int8_rows), {}, {}));
    layers.push_back(make(round_plainly(w(33), int8_rows), {}, {}));
    layers.push_back(make(round_plainly(w(16), int8_rows), {.clip = 0.5F}, {}));
    layers.push_back(float_linear(w(50).view()));
    layers.push_back(make(round_plainly(w(12), groups_of(32, scale_type::f32)), {}, {}));
    layers.push_back(make(round_plainly(w(11), groups_of(64, scale_type::f32)), {}, {}));
    layers.push_back(make(round_plainly(w(10), int8_rows), {}, {}, std::move(scale)));
    layers.push_back(float_linear(w(5).view()));
    thread_pool pool(3);
    for (const std::size_t m : {0U, 1U, 9U, 130U}) {
        const matrix<float> x = random_matrix(m, 96, 9);
        std::vector<matrix<float>> y;
        std::vector<linear_call> calls;
        std::size_t bytes = 0;
        for (const linear& layer : layers) {
            y.emplace_back(m, out_features(layer));
            bytes = std::max(bytes, workspace_bytes(layer, m));
        }
        for (std::size_t i = 0; i < layers.size(); ++i) {
            calls.push_back({&layers[i], y[i].view()});
        }
        std::vector<std::byte> workspace(bytes + 1);
        forward_shared(calls, x.view(), std::span(workspace).subspan(1), pool);
        for (std::size_t i = 0; i < layers.size(); ++i) {
            EXPECT_TRUE(same_bits(y[i], run(layers[i], x))) << "linear " << i << ", " << m << " rows";
        }
    }
}

TEST(Forward, ReadsAndWritesStridedRows) {
    const linear layer = make(round_plainly(random_matrix(20, 48, 1), int8_rows), {}, {});
    const matrix<float> wide = random_matrix(4, 100, 2);
    const matrix<float> x = matrix<float>::copy_of(wide.view().block(0, 10, 4, 48));
    matrix<float> y(4, 30);
    std::vector<std::byte> workspace(workspace_bytes(layer, 4));
    forward(layer, wide.view().block(0, 10, 4, 48), y.view().block(0, 5, 4, 20), workspace);
    EXPECT_TRUE(
        same_bits(matrix<float>::copy_of(matrix_view<const float>(y.view()).block(0, 5, 4, 20)), run(layer, x)));
    EXPECT_EQ(y(0, 4), 0.0F);
    EXPECT_EQ(y(3, 25), 0.0F);
}

TEST(Tiling, CoversAllWorkAndFeedsAllThreads) {
    for (const std::size_t threads : {1U, 2U, 16U}) {
        for (const std::size_t panels : {1U, 12U, 36U, 688U}) {
            for (const std::size_t m : {1U, 16U, 512U}) {
                const quant::detail::tiling cut(panels, m, 4096, 4, threads);
                EXPECT_GE(cut.rows * cut.row_tiles(m), m);
                EXPECT_GE(cut.panels * cut.panel_tiles(panels), panels);
                if (m * panels >= 512 * 36) {
                    EXPECT_GE(cut.row_tiles(m) * cut.panel_tiles(panels), 3 * threads);
                }
            }
        }
    }
}

}  // namespace
