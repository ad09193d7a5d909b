// SPDX-License-Identifier: MIT
#include "gradient_check.hpp"
#include "quell/core/thread_pool.hpp"
#include "toy/network.hpp"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <vector>

namespace {

using quell::matrix;
using toy_test::expect_gradient;
using toy_test::fill;
using toy_test::weighted_sum;

const quell::executor no_threads;

matrix<double> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    matrix<double> m(rows, cols);
    fill(m.elements(), seed);
    return m;
}

TEST(Linear, HasTheGradientOfItsInputAndItsWeight) {
    quell::rng random(1);
    toy::linear<double> layer("l", 5, 19, 1.0, random);
    matrix<double> x = random_matrix(7, 19, 2);
    const matrix<double> dy = random_matrix(7, 5, 3);
    matrix<double> y(7, 5);
    matrix<double> dx(7, 19);
    const auto loss = [&] {
        layer.forward(x.view(), y.view(), no_threads);
        return weighted_sum(y.elements(), dy.elements());
    };
    loss();
    layer.backward(dy.view(), dx.view(), no_threads);
    expect_gradient(x.elements(), dx.elements(), loss, "x");
    layer.for_each_parameter(
        [&](toy::parameter<double>& p) { expect_gradient(p.value.elements(), p.gradient.elements(), loss, p.name); });
}

TEST(Linear, InFloatAgreesWithDouble) {
    quell::rng random(1);
    quell::rng again(1);
    toy::linear<double> exact("l", 37, 50, 0.2, random);
    toy::linear<float> layer("l", 37, 50, 0.2, again);
    const matrix<double> x = random_matrix(101, 50, 2);
    const matrix<double> dy = random_matrix(101, 37, 3);
    matrix<float> xf(101, 50);
    matrix<float> dyf(101, 37);
    std::transform(x.elements().begin(), x.elements().end(), xf.elements().begin(),
                   [](double v) { return static_cast<float>(v); });
    std::transform(dy.elements().begin(), dy.elements().end(), dyf.elements().begin(),
                   [](double v) { return static_cast<float>(v); });
    matrix<double> y(101, 37);
    matrix<double> dx(101, 50);
    matrix<float> yf(101, 37);
    matrix<float> dxf(101, 50);
    exact.forward(x.view(), y.view(), no_threads);
    exact.backward(dy.view(), dx.view(), no_threads);
    layer.forward(xf.view(), yf.view(), no_threads);
    layer.backward(dyf.view(), dxf.view(), no_threads);
    for (std::size_t i = 0; i < y.elements().size(); ++i) {
        EXPECT_NEAR(y.elements()[i], yf.elements()[i], 1e-5);
    }
    for (std::size_t i = 0; i < dx.elements().size(); ++i) {
        EXPECT_NEAR(dx.elements()[i], dxf.elements()[i], 1e-5);
    }
}

TEST(RmsNorm, HasTheGradientOfItsInputAndItsGain) {
    toy::rms_norm<double> norm("n", 6, 1e-5);
    norm.for_each_parameter([](toy::parameter<double>& p) { fill(p.value.elements(), 4); });
    matrix<double> x = random_matrix(70, 6, 5);
    const matrix<double> dy = random_matrix(70, 6, 6);
    matrix<double> y(70, 6);
    matrix<double> dx(70, 6);
    const auto loss = [&] {
        norm.forward(x.view(), y.view(), no_threads);
        return weighted_sum(y.elements(), dy.elements());
    };
    loss();
    norm.backward(dy.view(), dx.view(), no_threads);
    expect_gradient(x.elements(), dx.elements(), loss, "x");
    norm.for_each_parameter(
        [&](toy::parameter<double>& p) { expect_gradient(p.value.elements(), p.gradient.elements(), loss, "gain"); });
}

void expect_gradient_of(const toy::rope<double>& positions) {
    matrix<double> x = random_matrix(10, 8, 7);
    const matrix<double> dy = random_matrix(10, 8, 8);
    const auto loss = [&] {
        matrix<double> y = matrix<double>::copy_of(x.view());
        positions.forward(y.view(), 5, no_threads);
        return weighted_sum(y.elements(), dy.elements());
    };
    matrix<double> dx = matrix<double>::copy_of(dy.view());
    positions.backward(dx.view(), 5, no_threads);
    expect_gradient(x.elements(), dx.elements(), loss, "x");
}

TEST(Rope, HasTheGradientOfItsInput) {
    expect_gradient_of(toy::rope<double>(4, 5, 100.0));
}

TEST(Rope, HasTheGradientOfItsInputInInterleavedOrderWithDivisors) {
    const std::array<float, 2> divisors{1.0F, 3.0F};
    expect_gradient_of(toy::rope<double>(4, 5, 100.0, transformer::rope_order::interleaved, divisors));
    matrix<double> turned(3, 4);
    turned(2, 2) = 1.0;
    toy::rope<double>(4, 3, 100.0, transformer::rope_order::interleaved, divisors)
        .forward(turned.view(), 3, no_threads);
    EXPECT_NEAR(turned(2, 3), std::sin(2.0 * 0.1 / 3.0), 1e-12);
}

TEST(Rope, TurnsTheHalvesOfAHeadByThePosition) {
    const toy::rope<double> positions(4, 3, 100.0);
    matrix<double> x(3, 4);
    x(2, 0) = 1.0;
    x(2, 3) = 1.0;
    positions.forward(x.view(), 3, no_threads);
    EXPECT_NEAR(x(2, 0), std::cos(2.0), 1e-12);
    EXPECT_NEAR(x(2, 2), std::sin(2.0), 1e-12);
    EXPECT_NEAR(x(2, 1), -std::sin(0.2), 1e-12);
    EXPECT_NEAR(x(2, 3), std::cos(0.2), 1e-12);
}

struct attention_case {
    static constexpr toy::batch_shape batch{.sequences = 2, .length = 67};  // more than one block of rows
    toy::attention<double> layer{4, 2, 3};
    matrix<double> q = random_matrix(batch.tokens(), 12, 9);
    matrix<double> k = random_matrix(batch.tokens(), 6, 10);
    matrix<double> v = random_matrix(batch.tokens(), 6, 11);
    matrix<double> out{batch.tokens(), 12};

    void forward() { layer.forward(q.view(), k.view(), v.view(), out.view(), batch, no_threads); }
};

TEST(Attention, EqualsTheFormula) {
    attention_case a;
    a.forward();
    const std::size_t first = a.batch.length;
    for (const std::size_t t : {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{66}}) {
        for (std::size_t head = 0; head < 4; ++head) {
            std::array<double, 3> expected{};
            double sum = 0.0;
            for (std::size_t s = 0; s <= t; ++s) {
                double score = 0.0;
                for (std::size_t c = 0; c < 3; ++c) {
                    score += a.q(first + t, head * 3 + c) * a.k(first + s, head / 2 * 3 + c);
                }
                const double weight = std::exp(score / std::sqrt(3.0));
                sum += weight;
                for (std::size_t c = 0; c < 3; ++c) {
                    expected[c] += weight * a.v(first + s, head / 2 * 3 + c);
                }
            }
            for (std::size_t c = 0; c < 3; ++c) {
                EXPECT_NEAR(a.out(first + t, head * 3 + c), expected[c] / sum, 1e-12);
            }
        }
    }
}

TEST(Attention, HasTheGradientsOfQueriesKeysAndValues) {
    attention_case a;
    const matrix<double> dout = random_matrix(a.batch.tokens(), 12, 12);
    matrix<double> dq(a.batch.tokens(), 12);
    matrix<double> dk(a.batch.tokens(), 6);
    matrix<double> dv(a.batch.tokens(), 6);
    const auto loss = [&] {
        a.forward();
        return weighted_sum(a.out.elements(), dout.elements());
    };
    loss();
    a.layer.backward(dout.view(), dq.view(), dk.view(), dv.view(), no_threads);
    expect_gradient(a.q.elements(), dq.elements(), loss, "q", 11);
    expect_gradient(a.k.elements(), dk.elements(), loss, "k", 11);
    expect_gradient(a.v.elements(), dv.elements(), loss, "v", 11);
}

TEST(FeedForward, SwigluHasTheGradientsOfGateAndUp) {
    matrix<double> gate = random_matrix(3, 5, 13);
    matrix<double> up = random_matrix(3, 5, 14);
    const matrix<double> dout = random_matrix(3, 5, 15);
    const auto loss = [&] {
        matrix<double> out(3, 5);
        toy::swiglu<double>(gate.view(), up.view(), out.view(), no_threads);
        return weighted_sum(out.elements(), dout.elements());
    };
    matrix<double> dgate = matrix<double>::copy_of(gate.view());
    matrix<double> dup = matrix<double>::copy_of(up.view());
    toy::swiglu_backward<double>(dout.view(), dgate.view(), dup.view(), no_threads);
    expect_gradient(gate.elements(), dgate.elements(), loss, "gate");
    expect_gradient(up.elements(), dup.elements(), loss, "up");
}

TEST(FeedForward, GeluHasTheGradientOfUp) {
    matrix<double> up = random_matrix(3, 5, 16);
    const matrix<double> dout = random_matrix(3, 5, 17);
    const auto loss = [&] {
        matrix<double> out(3, 5);
        toy::gelu<double>(up.view(), out.view(), no_threads);
        return weighted_sum(out.elements(), dout.elements());
    };
    matrix<double> dup = matrix<double>::copy_of(up.view());
    toy::gelu_backward<double>(dout.view(), dup.view(), no_threads);
    expect_gradient(up.elements(), dup.elements(), loss, "up");
}

TEST(CrossEntropy, HasTheGradientOfTheLogits) {
    matrix<double> logits = random_matrix(4, 9, 18);
    const std::array<std::uint8_t, 4> targets{0, 8, 3, 3};
    const auto loss = [&] {
        matrix<double> copy = matrix<double>::copy_of(logits.view());
        return toy::cross_entropy(copy.view(), targets, no_threads);
    };
    matrix<double> gradient = matrix<double>::copy_of(logits.view());
    EXPECT_GT(toy::cross_entropy(gradient.view(), targets, no_threads), 0.0);
    expect_gradient(logits.elements(), gradient.elements(), loss, "logits");
}

TEST(Divergence, FromATeacherHasTheGradientOfTheLogits) {
    matrix<double> logits = random_matrix(4, 9, 18);
    const matrix<double> teacher = random_matrix(4, 9, 28);
    const auto loss = [&] {
        matrix<double> copy = matrix<double>::copy_of(logits.view());
        return toy::summed_divergence<double>(copy.view(), teacher.view(), 1.0, no_threads) / 4.0;
    };
    matrix<double> gradient = matrix<double>::copy_of(logits.view());
    EXPECT_GT(toy::summed_divergence<double>(gradient.view(), teacher.view(), 0.25, no_threads), 0.0);
    expect_gradient(logits.elements(), gradient.elements(), loss, "logits");
    matrix<double> same = matrix<double>::copy_of(teacher.view());
    EXPECT_NEAR(toy::summed_divergence<double>(same.view(), teacher.view(), 1.0, no_threads), 0.0, 1e-14);
}

TEST(TiedEmbedding, AddsTheGradientsOfBothItsUses) {
    quell::rng random(19);
    toy::tied_embedding<double> table("e", 7, 4, 1.0, random);
    const std::array<std::uint8_t, 3> ids{2, 6, 2};
    const matrix<double> dlogits = random_matrix(3, 7, 20);
    matrix<double> x(3, 4);
    matrix<double> logits(3, 7);
    const auto loss = [&] {
        table.forward(ids, x.view());
        table.head(x.view(), logits.view(), no_threads);
        return weighted_sum(logits.elements(), dlogits.elements());
    };
    loss();
    matrix<double> dx(3, 4);
    table.head_backward(dlogits.view(), dx.view(), no_threads);
    table.backward(ids, dx.view(), no_threads);
    table.for_each_parameter(
        [&](toy::parameter<double>& p) { expect_gradient(p.value.elements(), p.gradient.elements(), loss, "table"); });
}

}  // namespace
