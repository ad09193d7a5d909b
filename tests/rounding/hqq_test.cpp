// SPDX-License-Identifier: MIT
#include "quell/rounding/hqq.hpp"

#include "quell/core/thread_pool.hpp"
#include "reference/hqq.hpp"
#include "rounding/samples.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace {

using quell::granularity;
using quell::matrix;
using quell::quantized;
using quell::scheme;
using quell::zero_type;
using quell::rounding::hqq;

/// Every form that HQQ takes, at one granularity.
std::vector<scheme> real_forms(granularity reach, std::size_t group) {
    std::vector<scheme> all;
    for (const int bits : {2, 3, 4, 5, 8}) {
        for (const quell::scale_type scales :
             {quell::scale_type::f32, quell::scale_type::f16, quell::scale_type::bf16, quell::scale_type::codes8}) {
            all.push_back({.bits = bits,
                           .codes = quell::code_set::zero_point,
                           .reach = reach,
                           .group = group,
                           .scales = scales,
                           .zeros = zero_type::real});
        }
    }
    return all;
}

quantized hqq_codes(const hqq& solver, const matrix<float>& w, const scheme& form,
                    const quell::executor& threads = {}) {
    auto q = solver.solve(w.view(), form, {}, threads);
    EXPECT_TRUE(q.has_value()) << name(form) << (q ? "" : q.error().message);
    return *std::move(q);
}

reference::code_limits hqq_limits(const scheme& form) {
    const quell::code_range codes = codes_of(form);
    return {codes.low, codes.high};
}

/// The weights of group g of row r in steps of the scale that it got.
std::vector<double> steps_of_group(const matrix<float>& w, const quantized& q, std::size_t r, std::size_t g) {
    const std::size_t length = group_length(q.form, w.cols());
    std::vector<double> steps;
    for (std::size_t c = g * length; c < std::min(w.cols(), (g + 1) * length); ++c) {
        steps.push_back(double{w(r, c)} / double{q.scales(r, g)});
    }
    return steps;
}

template <typename F>
void for_each_group(const quantized& q, const F& f) {
    for (std::size_t r = 0; r < q.scales.rows(); ++r) {
        for (std::size_t g = 0; g < q.scales.cols(); ++g) {
            f(r, g);
        }
    }
}

TEST(Hqq, FindsZerosAsGoodAsTheReference) {
    const matrix<float> w = sample(24, 200);
    for (const int bits : {2, 3, 4, 8}) {
        const scheme form = {.bits = bits,
                             .codes = quell::code_set::zero_point,
                             .reach = granularity::group,
                             .group = 64,
                             .zeros = zero_type::real};
        const quantized q = hqq_codes({}, w, form);
        double ours = 0.0;
        double theirs = 0.0;
        for_each_group(q, [&](std::size_t r, std::size_t g) {
            const std::vector<double> steps = steps_of_group(w, q, r, g);
            const double lowest = *std::min_element(steps.begin(), steps.end());
            const double found = reference::hqq_zero(steps, hqq_limits(form).low - lowest, hqq_limits(form));
            ours += reference::hqq_cost(steps, double{q.zeros(r, g)}, hqq_limits(form));
            theirs += reference::hqq_cost(steps, found, hqq_limits(form));
        });
        EXPECT_NEAR(ours, theirs, 2e-3 * theirs) << bits << " bits";
    }
}

TEST(Hqq, LosesNoMoreThanMinMaxInAnyGroup) {
    const matrix<float> w = sample(24, 200);
    for (const std::size_t group : {32U, 64U, 128U}) {
        for (const scheme& form : real_forms(granularity::group, group)) {
            const quantized fitted = hqq_codes({}, w, form);
            const quantized plain = hqq_codes({.iterations = 0}, w, form);
            double gained = 0.0;
            for_each_group(fitted, [&](std::size_t r, std::size_t g) {
                ASSERT_EQ(fitted.scales(r, g), plain.scales(r, g)) << "HQQ leaves the scale alone";
                const std::vector<double> steps = steps_of_group(w, fitted, r, g);
                const double start = quell::rounding::spanning_zero(
                    form, quell::rounding::real_range(form, w.row(r).subspan(g * group, steps.size())),
                    fitted.scales(r, g));
                const double before = std::min(reference::hqq_cost(steps, start, hqq_limits(form)),
                                               reference::hqq_cost(steps, double{plain.zeros(r, g)}, hqq_limits(form)));
                const double after = reference::hqq_cost(steps, double{fitted.zeros(r, g)}, hqq_limits(form));
                EXPECT_LE(after, before * (1 + 1e-5)) << name(form) << ", row " << r << ", group " << g;
                gained += before - after;
            });
            EXPECT_TRUE(gained > 0.0 || form.bits == 8) << name(form);
        }
    }
}

TEST(Hqq, KeepsWhatLiesOnTheGrid) {
    matrix<float> w(3, 96);
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t c = 0; c < w.cols(); ++c) {
            w(r, c) = 0.0625F * (static_cast<float>((7 * c + r) % 16) - 5.0F);
        }
    }
    for (const quell::scale_type scales : {quell::scale_type::f32, quell::scale_type::f16, quell::scale_type::codes8}) {
        const scheme form = {.bits = 4,
                             .codes = quell::code_set::zero_point,
                             .reach = granularity::group,
                             .group = 32,
                             .scales = scales,
                             .zeros = zero_type::real};
        const matrix<float> rounded = dequantize(hqq_codes({}, w, form));
        EXPECT_TRUE(std::equal(w.elements().begin(), w.elements().end(), rounded.elements().begin())) << name(form);
    }
}

TEST(Hqq, FollowsAShiftOfAGroup) {
    const scheme form = {.bits = 3, .codes = quell::code_set::zero_point, .zeros = zero_type::real};
    const matrix<float> w = sample(8, 64);
    const quantized q = hqq_codes({}, w, form);
    matrix<float> shifted(8, 64);
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t c = 0; c < w.cols(); ++c) {
            shifted(r, c) = w(r, c) + 8.0F * q.scales(r, 0);  // whole steps: the nearest integer zero moves along
        }
    }
    const quantized moved = hqq_codes({}, shifted, form);
    for (std::size_t r = 0; r < w.rows(); ++r) {
        EXPECT_NEAR(moved.scales(r, 0), q.scales(r, 0), 1e-5F * q.scales(r, 0));
        EXPECT_NEAR(moved.zeros(r, 0), q.zeros(r, 0) - 8.0F, 0.01F);
    }
}

TEST(Hqq, TwoLevelScalesAreMultiplesOfTheUnitOfTheRow) {
    const matrix<float> w = sample(24, 200);
    for (const scheme& form : real_forms(granularity::group, 32)) {
        if (form.scales != quell::scale_type::codes8) {
            continue;
        }
        const quantized q = hqq_codes({}, w, form);
        for (std::size_t r = 0; r < q.scales.rows(); ++r) {
            const float unit = quell::scale_unit(*std::max_element(q.scales.row(r).begin(), q.scales.row(r).end()));
            for (std::size_t g = 0; g < q.scales.cols(); ++g) {
                EXPECT_EQ(q.scales(r, g), quell::scale_in_units(q.scales(r, g), unit));
                const quell::zero_steps steps = quell::zero_steps_of(form.bits);
                EXPECT_EQ(q.zeros(r, g), steps.value(steps.nearest(q.zeros(r, g))));
            }
        }
    }
}

TEST(Hqq, TakesRowsOfZerosAndOfOneValue) {
    for (const scheme& form : real_forms(granularity::group, 32)) {
        matrix<float> w(2, 64);
        std::fill(w.row(1).begin(), w.row(1).begin() + 32, 0.75F);
        const matrix<float> rounded = dequantize(hqq_codes({}, w, form));
        for (std::size_t c = 0; c < 64; ++c) {
            EXPECT_EQ(rounded(0, c), 0.0F) << name(form);
            EXPECT_NEAR(rounded(1, c), w(1, c), 0.01F) << name(form);
        }
        EXPECT_EQ(hqq_codes({}, matrix<float>(0, 64), form).codes.rows(), 0U);
        EXPECT_EQ(hqq_codes({}, matrix<float>(3, 0), form).codes.cols(), 0U);
    }
}

TEST(Hqq, DoesNotDependOnThreads) {
    quell::thread_pool pool(3);
    const matrix<float> w = sample(37, 200);
    for (const scheme& form : real_forms(granularity::group, 64)) {
        EXPECT_TRUE(same(hqq_codes({}, w, form), hqq_codes({}, w, form, quell::executor(pool))));
    }
}

TEST(Hqq, RefusesOtherForms) {
    const matrix<float> w = sample(2, 64);
    const auto code = [&](const scheme& form) { return hqq{}.solve(w.view(), form).error().code; };
    constexpr auto zero_point = quell::code_set::zero_point;
    EXPECT_EQ(code({.bits = 4}), quell::errc::unsupported);
    EXPECT_EQ(code({.bits = 4, .codes = zero_point, .zeros = zero_type::integer}), quell::errc::unsupported);
    EXPECT_EQ(code({.bits = 9, .codes = zero_point, .zeros = zero_type::real}), quell::errc::unsupported);
    EXPECT_EQ(code({.bits = 4, .codes = zero_point, .reach = granularity::group, .zeros = zero_type::real}),
              quell::errc::bad_shape);
    matrix<float> bad = sample(2, 64);
    bad(1, 3) = INFINITY;
    const auto refused = hqq{}.solve(bad.view(), {.bits = 4, .codes = zero_point, .zeros = zero_type::real});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "row 1, column 3 is infinity, not a finite number");
}

TEST(Hqq, HasTheSameCodesOnEveryCompiler) {
    const matrix<float> w = sample(6, 300, 11);
    code_hash hash;
    for (const scheme& form : real_forms(granularity::group, 32)) {
        hash.add(hqq_codes({}, w, form));
    }
    EXPECT_EQ(hash.value, 11272915197080401932U);
}

}  // namespace
