// SPDX-License-Identifier: MIT
#include "quell/rounding/staged.hpp"

#include "quell/core/thread_pool.hpp"
#include "reference/staged.hpp"
#include "rounding/samples.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace {

using quell::split_quantized;
using rounding::first_stage;
using rounding::salience;
using rounding::staged;

const std::vector<std::pair<salience, std::string>> all_saliences = {{salience::magnitude, "magnitude"},
                                                                     {salience::hessian, "hessian"},
                                                                     {salience::pbar, "pbar"},
                                                                     {salience::pbar_compensated, "pbar_compensated"}};

split_quantized staged_codes(const staged& solver, const matrix<float>& w, const scheme& form,
                             const matrix<double>& gram, const quell::executor& threads = {}) {
    auto q = solver.solve_split(w.view(), form, {.gram = gram.view()}, threads);
    EXPECT_TRUE(q.has_value()) << (q ? "" : q.error().message);
    return *std::move(q);
}

/// tr((W - Q) (G + delta I) (W - Q)^T) with the damping that the solver works under.
double staged_error(const matrix<float>& w, const split_quantized& q, const matrix<double>& gram) {
    const matrix<float> rounded = dequantize(q);
    const double damping = 0.01 * rounding::detail::diagonal_of(gram.view()).live_mean;
    double sum = 0.0;
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t i = 0; i < w.cols(); ++i) {
            for (std::size_t j = 0; j < w.cols(); ++j) {
                const double h = gram(i, j) + (i == j ? damping : 0.0);
                sum += (double{w(r, i)} - double{rounded(r, i)}) * h * (double{w(r, j)} - double{rounded(r, j)});
            }
        }
    }
    return sum;
}

void expect_staged_row(const split_quantized& q, std::size_t r, const reference::staged_row& expected,
                       const std::string& what) {
    const std::size_t n_high = q.high.in_features();
    const std::size_t n_low = q.low.in_features();
    for (std::size_t p = 0; p < n_low; ++p) {
        ASSERT_EQ(int{q.low.codes(r, p)}, expected.codes[p]) << what << ", row " << r << ", binary position " << p;
    }
    for (std::size_t p = 0; p < n_high; ++p) {
        ASSERT_EQ(int{q.high.codes(r, p)}, expected.codes[n_low + p]) << what << ", row " << r << ", position " << p;
    }
    std::size_t low_group = 0;
    std::size_t high_group = 0;
    for (const reference::staged_group& g : expected.groups) {
        const quell::quantized& part = g.binary ? q.low : q.high;
        const std::size_t at = g.binary ? low_group++ : high_group++;
        ASSERT_EQ(double{part.scales(r, at)}, g.scale) << what << ", row " << r << ", group " << at;
        if (part.form.zeros != zero_type::none) {
            ASSERT_EQ(double{part.zeros(r, at)}, g.beside) << what << ", row " << r << ", group " << at;
        }
    }
}

void expect_staged_oracle(staged solver, const std::string& scores_by, const scheme& form) {
    const matrix<float> w = sample(3, 70);
    const matrix<double> gram = gram_of(70, 160, 5, {9, 33});
    solver.clip = rounding::no_clip_search;
    const split_quantized q = staged_codes(solver, w, form, gram);
    const std::size_t n_high = solver.high_columns(70);
    const auto scores = reference::salience_scores(scores_by, w, rows_of(gram), form, solver.damping);
    const auto problem =
        reference::order_hessian(rows_of(gram), reference::staged_order(scores, n_high, rows_of(gram)), solver.damping);
    for (std::size_t p = 0; p < 70; ++p) {
        ASSERT_EQ(q.order[p], problem.order[p < n_high ? 70 - n_high + p : p - n_high]) << scores_by;
    }
    reference::staged_solver oracle(problem, form, solver.high, 70 - n_high, solver.rounds);
    for (std::size_t r = 0; r < 3; ++r) {
        std::vector<double> row(70);
        for (std::size_t i = 0; i < 70; ++i) {
            row[i] = problem.dead[i] ? 0.0 : double{w(r, problem.order[i])};
        }
        expect_staged_row(q, r, oracle.solve(row, row), scores_by + " " + name(form));
    }
}

TEST(Staged, GivesTheOraclesOrderCodesAndScales) {
    for (const auto& [by, word] : all_saliences) {
        expect_staged_oracle({.by = by}, word, binary_form(16, true));
    }
    for (const int rounds : {0, 1, 3}) {
        expect_staged_oracle({.rounds = rounds}, "pbar", binary_form(32, false));
        expect_staged_oracle({.rounds = rounds}, "pbar", binary_form(0, true));
    }
    for (const double share : {0.0, 0.5, 1.0}) {
        expect_staged_oracle({.share = share}, "pbar", binary_form(16, true));
    }
    expect_staged_oracle(
        {.high = {.bits = 3, .reach = granularity::group, .group = 8, .scales = quell::scale_type::f16}}, "pbar",
        binary_form(16, true));
}

TEST(Staged, NamesEachColumnOnceAndKeepsTheNominalBits) {
    for (const std::size_t n : {5U, 64U, 101U, 192U}) {
        const split_quantized q = staged_codes({}, sample(4, n), binary_form(32, true), gram_of(n, 2 * n, 3));
        std::vector<std::uint16_t> order = q.order;
        std::sort(order.begin(), order.end());
        for (std::size_t p = 0; p < n; ++p) {
            EXPECT_EQ(order[p], p);
        }
        const auto columns = static_cast<double>(n);
        EXPECT_EQ(q.high.in_features(), static_cast<std::size_t>(std::nearbyint(0.2 * columns)));
        const double nominal =
            (4.0 * static_cast<double>(q.high.in_features()) + static_cast<double>(q.low.in_features())) / columns;
        EXPECT_NEAR(nominal, 1.6, 3.0 / columns);
    }
}

TEST(Staged, EachRoundOfRefinementLosesLess) {
    const matrix<float> w = sample(12, 120);
    const matrix<double> gram = gram_of(120, 300, 8);
    for (const scheme& form : {binary_form(32, true), binary_form(64, false), binary_form(0, true)}) {
        double before = staged_error(w, staged_codes({.rounds = 0}, w, form, gram), gram);
        const double unrefined = before;
        for (const int rounds : {1, 2, 4, 8}) {
            const double error = staged_error(w, staged_codes({.rounds = rounds}, w, form, gram), gram);
            EXPECT_LE(error, before * (1.0 + 1e-6)) << name(form) << ", rounds " << rounds;
            before = error;
        }
        EXPECT_LT(before, 0.99 * unrefined) << name(form);
    }
}

TEST(Staged, LosesLessThanBinaryAloneAndMoreThanMoreBits) {
    const matrix<float> w = sample(16, 120);
    const matrix<double> gram = gram_of(120, 300, 9);
    const auto error_with = [&](double share) {
        return staged_error(w, staged_codes({.share = share}, w, binary_form(32, true), gram), gram);
    };
    EXPECT_LT(error_with(0.2), 0.9 * error_with(0.0));
    EXPECT_LT(error_with(0.5), 0.9 * error_with(0.2));
    EXPECT_LT(error_with(1.0), 0.9 * error_with(0.5));
}

/// tr(E G E^T) where the columns outside of a set are binarized, without feedback.
double error_outside(const std::vector<bool>& kept, const matrix<float>& w, const matrix<float>& codes,
                     const matrix<double>& gram) {
    double sum = 0.0;
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t i = 0; i < w.cols(); ++i) {
            for (std::size_t j = 0; j < w.cols() && !kept[i]; ++j) {
                const double other = kept[j] ? 0.0 : double{w(r, j)} - double{codes(r, j)};
                sum += (double{w(r, i)} - double{codes(r, i)}) * gram(i, j) * other;
            }
        }
    }
    return sum;
}

TEST(Salience, PbarChoosesBetterThanChanceAndThanMagnitude) {
    const matrix<float> w = sample(12, 100, 4);
    const matrix<double> gram = gram_of(100, 250, 10);
    const scheme form = binary_form(32, true);
    const matrix<float> codes = dequantize(*rounding::binary{}.solve(w.view(), form));
    const auto error_of = [&](salience by) {
        const auto scores = rounding::score_columns(by, w.view(), form, {.gram = gram.view()}, {});
        std::vector<bool> kept(100, false);
        const std::vector<std::size_t> order = rounding::ranked(*scores);
        std::for_each(order.begin(), order.begin() + 20, [&](std::size_t j) { kept[j] = true; });
        return error_outside(kept, w, codes, gram);
    };
    const double pbar = error_of(salience::pbar);
    EXPECT_LT(pbar, error_of(salience::magnitude));
    EXPECT_LE(pbar, error_of(salience::hessian));
    quell::rng random(5);
    for (int draw = 0; draw < 50; ++draw) {
        std::vector<bool> kept(100, false);
        for (std::size_t count = 0; count < 20;) {
            const std::size_t j = random.below(100);
            count += kept[j] ? 0 : 1;
            kept[j] = true;
        }
        EXPECT_LT(pbar, error_outside(kept, w, codes, gram));
    }
}

TEST(Staged, CanStartFromCodesOfMoreBits) {
    const matrix<float> w = sample(12, 120);
    const matrix<double> gram = gram_of(120, 300, 11);
    const split_quantized from_four = staged_codes({.first = first_stage::gptq}, w, binary_form(32, true), gram);
    const split_quantized from_float = staged_codes({}, w, binary_form(32, true), gram);
    EXPECT_EQ(from_four.order, from_float.order);
    EXPECT_FALSE(same(from_four.low, from_float.low) && same(from_four.high, from_float.high));
    EXPECT_LT(staged_error(w, from_four, gram), 1.2 * staged_error(w, from_float, gram));
}

TEST(Staged, DoesNotDependOnThreads) {
    const matrix<float> w = sample(70, 150);
    const matrix<double> gram = gram_of(150, 200, 6);
    quell::thread_pool pool(3);
    const split_quantized alone = staged_codes({}, w, binary_form(64, true), gram);
    const split_quantized together = staged_codes({}, w, binary_form(64, true), gram, pool);
    EXPECT_EQ(alone.order, together.order);
    EXPECT_TRUE(same(alone.low, together.low));
    EXPECT_TRUE(same(alone.high, together.high));
}

TEST(Staged, NamesWhatIsWrong) {
    matrix<float> w = sample(4, 10);
    const matrix<double> gram = gram_of(10, 30, 1);
    const auto message = [&](const staged& solver, const scheme& form, const rounding::input_knowledge& known) {
        const auto q = solver.solve_split(w.view(), form, known);
        return q ? std::string("none") : q.error().message;
    };
    EXPECT_EQ(message({}, binary_form(32, true), {}), "the solver needs the Gram matrix of the inputs");
    EXPECT_EQ(message({}, {.bits = 4}, {.gram = gram.view()}),
              "binary rounding takes one bit, signs with a scale and perhaps a mean");
    EXPECT_EQ(message({.high = {.bits = 9}}, binary_form(32, true), {.gram = gram.view()}),
              "9-bit integer codes; 2 to 8 bits are possible");
    w(2, 7) = NAN;
    EXPECT_EQ(message({}, binary_form(32, true), {.gram = gram.view()}), "row 2, column 7 is NaN, not a finite number");
    const matrix<float> wide(1, 65537);
    const auto q = staged{}.solve_split(wide.view(), binary_form(32, true), {.gram = gram.view()});
    ASSERT_FALSE(q);
    EXPECT_EQ(q.error().message, "an order of 65537 columns; it has 16 bits for each");
}

}  // namespace
