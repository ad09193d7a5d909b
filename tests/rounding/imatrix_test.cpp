// SPDX-License-Identifier: MIT
#include "quell/rounding/imatrix.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/rounding/hqq.hpp"
#include "reference/weighted_fit.hpp"
#include "rounding/samples.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace {

using quell::code_set;
using quell::granularity;
using quell::matrix;
using quell::quantized;
using quell::scale_type;
using quell::scheme;
using quell::zero_type;
using quell::rounding::imatrix;

constexpr scheme real_form(int bits, std::size_t group, scale_type scales = scale_type::f32) {
    return {.bits = bits,
            .codes = code_set::zero_point,
            .reach = granularity::group,
            .group = group,
            .scales = scales,
            .zeros = zero_type::real};
}

/// A few inputs matter much more than the others.
std::vector<float> uneven_importance(std::size_t n) {
    std::vector<float> importance(n);
    for (std::size_t j = 0; j < n; ++j) {
        importance[j] = j % 11 == 3 ? 40.0F : 0.25F + static_cast<float>(j % 7);
    }
    return importance;
}

quantized imatrix_codes(const matrix<float>& w, const scheme& form, const std::vector<float>& importance,
                        const quell::executor& threads = {}) {
    auto q = imatrix{}.solve(w.view(), form, {.importance = importance}, threads);
    EXPECT_TRUE(q.has_value()) << name(form) << (q ? "" : q.error().message);
    return *std::move(q);
}

/// The weights of one row by the formula, and the squared error of group g with them.
struct weighed_group {
    std::vector<double> values;
    std::vector<double> weights;

    weighed_group(const matrix<float>& w, const std::vector<float>& importance, std::size_t r, std::size_t g,
                  std::size_t length) {
        double mean = 0.0;
        for (const float v : w.row(r)) {
            mean += double{v} * double{v} / static_cast<double>(w.cols());
        }
        for (std::size_t c = g * length; c < std::min(w.cols(), (g + 1) * length); ++c) {
            values.push_back(w(r, c));
            weights.push_back(importance[c] * std::sqrt(mean + values.back() * values.back()));
        }
    }
    [[nodiscard]] double error_of(const quantized& q, std::size_t r, std::size_t g) const {
        double sum = 0.0;
        for (std::size_t i = 0; i < values.size(); ++i) {
            sum += weights[i] * std::pow(values[i] - double{value_of(q, r, g * q.form.group + i)}, 2);
        }
        return sum;
    }
};

double weighted_error_of(const matrix<float>& w, const std::vector<float>& importance, const quantized& q) {
    double sum = 0.0;
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t g = 0; g < q.scales.cols(); ++g) {
            sum += weighed_group(w, importance, r, g, q.form.group).error_of(q, r, g);
        }
    }
    return sum;
}

TEST(Imatrix, LosesLittleMoreThanTheBestOfAFineGrid) {
    const matrix<float> w = sample(12, 96);
    const std::vector<float> importance = uneven_importance(96);
    for (const int bits : {2, 3, 4}) {
        const quantized q = imatrix_codes(w, real_form(bits, 32), importance);
        double ours = 0.0;
        double best = 0.0;
        for (std::size_t r = 0; r < w.rows(); ++r) {
            for (std::size_t g = 0; g < 3; ++g) {
                const weighed_group group(w, importance, r, g, 32);
                const double least = reference::least_weighted_error(group.values, group.weights, 0, (1 << bits) - 1);
                ours += group.error_of(q, r, g);
                best += least;
                EXPECT_LT(group.error_of(q, r, g), 2.0 * least) << bits << " bits, row " << r << ", group " << g;
            }
        }
        EXPECT_LT(ours, 1.2 * best) << bits << " bits";
    }
}

TEST(Imatrix, LosesLessThanHqqAndLessWhenItKnowsTheInputs) {
    const matrix<float> w = sample(24, 200);
    const std::vector<float> importance = uneven_importance(200);
    const std::vector<float> even(200, 1.0F);
    for (const scale_type scales : {scale_type::f32, scale_type::f16, scale_type::codes8}) {
        for (const int bits : {2, 3, 4, 8}) {
            const scheme form = real_form(bits, 64, scales);
            const auto hqq = quell::rounding::hqq{}.solve(w.view(), form);
            ASSERT_TRUE(hqq);
            const double known = weighted_error_of(w, importance, imatrix_codes(w, form, importance));
            EXPECT_LT(known, weighted_error_of(w, importance, *hqq)) << name(form);
            EXPECT_LT(known, weighted_error_of(w, importance, imatrix_codes(w, form, even))) << name(form);
        }
    }
}

/// Of the weighted error, given the codes: what least squares is.
TEST(Imatrix, TheZeroIsTheBestForItsCodes) {
    const matrix<float> w = sample(12, 96);
    const std::vector<float> importance = uneven_importance(96);
    const quantized q = imatrix_codes(w, real_form(4, 32), importance);
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t g = 0; g < 3; ++g) {
            const weighed_group group(w, importance, r, g, 32);
            quantized moved = imatrix_codes(w, real_form(4, 32), importance);
            for (const float by : {-0.05F, 0.05F}) {
                moved.zeros(r, g) = q.zeros(r, g) + by;
                EXPECT_LE(group.error_of(q, r, g), group.error_of(moved, r, g) * 1.001);
            }
        }
    }
}

TEST(Imatrix, KeepsWhatLiesOnTheGrid) {
    matrix<float> w(2, 64);
    for (std::size_t r = 0; r < 2; ++r) {
        for (std::size_t c = 0; c < 64; ++c) {
            w(r, c) = 0.125F * (static_cast<float>((5 * c + r) % 8) - 3.0F);
        }
    }
    for (const scale_type scales : {scale_type::f32, scale_type::f16, scale_type::codes8}) {
        const matrix<float> rounded =
            dequantize(imatrix_codes(w, real_form(3, 32, scales), std::vector<float>(64, 1.0F)));
        for (std::size_t i = 0; i < 128; ++i) {
            EXPECT_NEAR(rounded.elements()[i], w.elements()[i], 2e-3F) << name(real_form(3, 32, scales));
        }
    }
}

TEST(Imatrix, TakesRowsOfZerosAndInputsThatAreNeverActive) {
    matrix<float> w = sample(3, 64);
    std::fill(w.row(1).begin(), w.row(1).end(), 0.0F);
    const std::vector<float> dead(64, 0.0F);
    for (const scale_type scales : {scale_type::f32, scale_type::f16, scale_type::codes8}) {
        const quantized q = imatrix_codes(w, real_form(4, 32, scales), dead);
        for (std::size_t c = 0; c < 64; ++c) {
            EXPECT_EQ(value_of(q, 1, c), 0.0F);
            EXPECT_NEAR(value_of(q, 0, c), w(0, c), 0.02F);
        }
    }
    EXPECT_EQ(imatrix_codes(matrix<float>(3, 0), real_form(4, 32), {}).codes.rows(), 3U);
}

TEST(Imatrix, DoesNotDependOnThreads) {
    quell::thread_pool pool(3);
    const matrix<float> w = sample(37, 200);
    const std::vector<float> importance = uneven_importance(200);
    const scheme form = real_form(3, 64, scale_type::codes8);
    EXPECT_TRUE(same(imatrix_codes(w, form, importance), imatrix_codes(w, form, importance, quell::executor(pool))));
}

TEST(Imatrix, NamesWhatIsWrong) {
    const matrix<float> w = sample(4, 64);
    const std::vector<float> importance(64, 1.0F);
    const std::vector<float> negative(64, -1.0F);
    const auto code = [&](const scheme& form, const std::vector<float>& given) {
        return imatrix{}.solve(w.view(), form, {.importance = given}).error().code;
    };
    EXPECT_EQ(code(real_form(4, 32), {}), quell::errc::not_found);
    EXPECT_EQ(code(real_form(4, 32), std::vector<float>(63, 1.0F)), quell::errc::bad_shape);
    EXPECT_EQ(code(real_form(4, 32), negative), quell::errc::bad_value);
    EXPECT_EQ(code({.bits = 4}, importance), quell::errc::unsupported);
}

TEST(Imatrix, HasTheSameCodesOnEveryCompiler) {
    const matrix<float> w = sample(6, 300, 11);
    const std::vector<float> importance = uneven_importance(300);
    code_hash hash;
    for (const int bits : {2, 3, 4, 8}) {
        for (const scale_type scales : {scale_type::f32, scale_type::f16, scale_type::codes8}) {
            hash.add(imatrix_codes(w, real_form(bits, 32, scales), importance));
        }
    }
    EXPECT_EQ(hash.value, 6212840399828259023U);
}

}  // namespace
