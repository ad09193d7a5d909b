// SPDX-License-Identifier: MIT
#include "quell/quant/round_activations.hpp"

#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace {

using namespace quell;
using namespace quell::quant;

matrix<float> sample_rows(std::size_t rows, std::size_t cols) {
    matrix<float> x(rows, cols);
    rng random(7);
    for (float& v : x.elements()) {
        v = static_cast<float>(random.normal());
    }
    x(0, 1) = 30.0F;
    return x;
}

/// nearbyint(v / scale) * scale within the codes, in double; scale of 0: that of the row.
double expected_value(const matrix<float>& x, std::size_t r, std::size_t c, const activation_scheme& form,
                      double scale) {
    double largest = 0.0;
    double low_end = 0.0;
    double high_end = 0.0;
    for (const float v : x.view().row(r)) {
        largest = std::max(largest, std::fabs(double{v}));
        low_end = std::min(low_end, double{v});
        high_end = std::max(high_end, double{v});
    }
    if (form.zero_point) {
        const double lowest = form.bits == 8 ? -127.0 : 0.0;
        const double step = double{form.clip} * (high_end - low_end) / (127.0 - lowest);
        const double zero = std::clamp(std::nearbyint(lowest - double{form.clip} * low_end / step), lowest, 127.0);
        return (std::clamp(std::nearbyint(double{x(r, c)} / step) + zero, lowest, 127.0) - zero) * step;
    }
    const double top = form.bits == 8 ? 127.0 : 7.0;
    const double step = scale > 0.0 ? scale : double{form.clip} * largest / top;
    const double low = form.bits == 8 ? -127.0 : -8.0;
    return std::clamp(std::nearbyint(double{x(r, c)} / step), low, top) * step;
}

void expect_rounded(const activation_scheme& form, double scale = 0.0) {
    const matrix<float> x = sample_rows(37, 45);
    matrix<float> rounded = matrix<float>::copy_of(x.view());
    round_activations(rounded.view(), form);
    for (std::size_t r = 0; r < x.rows(); ++r) {
        for (std::size_t c = 0; c < x.cols(); ++c) {
            EXPECT_NEAR(rounded(r, c), expected_value(x, r, c, form, scale), 1e-5) << r << ' ' << c;
        }
    }
}

TEST(RoundActivations, GivesTheValuesOfTheCodes) {
    expect_rounded({.bits = 8});
    expect_rounded({.bits = 4});
    expect_rounded({.bits = 4, .clip = 0.7F});
    expect_rounded({.bits = 8, .zero_point = true});
    expect_rounded({.bits = 8, .clip = 0.8F, .zero_point = true});
    expect_rounded({.bits = 7, .clip = 0.9F, .zero_point = true});
    expect_rounded({.bits = 8, .reach = granularity::tensor, .static_scale = 0.03F}, double{0.03F});
    expect_rounded({.bits = 8, .reach = granularity::tensor, .at_run_time = true}, 30.0 / 127.0);
}

TEST(RoundActivations, LeavesMoreBitsAndNoColumnsAlone) {
    const matrix<float> x = sample_rows(5, 8);
    for (const int bits : {16, 32}) {
        matrix<float> same = matrix<float>::copy_of(x.view());
        round_activations(same.view(), {.bits = bits});
        EXPECT_TRUE(std::equal(same.elements().begin(), same.elements().end(), x.elements().begin()));
    }
    matrix<float> rows = sample_rows(5, 8);
    round_activations(rows.view().block(0, 8, 5, 0), {.bits = 4});
}

TEST(RoundActivations, OfAPartAndByManyThreadsAreTheSame) {
    matrix<float> whole = sample_rows(50, 40);
    matrix<float> part = matrix<float>::copy_of(std::as_const(whole).view().block(0, 8, 50, 32));
    thread_pool pool(3);
    round_activations(whole.view().block(0, 8, 50, 32), {.bits = 4}, executor(pool));
    round_activations(part.view(), {.bits = 4});
    const matrix<float> before = sample_rows(50, 40);
    for (std::size_t r = 0; r < 50; ++r) {
        EXPECT_TRUE(std::equal(part.row(r).begin(), part.row(r).end(), whole.row(r).begin() + 8));
        EXPECT_TRUE(std::equal(whole.row(r).begin(), whole.row(r).begin() + 8, before.view().row(r).begin()));
    }
}

}  // namespace
