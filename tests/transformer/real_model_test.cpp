// SPDX-License-Identifier: MIT
/// The real model against figures from an independent implementation (numpy, fp32): the loss of two windows of 512
/// tokens, every token but the first of a window scored.
#include "quell/core/thread_pool.hpp"
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

}  // namespace
