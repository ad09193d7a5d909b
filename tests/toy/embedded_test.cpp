// SPDX-License-Identifier: MIT
#include "toy/embedded.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/io/safetensors.hpp"
#include "reference/ngram.hpp"
#include "toy/corpus.hpp"
#include "transformer/load.hpp"
#include "transformer/session.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

namespace {

double row_loss(std::span<const float> logits, std::size_t target) {
    double sum = 0.0;
    for (const float v : logits) {
        sum += std::exp(double{v});
    }
    return std::log(sum) - double{logits[target]};
}

/// Mean loss in nats a byte of windows of the model's context, all but the first byte of each scored.
double builtin_loss(const transformer::model& m, const quell::executor& threads) {
    const std::string text = toy::text(toy::evaluation_seed, toy::builtin_bytes);
    const std::size_t context = m.shape.context;
    quell::matrix<float> logits(context, m.shape.vocab);
    transformer::session run(m, threads, context);
    double sum = 0.0;
    std::size_t scored = 0;
    for (std::size_t begin = 0; begin + context <= text.size(); begin += context) {
        const std::vector<std::int32_t> ids(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                            text.begin() + static_cast<std::ptrdiff_t>(begin + context));
        run.reset();
        EXPECT_TRUE(run.prefill(ids));
        run.logits(run.hidden(), logits.view());
        for (std::size_t t = 0; t + 1 < context; ++t, ++scored) {
            sum += row_loss(logits.row(t), static_cast<std::size_t>(ids[t + 1]));
        }
    }
    return sum / static_cast<double>(scored);
}

class Embedded : public testing::TestWithParam<std::string> {};

TEST_P(Embedded, ReachesItsRecordedLossOnTheBuiltinText) {
    const std::span<const std::byte> bytes = toy::weights(GetParam());
    const auto file = quell::io::safetensors_file::parse(bytes, GetParam());
    ASSERT_TRUE(file) << file.error().message;
    const auto recorded = file->metadata().find("builtin_loss");
    ASSERT_NE(recorded, file->metadata().end());
    const double expected = std::strtod(recorded->second.c_str(), nullptr);

    quell::thread_pool pool(2);
    const quell::executor threads(pool);
    const auto loaded = transformer::load_bytes(bytes, GetParam(), threads);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_NEAR(builtin_loss(loaded->network, threads), expected, 0.02 * expected);
}

TEST_P(Embedded, IsFarBetterThanA5GramModel) {
    const auto file = quell::io::safetensors_file::parse(toy::weights(GetParam()), GetParam());
    ASSERT_TRUE(file) << file.error().message;
    const double loss = std::strtod(file->metadata().find("builtin_loss")->second.c_str(), nullptr);
    const reference::ngram baseline(toy::text(toy::first_training_seed + 1, 400000), 5);
    const double baseline_loss = baseline.loss(toy::text(toy::evaluation_seed, toy::builtin_bytes), 512);
    RecordProperty("bits_per_byte", std::to_string(loss / std::log(2.0)));
    RecordProperty("bits_per_byte_of_5_grams", std::to_string(baseline_loss / std::log(2.0)));
    EXPECT_LT(loss, 0.6 * baseline_loss);
}

INSTANTIATE_TEST_SUITE_P(Toys, Embedded, testing::Values("toy", "toy-gelu"),
                         [](const auto& tested) { return tested.param == "toy" ? "swiglu" : "gelu"; });

TEST(EmbeddedWeights, StayBelowFourMegabytesTogether) {
    EXPECT_LE(toy::weights("toy").size() + toy::weights("toy-gelu").size(), 4000000U);
    EXPECT_TRUE(toy::weights("toys").empty());
}

}  // namespace
