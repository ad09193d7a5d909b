// SPDX-License-Identifier: MIT
#include "quell/model/layer_scores.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/rounding/rtn.hpp"
#include "reference/statistics.hpp"
#include "support/fake_engine.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace quell;

constexpr scheme coarse{.bits = 3, .reach = granularity::channel};

matrix<float> rounded_coarsely(const matrix<float>& w) {
    return dequantize(*rounding::rtn{}.solve(w.view(), coarse, {}, {}));
}

/// The rows that enter an input of the network with these linears.
matrix<float> rows_of(const fake_engine& lender, const std::vector<quant::linear>& linears, std::size_t input) {
    matrix<float> rows;
    (void)lender.run(linears, {}, [&](std::size_t seen, matrix_view<const float> x) {
        rows = seen == input ? matrix<float>::copy_of(x) : std::move(rows);
    });
    return rows;
}

/// The mean over the outputs of (W x - W' x')^2, in double.
double mean_square(const matrix<float>& w, const matrix<float>& x, const matrix<float>& other_w,
                   const matrix<float>& other_x) {
    double sum = 0.0;
    for (std::size_t t = 0; t < x.rows(); ++t) {
        for (std::size_t o = 0; o < w.rows(); ++o) {
            double difference = 0.0;
            for (std::size_t c = 0; c < w.cols(); ++c) {
                difference += double{w(o, c)} * double{x(t, c)} - double{other_w(o, c)} * double{other_x(t, c)};
            }
            sum += difference * difference;
        }
    }
    return sum / static_cast<double>(x.rows() * w.rows());
}

TEST(LayerScores, KurtosisIsThatOfTheWholeWeight) {
    fake_engine lender;
    lender.weights[4](0, 0) = 9.0F;
    const auto scores = model::kurtosis_scores(lender.lend());
    ASSERT_TRUE(scores);
    for (std::size_t s = 0; s < lender.weights.size(); ++s) {
        const std::vector<double> all(lender.weights[s].elements().begin(), lender.weights[s].elements().end());
        EXPECT_NEAR((*scores)[s], reference::moments(all).kurtosis, 1e-6 * (*scores)[s]);
    }
    EXPECT_GT((*scores)[4], 100.0);
}

TEST(LayerScores, SensitivityIsMeasuredBehindThePart) {
    fake_engine lender;
    const auto scores = model::sensitivity_scores(lender.lend(), {.form = coarse});
    ASSERT_TRUE(scores) << scores.error().message;
    // q and k of the second block together, at the output of o.
    const matrix<float> q = rounded_coarsely(lender.weights[5]);
    const matrix<float> k = rounded_coarsely(lender.weights[6]);
    const std::vector<model::trial_weight> trial = {{5, q.view()}, {6, k.view()}};
    const matrix<float>& o = lender.weights[7];
    const double behind =
        mean_square(o, rows_of(lender, lender.float_linears(), 4), o, rows_of(lender, lender.with_trial(trial), 4));
    EXPECT_GT(behind, 0.0);
    EXPECT_NEAR((*scores)[5], behind, 1e-3 * behind);
    EXPECT_EQ((*scores)[5], (*scores)[6]);
}

TEST(LayerScores, WhatEndsItsLayerIsMeasuredAtItsOwnOutput) {
    fake_engine lender;
    lender.graph.sites[7].writes_residual = true;
    const auto scores = model::sensitivity_scores(lender.lend(), {.form = coarse});
    ASSERT_TRUE(scores);
    const matrix<float> x = rows_of(lender, lender.float_linears(), 4);
    const double own = mean_square(lender.weights[7], x, rounded_coarsely(lender.weights[7]), x);
    EXPECT_NEAR((*scores)[7], own, 1e-3 * own);
    // gate and up of the last block: no linear stands behind them.
    const matrix<float> y = rows_of(lender, lender.float_linears(), 5);
    const double gate = mean_square(lender.weights[8], y, rounded_coarsely(lender.weights[8]), y);
    const double up = mean_square(lender.weights[9], y, rounded_coarsely(lender.weights[9]), y);
    EXPECT_NEAR((*scores)[8], 0.5 * (gate + up), 1e-3 * gate);
}

TEST(LayerScores, DoNotDependOnThreads) {
    fake_engine lender;
    thread_pool pool(3);
    EXPECT_EQ(*model::sensitivity_scores(lender.lend(), {.form = coarse}),
              *model::sensitivity_scores(lender.lend(), {.form = coarse, .threads = pool}));
}

TEST(LayerScores, NameTheSiteThatIsWrong) {
    fake_engine lender;
    lender.weights[3](1, 2) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(model::kurtosis_scores(lender.lend()).error().message,
              "blk.0.gate: row 1, column 2 is NaN, not a finite number");
    EXPECT_FALSE(model::sensitivity_scores(lender.lend(), {.form = coarse}));
}

TEST(LayerScores, EachModuleHasItsOwnFlagsInTheOrderOfItsLayers) {
    graph g;
    std::vector<double> scores;
    for (std::size_t l = 0; l < 32; ++l) {
        for (const char* module : {"q", "down"}) {
            const bool is_q = module == std::string("q");
            g.sites.push_back({.name = module + std::to_string(l), .module = module, .layer = is_q ? l : 31 - l});
            scores.push_back(1.0 + 0.01 * static_cast<double>(l % 3) + (l == 20 && !is_q ? 5.0 : 0.0));
        }
    }
    const std::vector<bool> flagged = model::flagged_sites(g, scores, {.only_rises = true});
    for (std::size_t s = 0; s < flagged.size(); ++s) {
        EXPECT_EQ(flagged[s], g.sites[s].name == "down20") << g.sites[s].name;
    }
}

}  // namespace
