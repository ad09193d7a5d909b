// SPDX-License-Identifier: MIT
#include "quell/rounding/gptq.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/rounding/rtn.hpp"
#include "reference/gptq.hpp"
#include "rounding/inputs.hpp"
#include "rounding/samples.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace {

using quell::granularity;
using quell::matrix;
using quell::quantized;
using quell::scheme;
using quell::zero_type;
using quell::rounding::column_order;
using quell::rounding::gptq;
namespace rounding = quell::rounding;

reference::square rows_of(const matrix<double>& g) {
    reference::square rows(g.rows());
    for (std::size_t i = 0; i < g.rows(); ++i) {
        rows[i].assign(g.row(i).begin(), g.row(i).end());
    }
    return rows;
}

quantized nearest_codes(const rounding::rtn& solver, const matrix<float>& w, const scheme& form) {
    return *solver.solve(w.view(), form);
}

quantized gptq_codes(const gptq& solver, const matrix<float>& w, const scheme& form, const matrix<double>& gram,
                     const quell::executor& threads = {}) {
    auto q = solver.solve(w.view(), form, {.gram = gram.view()}, threads);
    EXPECT_TRUE(q.has_value()) << name(form) << (q ? "" : q.error().message);
    return *std::move(q);
}

/// tr(dW G dW^T)
double output_error(const matrix<float>& w, const quantized& q, const matrix<double>& gram) {
    const matrix<float> rounded = dequantize(q);
    double sum = 0.0;
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t i = 0; i < w.cols(); ++i) {
            for (std::size_t j = 0; j < w.cols(); ++j) {
                sum +=
                    (double{w(r, i)} - double{rounded(r, i)}) * gram(i, j) * (double{w(r, j)} - double{rounded(r, j)});
            }
        }
    }
    return sum;
}

void expect_equal(const quantized& q, const std::vector<reference::rounded_row>& expected, const std::string& what) {
    for (std::size_t r = 0; r < expected.size(); ++r) {
        for (std::size_t g = 0; g < expected[r].groups.size(); ++g) {
            ASSERT_EQ(q.scales(r, g), expected[r].groups[g].scale) << what << ", row " << r << ", group " << g;
            if (q.form.zeros != zero_type::none) {
                ASSERT_EQ(static_cast<int>(q.zeros(r, g)), expected[r].groups[g].zero) << what;
            }
        }
        for (std::size_t j = 0; j < expected[r].codes.size(); ++j) {
            ASSERT_EQ(int{q.codes(r, j)}, expected[r].codes[j]) << what << ", row " << r << ", column " << j;
        }
    }
}

TEST(Gptq, GivesTheOraclesCodesAndScales) {
    const matrix<float> w = sample(4, 60);
    const matrix<double> gram = gram_of(60, 90, 3);
    for (const scheme& form : all_forms()) {
        expect_equal(gptq_codes({.clip = rounding::no_clip_search}, w, form, gram),
                     reference::gptq(w, rows_of(gram), form, {}), name(form));
    }
}

TEST(Gptq, GivesTheOraclesCodesUnderEveryOption) {
    const matrix<float> w = sample(5, 90);
    const matrix<double> gram = gram_of(90, 60, 4, {7, 41});  // fewer tokens than columns
    for (const scheme& form : {scheme{.bits = 4}, scheme{.bits = 3, .reach = granularity::group, .group = 32}}) {
        for (const bool by_activation : {false, true}) {
            for (const double noise : {0.0, 0.05}) {
                for (const double damping : {0.01, 0.3}) {
                    const bool fixed = by_activation || damping > 0.1;
                    const gptq solver{
                        .clip = rounding::no_clip_search,
                        .hessian = {.damping = damping,
                                    .activation_noise = noise,
                                    .order = by_activation ? column_order::activation : column_order::natural},
                        .static_groups = fixed};
                    expect_equal(gptq_codes(solver, w, form, gram),
                                 reference::gptq(w, rows_of(gram), form,
                                                 {.damping = damping,
                                                  .noise = noise,
                                                  .activation_order = by_activation,
                                                  .static_groups = fixed}),
                                 name(form) + " noise " + std::to_string(noise));
                }
            }
        }
    }
}

TEST(Gptq, EqualsRoundingToNearestWhereInputsAreUncorrelated) {
    const matrix<float> w = sample(7, 100);
    matrix<double> unit(100, 100);
    for (std::size_t i = 0; i < 100; ++i) {
        unit(i, i) = 3.0;
    }
    for (const scheme& form : all_forms()) {
        for (const rounding::clip_search& clip : {rounding::clip_search{}, rounding::no_clip_search}) {
            EXPECT_TRUE(same(gptq_codes({.clip = clip}, w, form, unit), nearest_codes(rounding::rtn{clip}, w, form)))
                << name(form);
        }
    }
}

TEST(Gptq, CostsTheOutputsLessThanRoundingToNearest) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        const matrix<float> w = sample(24, 96, seed);
        const matrix<double> gram = gram_of(96, 300, seed + 10);
        for (const scheme& form : {scheme{.bits = 4}, scheme{.bits = 2}, scheme{.bits = 8},
                                   scheme{.bits = 3, .reach = granularity::group, .group = 32}}) {
            const double nearest = output_error(w, nearest_codes(rounding::rtn{}, w, form), gram);
            EXPECT_LT(output_error(w, gptq_codes({}, w, form, gram), gram), nearest) << name(form);
            const gptq by_activation{.hessian = {.order = column_order::activation}, .static_groups = true};
            EXPECT_LT(output_error(w, gptq_codes(by_activation, w, form, gram), gram), nearest) << name(form);
        }
    }
}

TEST(Gptq, DoesNotDependOnTheBlockSize) {
    const matrix<float> w = sample(5, 150);
    const matrix<double> gram = gram_of(150, 200, 5);
    for (const std::size_t group : {0U, 8U, 48U, 128U}) {
        const scheme form{.bits = 4, .reach = group == 0 ? granularity::channel : granularity::group, .group = group};
        const quantized whole = gptq_codes({.block = 150}, w, form, gram);
        for (const std::size_t block : {1U, 7U, 20U, 64U, 1000U}) {
            EXPECT_TRUE(same(gptq_codes({.block = block}, w, form, gram), whole))
                << "group " << group << ", block " << block;
        }
    }
}

TEST(Gptq, DoesNotDependOnThreads) {
    const matrix<float> w = sample(70, 150);
    const matrix<double> gram = gram_of(150, 200, 6);
    quell::thread_pool pool(3);
    const gptq solver{.hessian = {.activation_noise = 0.02}};
    EXPECT_TRUE(same(gptq_codes(solver, w, {.bits = 4}, gram, pool), gptq_codes(solver, w, {.bits = 4}, gram)));
}

TEST(Gptq, HasTheSameCodesOnEveryCompiler) {
    matrix<double> gram(150, 150);  // of small integers, and so exact
    quell::rng random(12);
    for (std::size_t t = 0; t < 400; ++t) {
        std::vector<double> x(150);
        for (double& v : x) {
            v = static_cast<double>(random.below(9)) - 4.0 + 0.5 * x[random.below(150)];
        }
        for (std::size_t i = 0; i < 150; ++i) {
            for (std::size_t j = 0; j < 150; ++j) {
                gram(i, j) += x[i] * x[j];
            }
        }
    }
    const matrix<float> w = sample(5, 150, 13);
    code_hash hash;
    for (const scheme& form : all_forms()) {
        hash.add(gptq_codes({}, w, form, gram));
    }
    hash.add(gptq_codes({.hessian = {.activation_noise = 0.1, .order = column_order::activation}}, w, {}, gram));
    EXPECT_EQ(hash.value, 12425290818561213006U);
    code_hash fitted;
    for (const int bits : {2, 3, 4, 8}) {
        for (const quell::scale_type scales : {quell::scale_type::f16, quell::scale_type::codes8}) {
            const scheme form = {.bits = bits,
                                 .codes = quell::code_set::zero_point,
                                 .reach = granularity::group,
                                 .group = 32,
                                 .scales = scales,
                                 .zeros = zero_type::real};
            fitted.add(gptq_codes({.weighting = rounding::clip_weighting::schur}, w, form, gram));
        }
    }
    EXPECT_EQ(fitted.value, 16303894136495376311U);
}

TEST(Gptq, RoundsDeadInputsToZero) {
    const matrix<float> w = sample(6, 40);
    const matrix<double> gram = gram_of(40, 80, 7, {0, 13, 39});
    for (const double damping : {0.0, 0.01}) {
        const matrix<float> rounded = dequantize(gptq_codes({.hessian = {.damping = damping}}, w, {.bits = 4}, gram));
        for (std::size_t r = 0; r < 6; ++r) {
            for (const std::size_t j : {0U, 13U, 39U}) {
                EXPECT_EQ(rounded(r, j), 0.0F);
            }
        }
    }
    const matrix<float> nothing = dequantize(gptq_codes({}, w, {.bits = 4}, matrix<double>(40, 40)));
    EXPECT_EQ(*std::max_element(nothing.elements().begin(), nothing.elements().end()), 0.0F);
}

TEST(Gptq, TakesTheRowsOfASingleToken) {
    const matrix<float> w = sample(6, 40);
    const matrix<double> gram = gram_of(40, 1, 8);
    EXPECT_LT(output_error(w, gptq_codes({}, w, {.bits = 4}, gram), gram),
              output_error(w, nearest_codes(rounding::rtn{}, w, {.bits = 4}), gram));
}

TEST(Gptq, RaisesTheDampingUntilTheFactorExists) {
    matrix<double> gram = gram_of(30, 60, 9);
    const double mean = rounding::detail::diagonal_of(gram.view()).mean;
    const auto damping_with = [&](double eigenvalue) {
        matrix<double> h(2, 2);
        h(0, 0) = h(1, 1) = 1.0;
        h(0, 1) = h(1, 0) = 1.0 - eigenvalue;
        const auto f = rounding::factor_hessian({.gram = h.view()}, 2, {});
        return f ? (*f)->damping : -1.0;
    };
    EXPECT_GT(mean, 0.0);
    EXPECT_EQ(damping_with(0.0), 0.01);
    EXPECT_DOUBLE_EQ(damping_with(-0.05), 0.1);
    EXPECT_DOUBLE_EQ(damping_with(-0.5), 1.0);
    EXPECT_DOUBLE_EQ(damping_with(-5.0), 10.0);
    EXPECT_EQ(damping_with(-20.0), -1.0);
}

TEST(Gptq, AFactorThatIsKeptGivesTheSameCodes) {
    const matrix<double> gram = gram_of(24, 60, 1);
    const matrix<float> w = random_matrix(6, 24, 2);
    const rounding::gptq solver{.hessian = {.order = rounding::column_order::activation}};
    rounding::factor_memo memo;
    const scheme rows{.bits = 3, .reach = granularity::channel};
    const auto plain = solver.solve(w.view(), rows, {.gram = gram.view()});
    for (int time = 0; time < 2; ++time) {
        const auto again = solver.solve(w.view(), rows, {.gram = gram.view(), .memo = &memo});
        ASSERT_TRUE(plain && again);
        EXPECT_TRUE(std::equal(plain->codes.elements().begin(), plain->codes.elements().end(),
                               again->codes.elements().begin()));
    }
    const auto kept = memo.find(solver.hessian);
    ASSERT_NE(kept, nullptr);
    EXPECT_EQ(*rounding::factor_hessian({.gram = gram.view(), .memo = &memo}, 24, solver.hessian), kept);
    EXPECT_NE(*rounding::factor_hessian({.gram = gram.view(), .memo = &memo}, 24, {.damping = 0.5}), kept);
    memo.forget();
    EXPECT_EQ(memo.find(solver.hessian), nullptr);
}

/// The mean over rounded inputs of the squared output error, in closed form: tr((V - W) G (V - W)^T) + lambda |V|^2.
double noisy_error(const matrix<float>& w, const quantized& q, const matrix<double>& gram, double noise) {
    const double lambda = noise * rounding::detail::diagonal_of(gram.view()).mean;
    const matrix<float> rounded = dequantize(q);
    double squares = 0.0;
    for (const float v : rounded.elements()) {
        squares += double{v} * double{v};
    }
    return output_error(w, q, gram) + lambda * squares;
}

TEST(Gptq, CostsNoisyInputsLessWhenItKnowsTheNoise) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        const matrix<float> w = sample(24, 96, seed);
        const matrix<double> gram = gram_of(96, 300, seed + 20);
        for (const double noise : {0.02, 0.2}) {
            const quantized plain = gptq_codes({}, w, {.bits = 4}, gram);
            const quantized aware = gptq_codes({.hessian = {.activation_noise = noise}}, w, {.bits = 4}, gram);
            EXPECT_LT(noisy_error(w, aware, gram, noise), noisy_error(w, plain, gram, noise)) << noise;
        }
    }
}

TEST(Gptq, NamesWhatIsWrong) {
    matrix<float> w = sample(4, 10);
    matrix<double> gram = gram_of(10, 30, 1);
    const auto error_of = [&](const gptq& solver, const scheme& form, const rounding::input_knowledge& known) {
        const auto q = solver.solve(w.view(), form, known);
        EXPECT_FALSE(q);
        return q ? quell::error{} : q.error();
    };
    EXPECT_EQ(error_of({}, {.bits = 4}, {}).code, quell::errc::not_found);
    EXPECT_EQ(error_of({}, {.bits = 4}, {}).message, "the solver needs the Gram matrix of the inputs");
    EXPECT_EQ(error_of({}, {.bits = 4}, {.gram = gram.view().block(0, 0, 9, 9)}).message,
              "a Gram matrix of 9 x 9 for 10 columns");
    const gptq by_activation{.hessian = {.order = column_order::activation}};
    EXPECT_EQ(error_of(by_activation, {.bits = 4, .reach = granularity::group, .group = 5}, {.gram = gram.view()}).code,
              quell::errc::unsupported);
    EXPECT_EQ(error_of({}, {.bits = 9}, {.gram = gram.view()}).code, quell::errc::unsupported);
    gram(3, 3) = -1.0;
    EXPECT_EQ(error_of({}, {.bits = 4}, {.gram = gram.view()}).message,
              "the Gram matrix has -1.000000 on its diagonal, in column 3");
    gram(3, 3) = NAN;
    EXPECT_EQ(error_of({}, {.bits = 4}, {.gram = gram.view()}).code, quell::errc::bad_value);
    gram(3, 3) = 1.0;
    gram(2, 4) = gram(4, 2) = 1e9;
    const quell::error lost = error_of({}, {.bits = 4}, {.gram = gram.view()});
    EXPECT_EQ(lost.code, quell::errc::not_positive_definite);
    EXPECT_NE(lost.message.find("damped by 10.0"), std::string::npos) << lost.message;
    w(2, 7) = NAN;
    EXPECT_EQ(error_of({}, {.bits = 4}, {.gram = gram.view()}).message, "row 2, column 7 is NaN, not a finite number");
}

constexpr scheme fitted_form(int bits, quell::scale_type scales) {
    return {.bits = bits,
            .codes = quell::code_set::zero_point,
            .reach = granularity::group,
            .group = 32,
            .scales = scales,
            .zeros = zero_type::real};
}

constexpr gptq fitting{.weighting = rounding::clip_weighting::schur,
                       .hessian = {.order = column_order::activation},
                       .static_groups = true};

TEST(Gptq, WithRealZerosFitsEachGroupWhereTheHessianIsTheIdentity) {
    const matrix<float> w = sample(12, 96);
    matrix<double> identity(96, 96);
    for (std::size_t i = 0; i < 96; ++i) {
        identity(i, i) = 1.0;
    }
    for (const int bits : {2, 3, 4, 8}) {
        const scheme form = fitted_form(bits, quell::scale_type::f32);
        const quantized q = gptq_codes({}, w, form, identity);
        rounding::group_fitter fitter({}, form, 32);
        for (std::size_t r = 0; r < w.rows(); ++r) {
            for (std::size_t g = 0; g < 3; ++g) {
                fitter.load(w.row(r).subspan(g * 32, 32), {});
                const rounding::affine best = fitter.store(fitter.search(), 1.0F);
                EXPECT_EQ(q.scales(r, g), best.scale);
                EXPECT_EQ(q.zeros(r, g), best.zero);
            }
        }
    }
}

TEST(Gptq, WithRealZerosLosesLessThanWithIntegerOnes) {
    const matrix<float> w = sample(32, 160);
    const matrix<double> gram = gram_of(160, 400, 5);
    for (const int bits : {2, 3, 4}) {
        scheme integer = fitted_form(bits, quell::scale_type::f16);
        integer.zeros = zero_type::integer;
        const double cut = output_error(w, gptq_codes({}, w, integer, gram), gram);
        for (const quell::scale_type scales : {quell::scale_type::f16, quell::scale_type::codes8}) {
            const quantized q = gptq_codes(fitting, w, fitted_form(bits, scales), gram);
            EXPECT_LT(output_error(w, q, gram), cut) << name(fitted_form(bits, scales));
        }
    }
}

TEST(Gptq, WithRealZerosDependsNeitherOnThreadsNorOnBlocks) {
    quell::thread_pool pool(3);
    const matrix<float> w = sample(70, 160);
    const matrix<double> gram = gram_of(160, 400, 5);
    for (const bool is_static : {false, true}) {
        gptq solver{.weighting = rounding::clip_weighting::schur, .static_groups = is_static};
        const scheme form = fitted_form(3, quell::scale_type::codes8);
        const quantized q = gptq_codes(solver, w, form, gram);
        EXPECT_TRUE(same(q, gptq_codes(solver, w, form, gram, quell::executor(pool))));
        solver.block = 40;
        EXPECT_TRUE(same(q, gptq_codes(solver, w, form, gram)));
        for (std::size_t r = 0; r < q.scales.rows(); ++r) {
            const float unit = quell::scale_unit(*std::max_element(q.scales.row(r).begin(), q.scales.row(r).end()));
            for (const float scale : q.scales.row(r)) {
                EXPECT_EQ(scale, quell::scale_in_units(scale, unit));
            }
        }
    }
}

}  // namespace
