// SPDX-License-Identifier: MIT
/// The real model against figures from an independent implementation (numpy, fp32): the loss of two windows of 512
/// tokens, every token but the first of a window scored.
#include "quell/core/thread_pool.hpp"
#include "quell/quant/recipes.hpp"
#include "reference/hqq.hpp"
#include "support/levels.hpp"
#include "support/shared_data.hpp"
#include "transformer/load.hpp"
#include "transformer/session.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <vector>

#include <sys/resource.h>

namespace {

constexpr std::size_t context = 512;

std::vector<std::int32_t> first_ids(const std::string& path, std::size_t n) {
    std::ifstream file(path);
    std::vector<std::int32_t> ids;
    for (std::int32_t id = 0; ids.size() < n && file >> id;) {
        ids.push_back(id);
    }
    return ids;
}

double loss_of_row(std::span<const float> logits, std::int32_t target) {
    const double peak = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float v : logits) {
        sum += std::exp(static_cast<double>(v) - peak);
    }
    return peak + std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(target)]);
}

double loss_of_window(transformer::session& s, std::span<const std::int32_t> ids, const quell::executor& threads) {
    s.reset();
    const auto ran = s.prefill(ids);
    EXPECT_TRUE(ran) << ran.error().message;
    std::vector<double> losses(ids.size() - 1);
    constexpr std::size_t rows_at_once = 73;  // 7 x 73 = 511
    quell::matrix<float> logits(rows_at_once, s.vocab());
    for (std::size_t first = 0; first < losses.size(); first += rows_at_once) {
        s.logits(s.hidden().block(first, 0, rows_at_once, s.hidden().cols()), logits.view());
        threads.parallel_for(
            rows_at_once, [&](std::size_t r) { losses[first + r] = loss_of_row(logits.row(r), ids[first + r + 1]); });
    }
    double sum = 0;
    for (const double loss : losses) {
        sum += loss;
    }
    return sum;
}

TEST(RealModel, ReachesTheReferenceLossAndHoldsItsWeightsOnce) {
    const auto file = shared_file("data/SmolLM2-135M-Instruct.Q4_1.gguf");
    const auto text = shared_file("data/wikitext2-evaluation.ids");
    if (!file || !text) {
        GTEST_SKIP() << "the shared model is not here";
    }
    quell::thread_pool pool;
    const auto got = transformer::load(*file, pool);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->network.shape.layers, 30U);
    EXPECT_EQ(got->text.size(), got->network.shape.vocab);
    const auto ids = first_ids(*text, 2 * context);
    ASSERT_EQ(ids.size(), 2 * context);
    transformer::session s(got->network, pool, context);
    EXPECT_NEAR(loss_of_window(s, std::span(ids).first(context), pool), 1635.33196, 0.02);
    EXPECT_NEAR(loss_of_window(s, std::span(ids).last(context), pool), 1611.61869, 0.02);
#if !defined(__SANITIZE_ADDRESS__)
    constexpr std::size_t float_weights = 134'515'008 * sizeof(float);
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    EXPECT_LT(static_cast<std::size_t>(usage.ru_maxrss) * 1024, float_weights + float_weights * 4 / 10);
#endif
}

/// What one group of a weight costs in the norm of HQQ.
double cost_of_group(std::span<const float> values, const quell::scheme& form, float scale, float zero) {
    std::vector<double> steps;
    for (const float v : values) {
        steps.push_back(double{v} / double{scale});
    }
    const quell::code_range codes = codes_of(form);
    return reference::hqq_cost(steps, double{zero}, {codes.low, codes.high});
}

/// Counts the groups of a weight in which HQQ loses more than min-max, and those in which it loses less.
struct group_count {
    std::size_t worse = 0;
    std::size_t better = 0;

    void add(const quell::matrix<float>& w, const quell::scheme& form, const quell::executor& threads) {
        const auto q = quell::rounding::hqq{}.solve(w.view(), form, {}, threads);
        ASSERT_TRUE(q) << q.error().message;
        for (std::size_t r = 0; r < w.rows(); ++r) {
            for (std::size_t g = 0; g < q->scales.cols(); ++g) {
                const std::size_t begin = g * form.group;
                const auto values = w.row(r).subspan(begin, std::min(form.group, w.cols() - begin));
                const float start =
                    quell::rounding::spanning_zero(form, quell::rounding::real_range(form, values), q->scales(r, g));
                const double plain = cost_of_group(values, form, q->scales(r, g), start);
                const double fitted = cost_of_group(values, form, q->scales(r, g), q->zeros(r, g));
                worse += fitted > plain * (1 + 1e-5) ? 1U : 0U;
                better += fitted < plain ? 1U : 0U;
            }
        }
    }
};

TEST(RealModelWeights, LoseNoMoreByHqqThanByMinMaxInAnyGroup) {
    const auto file = shared_file("data/SmolLM2-135M-Instruct.Q4_1.gguf");
    if (!file) {
        GTEST_SKIP() << "the shared model is not here";
    }
    quell::thread_pool pool;
    const auto got = transformer::load(*file, pool);
    ASSERT_TRUE(got) << got.error().message;
    group_count groups;
    const std::size_t last = got->network.blocks.size() - 1;
    const std::size_t steps = std::min<std::size_t>(support::samples(2), last);  // all blocks: QUELL_TEST_SAMPLES=29
    for (std::size_t i = 0; i <= steps; ++i) {
        transformer::for_each_linear(got->network.blocks[i * last / steps], [&](const quell::quant::linear& linear) {
            groups.add(quell::quant::weight(linear), quell::quant::find_recipe("hqq-w3-g64")->weights, pool);
        });
    }
    EXPECT_EQ(groups.worse, 0U);
    EXPECT_GT(groups.better, (steps + 1) * 3538944 / 64 / 2) << "of all groups of " << steps + 1 << " blocks";
    RecordProperty("groups_better", std::to_string(groups.better));
}

}  // namespace
