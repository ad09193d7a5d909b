// SPDX-License-Identifier: MIT
#include "quell/rounding/rtn.hpp"

#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"
#include "reference/rtn.hpp"
#include "rounding/samples.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace {

using quell::code_set;
using quell::granularity;
using quell::matrix;
using quell::quantized;
using quell::scale_type;
using quell::scheme;
using quell::zero_type;
namespace rounding = quell::rounding;

constexpr float largest_float = std::numeric_limits<float>::max();
constexpr rounding::rtn absmax{rounding::no_clip_search};

std::vector<float> importance_of(std::size_t cols) {
    std::vector<float> weights(cols);
    quell::rng random(7);
    for (float& weight : weights) {
        weight = static_cast<float>(random.uniform()) * (random.below(10) == 0 ? 1000.0F : 1.0F);
    }
    return weights;
}

quantized solve(const rounding::rtn& solver, const matrix<float>& w, const scheme& form,
                rounding::column_weights importance = {}) {
    auto q = solver.solve(w.view(), form, {.importance = importance});
    EXPECT_TRUE(q.has_value()) << name(form);
    return *std::move(q);
}

/// Calls visit(row, group index, values of the group, first column) for every group.
template <typename Visit>
void for_each_group(const matrix<float>& w, const scheme& form, Visit visit) {
    const std::size_t length = quell::group_length(form, w.cols());
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t g = 0; g < quell::groups_per_row(form, w.cols()); ++g) {
            const std::size_t n = std::min(length, w.cols() - g * length);
            const auto values = w.row(r).subspan(g * length, n);
            visit(r, g, std::vector<float>(values.begin(), values.end()), g * length);
        }
    }
}

reference::group_codes group_of(const quantized& q, std::size_t row, std::size_t g, std::size_t begin, std::size_t n) {
    reference::group_codes group{q.scales(row, g), 0, {}};
    if (q.form.zeros != zero_type::none) {
        group.zero = static_cast<int>(q.zeros(row, g));
    }
    for (std::size_t c = begin; c < begin + n; ++c) {
        group.codes.push_back(q.codes(row, c));
    }
    return group;
}

TEST(Rtn, MatchesTheOracleWithoutASearch) {
    const matrix<float> w = sample(6, 150);
    for (const scheme& form : all_forms()) {
        const quantized q = solve(absmax, w, form);
        for_each_group(w, form, [&](std::size_t r, std::size_t g, const std::vector<float>& values, std::size_t begin) {
            const reference::group_codes expected = reference::round_group(values, form, 1.0);
            const reference::group_codes actual = group_of(q, r, g, begin, values.size());
            EXPECT_EQ(actual.scale, expected.scale) << name(form);
            EXPECT_EQ(actual.zero, expected.zero) << name(form);
            EXPECT_EQ(actual.codes, expected.codes) << name(form);
        });
    }
}

void expect_best_clip(const rounding::rtn& solver, const matrix<float>& w, const scheme& form,
                      const std::vector<float>& importance, double power) {
    const quantized q = solve(solver, w, form, importance);
    for_each_group(w, form, [&](std::size_t r, std::size_t g, const std::vector<float>& values, std::size_t begin) {
        reference::price price{power, {}};
        if (!importance.empty()) {
            price.weights.assign(importance.begin() + static_cast<std::ptrdiff_t>(begin),
                                 importance.begin() + static_cast<std::ptrdiff_t>(begin + values.size()));
        }
        const double best = reference::cost_of(values, reference::find_clip(values, form, price, 100, 80), price);
        const double widest = reference::cost_of(values, reference::round_group(values, form, 1.0), price);
        const double chosen = reference::cost_of(values, group_of(q, r, g, begin, values.size()), price);
        const double rounding = 1e-12 * reference::cost_of(values, {1.0F, 0, std::vector<int>(values.size())}, price);
        EXPECT_LE(chosen, best * (1.0 + 3e-4) + rounding) << name(form);
        EXPECT_LE(chosen, widest * (1.0 + 3e-4) + rounding) << name(form);
    });
}

TEST(Rtn, FindsTheBestClipOfTheOracle) {
    const matrix<float> w = sample(4, 150, 3);
    for (const granularity reach : {granularity::channel, granularity::group}) {
        for (const scheme& form : forms(reach, reach == granularity::group ? 50 : 0)) {
            expect_best_clip({}, w, form, {}, 2.4);
        }
    }
}

TEST(Rtn, FindsTheBestClipInSquares) {
    const matrix<float> w = sample(4, 96, 4);
    for (const scheme& form : forms(granularity::group, 32)) {
        expect_best_clip({{.norm = rounding::error_norm::squares}}, w, form, {}, 2.0);
    }
}

TEST(Rtn, MindsTheImportanceOfColumns) {
    const matrix<float> w = sample(4, 150, 5);
    for (const scheme& form : forms(granularity::group, 64)) {
        expect_best_clip({}, w, form, importance_of(150), 2.0);
    }
}

TEST(Rtn, TakesTheFullRangeWhereOnlyItsEndMatters) {
    const matrix<float> w = sample(3, 64);
    std::vector<float> importance(64, 0.0F);
    const auto largest = std::max_element(w.row(1).begin(), w.row(1).end(),
                                          [](float a, float b) { return std::fabs(a) < std::fabs(b); });
    importance[static_cast<std::size_t>(largest - w.row(1).begin())] = 1.0F;
    EXPECT_EQ(solve({}, w, {.bits = 4}, importance).scales(1, 0), solve(absmax, w, {.bits = 4}).scales(1, 0));
}

TEST(Rtn, CountsAllColumnsAlikeWhereNoneMatters) {
    const matrix<float> w = sample(3, 64);
    EXPECT_TRUE(same(solve({}, w, {.bits = 4}, std::vector<float>(64, 0.0F)),
                     solve({{.norm = rounding::error_norm::squares}}, w, {.bits = 4})));
}

TEST(Rtn, DoesNotDependOnTheUnitOfImportance) {
    const matrix<float> w = sample(3, 64);
    std::vector<float> importance = importance_of(64);
    const quantized q = solve({}, w, {.bits = 4}, importance);
    for (float& weight : importance) {
        weight *= 0x1p100F;
    }
    EXPECT_TRUE(same(q, solve({}, w, {.bits = 4}, importance)));
}

TEST(Rtn, StaysWithinHalfAStepWhereNothingIsClipped) {
    const matrix<float> w = sample(6, 150);
    for (const scheme& form : all_forms()) {
        const quantized q = solve(absmax, w, form);
        const matrix<float> back = quell::dequantize(q);
        const quell::code_range range = quell::codes_of(form);
        for_each_group(w, form, [&](std::size_t r, std::size_t g, const std::vector<float>& values, std::size_t begin) {
            for (std::size_t i = 0; i < values.size(); ++i) {
                const int code = q.codes(r, begin + i);
                if (code != range.low && code != range.high) {
                    const float slack = 0x1p-21F * std::fabs(values[i]);
                    EXPECT_LE(std::fabs(values[i] - back(r, begin + i)), 0.5F * q.scales(r, g) + slack) << name(form);
                }
            }
        });
    }
}

TEST(Rtn, GivesTheSameCodesForItsOwnValues) {
    const matrix<float> w = sample(6, 150);
    for (const scheme& form : all_forms()) {
        const quantized q = solve(absmax, w, form);
        const quantized again = solve(absmax, quell::dequantize(q), form);
        for_each_group(w, form, [&](std::size_t r, std::size_t g, const std::vector<float>& values, std::size_t begin) {
            // A range whose ends were clipped or rounded away is another range, with another scale.
            if (std::fabs(again.scales(r, g) / q.scales(r, g) - 1.0F) < 0x1p-22F) {
                EXPECT_EQ(group_of(again, r, g, begin, values.size()).codes,
                          group_of(q, r, g, begin, values.size()).codes)
                    << name(form);
            } else {
                EXPECT_NE(form.codes == code_set::symmetric && form.scales == scale_type::f32, true) << name(form);
            }
        });
    }
}

TEST(Rtn, FollowsAPowerOfTwo) {
    const matrix<float> w = sample(6, 150);
    matrix<float> scaled = matrix<float>::copy_of(w.view());
    for (float& v : scaled.elements()) {
        v *= 64.0F;
    }
    for (const scheme& form : all_forms()) {
        if (form.scales != scale_type::f16) {  // whose small scales lose bits
            const quantized q = solve({}, w, form);
            const quantized q_scaled = solve({}, scaled, form);
            EXPECT_TRUE(
                std::equal(q.codes.elements().begin(), q.codes.elements().end(), q_scaled.codes.elements().begin()))
                << name(form);
            EXPECT_EQ(q.scales(5, 0) * 64.0F, q_scaled.scales(5, 0));
        }
    }
}

TEST(Rtn, StoresScalesOfItsType) {
    const matrix<float> w = sample(4, 96);
    for (const scheme& form : forms(granularity::group, 32)) {
        const quantized q = solve({}, w, form);
        for (const float scale : q.scales.elements()) {
            EXPECT_EQ(reference::as_stored(form.scales, static_cast<double>(scale)), scale);
        }
    }
}

TEST(Rtn, KeepsTheFullRangeOnItsOwnGrid) {
    matrix<float> w(1, 64);
    for (std::size_t c = 0; c < 64; ++c) {
        w(0, c) = (static_cast<float>(c % 15) - 7.0F) * 0.125F;
    }
    const quantized q = solve({}, w, {.bits = 4});
    EXPECT_EQ(q.scales(0, 0), 0.125F);
    EXPECT_EQ(q.codes(0, 0), -7);
    EXPECT_EQ(q.codes(0, 14), 7);
}

TEST(Rtn, RoundsHalvesToEven) {
    matrix<float> w(1, 5);
    const std::vector<float> values = {7.0F, 0.5F, 1.5F, 2.5F, -2.5F};
    std::copy(values.begin(), values.end(), w.elements().begin());
    const quantized q = solve(absmax, w, {.bits = 4});
    EXPECT_EQ(std::vector<int>(q.codes.elements().begin(), q.codes.elements().end()),
              (std::vector<int>{7, 0, 2, 2, -2}));
}

TEST(Rtn, AcceptsZeroRowsAndConstantGroups) {
    for (const scheme& form : all_forms()) {
        matrix<float> w(3, 70);
        std::fill(w.row(1).begin(), w.row(1).end(), 0.3F);
        std::fill(w.row(2).begin(), w.row(2).end(), -0.3F);
        for (const rounding::rtn& solver : {absmax, rounding::rtn{}}) {
            const quantized q = solve(solver, w, form);
            const matrix<float> back = quell::dequantize(q);
            for (std::size_t c = 0; c < 70; ++c) {
                EXPECT_EQ(back(0, c), 0.0F) << name(form);
                EXPECT_NEAR(back(1, c), 0.3F, 0.3F * 0x1p-8F) << name(form);
                EXPECT_NEAR(back(2, c), -0.3F, 0.3F * 0x1p-8F) << name(form);
            }
            EXPECT_TRUE(std::isfinite(q.scales(0, 0)) && q.scales(0, 0) > 0.0F);
        }
    }
}

/// Signs alternate and sizes fall from `size` to a quarter of it.
matrix<float> row_of_size(float size) {
    matrix<float> w(1, 40);
    for (std::size_t c = 0; c < 40; ++c) {
        w(0, c) = (c % 2 == 0 ? 1.0F : -1.0F) * size / static_cast<float>(1 + c % 4);
    }
    return w;
}

TEST(Rtn, AcceptsTheEdgesOfFloat) {
    for (const float size : {std::numeric_limits<float>::denorm_min(), 0x1p-140F, 0x1p-126F, 0x1p100F, largest_float}) {
        const matrix<float> w = row_of_size(size);
        for (const scheme& form : all_forms()) {
            for (const rounding::rtn& solver : {absmax, rounding::rtn{}}) {
                const quantized q = solve(solver, w, form);
                const matrix<float> back = quell::dequantize(q);
                const auto finite = [](float v) { return std::isfinite(v); };
                EXPECT_TRUE(std::all_of(back.elements().begin(), back.elements().end(), finite)) << name(form) << size;
                for (const float scale : q.scales.elements()) {
                    EXPECT_TRUE(std::isfinite(scale) && scale > 0.0F) << name(form) << " " << size;
                }
            }
        }
    }
}

TEST(Rtn, IsAsGoodNearTheEdgesOfFloat) {
    for (const float size : {0x1p-118F, 1.0F, 0x1p120F}) {
        for (const scheme& form : forms(granularity::group, 32)) {
            if (form.scales != scale_type::f16) {
                const matrix<float> w = row_of_size(size);
                EXPECT_EQ(solve({}, w, form).codes(0, 1), solve({}, row_of_size(1.0F), form).codes(0, 1));
                EXPECT_EQ(solve({}, w, form).scales(0, 0) / size, solve({}, row_of_size(1.0F), form).scales(0, 0));
            }
        }
    }
}

TEST(Rtn, AcceptsEmptyAndOddShapes) {
    for (const auto& [rows, cols] : {std::pair{0U, 0U}, {0U, 5U}, {5U, 0U}, {1U, 1U}, {9U, 33U}, {17U, 129U}}) {
        for (const scheme& form : {scheme{.bits = 4}, scheme{.bits = 4, .reach = granularity::group, .group = 128}}) {
            const quantized q = solve({}, sample(rows, cols), form);
            EXPECT_EQ(q.out_features(), rows);
            EXPECT_EQ(q.in_features(), cols);
        }
    }
}

TEST(Rtn, DoesNotDependOnTheExecutor) {
    const matrix<float> w = sample(37, 200);
    quell::thread_pool pool(3);
    const scheme form{.bits = 4, .reach = granularity::group, .group = 64, .scales = scale_type::f16};
    const auto parallel = rounding::rtn{}.solve(w.view(), form, {}, pool);
    ASSERT_TRUE(parallel.has_value());
    EXPECT_TRUE(same(solve({}, w, form), *parallel));
}

TEST(Rtn, ReadsRowsThroughAStride) {
    const matrix<float> wide = sample(5, 100);
    const auto part = wide.view().block(0, 20, 5, 60);
    const auto q = rounding::rtn{}.solve(part, {.bits = 4});
    ASSERT_TRUE(q.has_value());
    EXPECT_TRUE(same(*q, solve({}, matrix<float>::copy_of(part), {.bits = 4})));
}

TEST(Rtn, HasTheSameCodesOnEveryCompiler) {
    code_hash hash;
    const matrix<float> w = sample(4, 300, 11);
    const std::vector<float> importance = importance_of(300);
    for (const scheme& form : all_forms()) {
        hash.add(solve({}, w, form));
        hash.add(solve({{.norm = rounding::error_norm::squares}}, w, form));
        hash.add(solve({}, w, form, importance));
    }
    EXPECT_EQ(hash.value, 0xc806c415317067c8U);
}

TEST(Rtn, NamesABadWeight) {
    matrix<float> w = sample(20, 30);
    w(17, 3) = std::numeric_limits<float>::quiet_NaN();
    const auto q = rounding::rtn{}.solve(w.view(), {.bits = 4});
    ASSERT_FALSE(q.has_value());
    EXPECT_EQ(q.error().code, quell::errc::bad_value);
    EXPECT_EQ(q.error().message, "row 17, column 3 is NaN, not a finite number");
}

TEST(Rtn, RefusesBadImportance) {
    const matrix<float> w = sample(2, 3);
    const auto code = [&](const std::vector<float>& importance) {
        return rounding::rtn{}.solve(w.view(), {.bits = 4}, {.importance = importance}).error().code;
    };
    EXPECT_EQ(code({1.0F, 2.0F}), quell::errc::bad_shape);
    EXPECT_EQ(code({1.0F, -2.0F, 1.0F}), quell::errc::bad_value);
    EXPECT_EQ(code({1.0F, std::numeric_limits<float>::infinity(), 1.0F}), quell::errc::bad_value);
    EXPECT_EQ(code({1.0F, std::numeric_limits<float>::quiet_NaN(), 1.0F}), quell::errc::bad_value);
}

TEST(Rtn, RefusesFormsItCannotMake) {
    const matrix<float> w = sample(2, 3);
    const auto code = [&](const scheme& form) { return rounding::rtn{}.solve(w.view(), form).error().code; };
    EXPECT_EQ(code({.bits = 1}), quell::errc::unsupported);
    EXPECT_EQ(code({.bits = 9}), quell::errc::unsupported);
    EXPECT_EQ(code({.codes = code_set::sign}), quell::errc::unsupported);
    EXPECT_EQ(code({.codes = code_set::zero_point, .zeros = zero_type::real}), quell::errc::unsupported);
    EXPECT_EQ(code({.codes = code_set::zero_point}), quell::errc::unsupported);
    EXPECT_EQ(code({.reach = granularity::token}), quell::errc::unsupported);
    EXPECT_EQ(code({.scales = scale_type::codes8}), quell::errc::unsupported);
    EXPECT_EQ(code({.reach = granularity::group, .group = 0}), quell::errc::bad_shape);
}

TEST(PowerCost, IsCloseToThePower) {
    for (double t = 0x1p-30; t < 1000.0; t *= 1.0003) {
        const double exact = std::pow(static_cast<double>(static_cast<float>(t)), 2.4);
        EXPECT_NEAR(static_cast<double>(rounding::detail::power_2_4(static_cast<float>(t))), exact, 1.4e-4 * exact);
    }
    EXPECT_LT(rounding::detail::power_2_4(0.0F), 1e-20F);
}

}  // namespace
