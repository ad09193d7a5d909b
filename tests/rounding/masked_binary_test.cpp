// SPDX-License-Identifier: MIT
#include "quell/rounding/masked_binary.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/rounding/billm.hpp"
#include "reference/masked_binary.hpp"
#include "rounding/samples.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>

namespace {

using rounding::billm;
using rounding::masked_binary;
using rounding::salience;
using rounding::simulated;

template <typename Solver>
simulated simulate(const Solver& solver, const matrix<float>& w, const scheme& form, const matrix<double>& gram,
                   const quell::executor& threads = {}) {
    auto s = solver.simulate(w.view(), form, {.gram = gram.view()}, threads);
    EXPECT_TRUE(s.has_value()) << (s ? "" : s.error().message);
    return *std::move(s);
}

void expect_values(const matrix<float>& values, const reference::square& expected, const std::string& what) {
    for (std::size_t r = 0; r < expected.size(); ++r) {
        for (std::size_t c = 0; c < expected[r].size(); ++c) {
            ASSERT_NEAR(double{values(r, c)}, expected[r][c], 1e-6) << what << ", row " << r << ", column " << c;
        }
    }
}

double simulated_error(const matrix<float>& w, const matrix<float>& values, const matrix<double>& gram) {
    double sum = 0.0;
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t i = 0; i < w.cols(); ++i) {
            for (std::size_t j = 0; j < w.cols(); ++j) {
                sum += (double{w(r, i)} - double{values(r, i)}) * gram(i, j) * (double{w(r, j)} - double{values(r, j)});
            }
        }
    }
    return sum;
}

TEST(MaskedBinary, GivesTheOraclesValues) {
    const matrix<float> w = sample(6, 70);
    const matrix<double> gram = gram_of(70, 160, 5, {9, 33});
    for (const double share : {0.0, 0.1, 0.35, 1.0}) {
        for (const scheme& form : {binary_form(16, true), binary_form(32, false)}) {
            const masked_binary solver{.share = share};
            expect_values(simulate(solver, w, form, gram).values,
                          reference::masked_binary(w, rows_of(gram), form, solver.high, share, solver.damping),
                          name(form) + ", share " + std::to_string(share));
        }
    }
}

TEST(MaskedBinary, CountsEveryBit) {
    const simulated s =
        simulate(masked_binary{.share = 0.25}, sample(8, 128), binary_form(64, true), gram_of(128, 200, 2));
    EXPECT_EQ(s.stored.codes, 8U * 128U + 7U * (8U * 128U / 4U));
    EXPECT_EQ(s.stored.scales, 8U * 16U * 2U + 8U * 16U);
    EXPECT_EQ(s.stored.zeros, 8U * 16U * 2U + 8U * 8U);
    EXPECT_EQ(s.stored.mask, 8U * 128U);
}

TEST(MaskedBinary, LosesLessTheMoreItKeepsAndTheBetterItChooses) {
    const matrix<float> w = sample(24, 128);
    const matrix<double> gram = gram_of(128, 300, 3);
    const auto error_of = [&](double share, salience by) {
        const masked_binary solver{.share = share, .by = by};
        return simulated_error(w, simulate(solver, w, binary_form(64, true), gram).values, gram);
    };
    EXPECT_LT(error_of(0.1, salience::hessian), error_of(0.0, salience::hessian));
    EXPECT_LT(error_of(0.3, salience::hessian), error_of(0.1, salience::hessian));
    EXPECT_LT(error_of(0.2, salience::pbar), error_of(0.2, salience::magnitude));
}

TEST(MaskedBinary, RefusesAHighFormWithGroups) {
    const matrix<float> w = sample(2, 32);
    const masked_binary grouped{.high = {.bits = 4, .reach = granularity::group, .group = 8}};
    const matrix<double> gram = gram_of(32, 64, 1);
    const auto s = grouped.simulate(w.view(), binary_form(16, true), {.gram = gram.view()});
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().message, "the weights of more bits share a scale over their row");
}

TEST(Billm, GivesTheOraclesValues) {
    const matrix<float> w = sample(6, 70);
    const matrix<double> gram = gram_of(70, 160, 5, {9, 33});
    for (const std::size_t most : {1U, 5U, 48U}) {
        for (const scheme& form : {binary_form(32, true), binary_form(70, false)}) {
            const billm solver{.most_columns = most};
            expect_values(simulate(solver, w, form, gram).values,
                          reference::billm(w, rows_of(gram), form, most, solver.damping), name(form));
        }
    }
}

TEST(Billm, LosesLessThanBinaryWeightsAndCountsEveryBit) {
    const matrix<float> w = sample(24, 128);
    const matrix<double> gram = gram_of(128, 300, 3);
    const simulated s = simulate(billm{}, w, binary_form(64, true), gram);
    EXPECT_LT(simulated_error(w, s.values, gram),
              simulated_error(w, simulate(masked_binary{.share = 0.0}, w, binary_form(64, true), gram).values, gram));
    const std::size_t salient = s.stored.codes / 24 - 128;  // columns that have two bits
    EXPECT_GE(salient, 2U);
    EXPECT_EQ(s.stored.mask, 24U * (128U - salient) + 128U);
    EXPECT_EQ(s.stored.scales, 24U * 2U * 4U * 16U);
    EXPECT_EQ(s.stored.zeros, 24U * 2U * 3U * 16U);
}

TEST(SimulatedSolvers, DoNotDependOnThreads) {
    const matrix<float> w = sample(70, 96);
    const matrix<double> gram = gram_of(96, 200, 6);
    quell::thread_pool pool(3);
    const auto expect_same = [&](const auto& solver) {
        const simulated alone = simulate(solver, w, binary_form(32, true), gram);
        const simulated together = simulate(solver, w, binary_form(32, true), gram, pool);
        EXPECT_TRUE(std::equal(alone.values.elements().begin(), alone.values.elements().end(),
                               together.values.elements().begin()));
    };
    expect_same(masked_binary{});
    expect_same(billm{});
}

}  // namespace
