// SPDX-License-Identifier: MIT
#include "toy/tune.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/model/apply.hpp"
#include "quell/model/make_plan.hpp"
#include "quell/quant/linear_arrays.hpp"
#include "quell/quant/recipes.hpp"
#include "support/temporary_folder.hpp"
#include "toy/corpus.hpp"
#include "toy/embedded.hpp"
#include "transformer/load.hpp"
#include "transformer/session.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

transformer::model float_toy(const std::string& name) {
    auto loaded = transformer::load_bytes(toy::weights(name), name, {});
    EXPECT_TRUE(loaded) << loaded.error().message;
    return std::move(loaded->network);
}

std::vector<std::int32_t> text_ids(std::uint64_t seed, std::size_t bytes) {
    const std::string text = toy::text(seed, bytes);
    return {text.begin(), text.end()};
}

/// A toy under QUAD with 8 directions in float, or another recipe; `activation_bits` of all linears, 0: as the recipe
/// says.
transformer::model quantized_toy(const transformer::model& base, int activation_bits = 0,
                                 const std::string& recipe = "quad-w4a4-rtn") {
    const std::vector<std::int32_t> ids = text_ids(toy::calibration_seed, 1024);
    const quell::model::engine engine = transformer::make_engine(base, ids, 256, {});
    auto plan = quell::model::make_plan(engine.graph, *quell::quant::find_recipe(recipe, {.rank = 8}));
    EXPECT_TRUE(plan) << plan.error().message;
    for (quell::model::site_plan& site : plan->sites) {
        site.activations =
            activation_bits == 0 ? site.activations : quell::quant::activation_scheme{.bits = activation_bits};
    }
    auto changed = quell::model::apply(engine, *plan, {});
    EXPECT_TRUE(changed) << changed.error().message;
    return transformer::with_linears(base, *std::move(changed));
}

struct one_batch {
    std::vector<std::int32_t> ids;
    toy::tuning_batch batch;

    one_batch(std::size_t sequences, std::size_t length) : ids(text_ids(7, sequences * length + 1)) {
        batch = {.size = {.sequences = sequences, .length = length},
                 .inputs = std::span(ids).first(sequences * length),
                 .targets = std::span(ids).last(sequences * length)};
    }
};

std::vector<std::vector<std::byte>> bytes_of(const transformer::model& m) {
    std::vector<std::vector<std::byte>> all;
    for (const transformer::block& b : m.blocks) {
        transformer::for_each_linear(b, [&](const quell::quant::linear& l) {
            const quell::quant::linear_arrays arrays = quell::quant::arrays_of(l);
            for (const auto part : {arrays.weight, arrays.float_columns}) {
                all.emplace_back(part.begin(), part.end());
            }
        });
    }
    return all;
}

class TunableModel : public testing::TestWithParam<std::string> {};

TEST_P(TunableModel, HasTheLossOfTheModelThatRuns) {
    const transformer::model base = float_toy(GetParam());
    const transformer::model network = quantized_toy(base);
    const one_batch text(1, 200);
    const auto tunable = toy::tunable_model::make(network, 200);
    ASSERT_TRUE(tunable) << tunable.error().message;
    transformer::session run(network, {}, 200);
    ASSERT_TRUE(run.prefill(text.batch.inputs));
    quell::matrix<float> logits(200, network.shape.vocab);
    run.logits(run.hidden(), logits.view());
    const double expected = toy::summed_cross_entropy(logits.view(), text.batch.targets, 1.0, {}) / 200.0;
    EXPECT_NEAR((*tunable)->loss(text.batch, {}), expected, 2e-3 * expected);  // a code may flip here and there
}

/// Along each parameter's own gradient the loss has the slope that the gradient's length says. Activations of 16 bits
/// are as good as floats, so the surrogate is the function itself.
TEST_P(TunableModel, HasTheSlopesOfItsLoss) {
    const transformer::model base = float_toy(GetParam());
    const transformer::model network = quantized_toy(base, 16);
    const one_batch text(2, 48);
    const auto made = toy::tunable_model::make(network, 48);
    ASSERT_TRUE(made) << made.error().message;
    toy::tunable_model& model = **made;
    const double loss = model.forward_backward(text.batch, {});
    EXPECT_NEAR(model.loss(text.batch, {}), loss, 1e-9);
    std::size_t checked = 0;
    for (toy::parameter<float>* p : model.parameters()) {
        const quell::matrix<float> start = quell::matrix<float>::copy_of(p->value.view());
        toy::parameter<float>* const only[] = {p};
        const double length = quell::tuning::gradient_length<float>(only, {});
        double size = 0.0;
        for (const float v : start.elements()) {
            size += double{v} * double{v};
        }
        const double step = 0.002 * std::sqrt(size);
        const auto loss_at = [&](double distance) {
            for (std::size_t i = 0; i < start.elements().size(); ++i) {
                const double along = double{p->gradient.elements()[i]} / length;
                p->value.elements()[i] = static_cast<float>(double{start.elements()[i]} + distance * along);
            }
            return model.loss(text.batch, {});
        };
        const double wide = (loss_at(2.0 * step) - loss_at(-2.0 * step)) / (4.0 * step);
        const double slope = (4.0 * (loss_at(step) - loss_at(-step)) / (2.0 * step) - wide) / 3.0;
        EXPECT_NEAR(slope, length, 0.02 * length + 2e-5) << p->name;
        std::ranges::copy(start.elements(), p->value.elements().begin());
        ++checked;
    }
    EXPECT_EQ(checked, GetParam() == "toy" ? 48U : 40U);  // 7 or 6 factors a layer, 5 or 4 sets of columns
}

INSTANTIATE_TEST_SUITE_P(Toys, TunableModel, testing::Values("toy", "toy-gelu"), [](const auto& tested) {
    return tested.param == "toy" ? std::string("swiglu") : std::string("gelu");
});

TEST(TunableModelErrors, AreNamed) {
    transformer::model base = float_toy("toy-gelu");
    EXPECT_EQ(toy::tunable_model::make(base, 8).error().message, "tuning: no linear is quantized");
    base.shape.gelu = transformer::gelu_form::tanh;
    EXPECT_EQ(toy::tunable_model::make(base, 8).error().code, quell::errc::unsupported);
    base.shape.gelu = transformer::gelu_form::erf;
    base.prefix = std::make_shared<const transformer::prefix_cache>();
    EXPECT_EQ(toy::tunable_model::make(base, 8).error().code, quell::errc::unsupported);
}

struct Tune : testing::Test {
    transformer::model base = float_toy("toy");
    std::vector<std::int32_t> ids = text_ids(toy::calibration_seed, 4097);
    toy::tune_options options{.rule = {.steps = 6, .sequences = 2, .length = 128, .rate = 4e-3}};

    double held_out_loss(const transformer::model& network) {
        const one_batch text(8, 256);
        return (*toy::tunable_model::make(network, 256))->loss(text.batch, {});
    }
    transformer::model tuned(const toy::tune_options& how) {
        transformer::model network = quantized_toy(base);
        const auto log = toy::tune(network, ids, how);
        EXPECT_TRUE(log) << log.error().message;
        return network;
    }
};

TEST_F(Tune, LowersTheLossOnATextThatItDoesNotSee) {
    options.rule.steps = 40;
    options.rule.rate = 1e-3;
    const double before = held_out_loss(quantized_toy(base));
    const double towards_text = held_out_loss(tuned(options));
    options.teacher = &base;
    const double towards_teacher = held_out_loss(tuned(options));
    const double floor = [&] {
        const one_batch text(8, 256);
        transformer::model copy = quantized_toy(base, 16);
        return (*toy::tunable_model::make(copy, 256))->loss(text.batch, {});
    }();
    EXPECT_LT(towards_text, before);
    EXPECT_LT(towards_teacher, before);
    EXPECT_GT(before, floor);
}

TEST_F(Tune, AtTwoBitsCodesThatLearnTooGainMore) {
    const auto loss_after = [&](std::size_t steps, bool codes) {
        transformer::model network = quantized_toy(base, 0, "gptq-w2a8-g64");
        EXPECT_TRUE(toy::tune(network, ids,
                              {.rule = {.steps = steps, .sequences = 1, .length = 256, .rate = 2.5e-3, .codes = codes},
                               .teacher = &base}));
        return held_out_loss(network);
    };
    const double scales_alone = loss_after(40, false);
    EXPECT_LT(scales_alone, held_out_loss(quantized_toy(base, 0, "gptq-w2a8-g64")));
    EXPECT_LT(loss_after(40, true), scales_alone);
}

TEST_F(Tune, LeavesCodesAndEverythingElseAsTheyWere) {
    const transformer::model before = quantized_toy(base);
    const transformer::model after = tuned(options);
    std::size_t changed_scales = 0;
    for (std::size_t l = 0; l < before.blocks.size(); ++l) {
        std::vector<const quell::quant::quantized_linear*> old;
        transformer::for_each_linear(before.blocks[l], [&](const quell::quant::linear& linear) {
            old.push_back(std::get_if<quell::quant::quantized_linear>(&linear));
        });
        auto was = old.begin();
        transformer::for_each_linear(after.blocks[l], [&](const quell::quant::linear& linear) {
            const auto& now = std::get<quell::quant::quantized_linear>(linear);
            const quell::quantized a = *quell::packing::unpack((*was)->packed());
            const quell::quantized b = *quell::packing::unpack(now.packed());
            EXPECT_TRUE(std::ranges::equal(a.codes.elements(), b.codes.elements()));
            changed_scales += std::ranges::equal(a.scales.elements(), b.scales.elements()) ? 0U : 1U;
            EXPECT_EQ((*was)->online(), now.online());
            EXPECT_EQ((*was)->activations(), now.activations());
            EXPECT_EQ((*was)->float_features(), now.float_features());
            ++was;
        });
        EXPECT_TRUE(std::ranges::equal(before.blocks[l].attn_norm, after.blocks[l].attn_norm));
    }
    EXPECT_EQ(changed_scales, 28U);
}

class TuneEither : public Tune, public testing::WithParamInterface<bool> {
protected:
    void SetUp() override { options.rule.codes = GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Parts, TuneEither, testing::Bool(),
                         [](const auto& tested) { return std::string(tested.param ? "codes" : "scales"); });

TEST_P(TuneEither, GoesOnFromACheckpointToTheSameBytes) {
    const support::temporary_folder folder;
    options.teacher = &base;
    const auto whole = bytes_of(tuned(options));
    options.checkpoint = folder.file("c");
    options.checkpoint_every = 4;
    EXPECT_EQ(bytes_of(tuned(options)), whole);
    transformer::model network = quantized_toy(base);  // as if the run had been interrupted after the checkpoint
    const auto rest = toy::tune(network, ids, options);
    ASSERT_TRUE(rest) << rest.error().message;
    EXPECT_EQ(rest->losses.size(), 2U);
    EXPECT_EQ(bytes_of(network), whole);
    options.rule.rate *= 2;
    const auto other = toy::tune(network, ids, options);
    ASSERT_FALSE(other);
    EXPECT_NE(other.error().message.find("is the checkpoint of another run"), std::string::npos);
}

TEST_P(TuneEither, HasTheSameBytesForAnyNumberOfThreads) {
    options.rule.steps = 2;
    const auto alone = bytes_of(tuned(options));
    quell::thread_pool pool(3);
    options.threads = pool;
    EXPECT_EQ(bytes_of(tuned(options)), alone);
}

TEST_F(Tune, SaysWhatIsWrong) {
    transformer::model network = quantized_toy(base);
    const auto untouched = bytes_of(network);
    EXPECT_EQ(toy::tune(network, std::span(ids).first(1), options).error().message,
              "tuning: a text of 1 tokens has nothing to predict");
    options.rule.rate = 1e30;
    EXPECT_FALSE(toy::tune(network, ids, options));
    EXPECT_EQ(bytes_of(network), untouched);
}

}  // namespace
