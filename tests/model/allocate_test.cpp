// SPDX-License-Identifier: MIT
#include "quell/model/allocate.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/model/apply.hpp"
#include "quell/model/plan_json.hpp"
#include "quell/model/survey_json.hpp"
#include "quell/quant/recipes.hpp"
#include "support/fake_engine.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace quell;
using model::plan;

/// A column of layers, each with one linear of two modules; one layer of each has a weight with outliers.
class tall_engine {
public:
    static constexpr std::size_t layers = 24;
    static constexpr std::size_t width = 32;
    static constexpr std::size_t odd_layer = 9;

    tall_engine() {
        for (std::size_t l = 0; l < layers; ++l) {
            graph_.inputs.push_back({.name = "in" + std::to_string(l), .features = width});
            for (const char* module : {"q", "down"}) {
                graph_.sites.push_back({.name = module + std::to_string(l),
                                        .module = module,
                                        .layer = l,
                                        .out_features = width,
                                        .in_features = width,
                                        .input = l,
                                        .writes_residual = true});
                weights_.push_back(random_matrix(width, width, weights_.size()));
            }
        }
        weights_[2 * odd_layer](3, 4) = 40.0F;
        graph_.stream = {.embedding = "table", .head = "table", .final_norm = "norm", .width = width};
    }

    static constexpr std::size_t vocabulary = 50;
    static constexpr std::size_t parameters = (2 * layers * width + vocabulary) * width;

    std::vector<std::size_t> tried = {};  ///< sites of the trials

    /// An engine whose predictions move by what outputs lose, and 100 times as much in the odd layer.
    [[nodiscard]] model::engine lend_predictions() {
        model::engine e = lend();
        e.table = [](const std::string&) -> result<matrix<float>> { return random_matrix(vocabulary, width, 7); };
        e.calibrate = [=](const model::input_observer& see) -> result<void> {
            for (std::size_t l = 0; l <= layers; ++l) {
                see(l, random_matrix(64, width, l).view());
            }
            return {};
        };
        e.divergence = [this, e](std::span<const model::trial_weight> trial) -> result<double> {
            tried.push_back(trial[0].site);
            const bool is_head = trial[0].site == graph_.sites.size();
            const std::size_t layer = is_head ? layers : graph_.sites[trial[0].site].layer;
            QUELL_TRY(const matrix<float> exact, is_head ? e.table("") : e.weight(graph_.sites[trial[0].site]));
            double sum = 0.0;
            for (std::size_t r = 0; r < exact.rows(); ++r) {
                for (std::size_t c = 0; c < width; ++c) {
                    const double d = double{exact(r, c)} - double{trial[0].w(r, c)};
                    sum += d * d;
                }
            }
            return sum * (layer == odd_layer ? 1e-2 : 1e-4);
        };
        return e;
    }

    [[nodiscard]] model::engine lend() const {
        const auto show = [](std::size_t layer, const model::input_observer& see) {
            const float size = layer == odd_layer ? 30.0F : 1.0F;
            see(layer, planted_activations(16, width, layer, {1, 5}, size).view());
        };
        return {.graph = graph_,
                .weight = [this](const site& s) -> result<matrix<float>> {
                    return matrix<float>::copy_of(weights_[graph_.site_named(s.name)].view());
                },
                .calibrate = [=](const model::input_observer& see) -> result<void> {
                    for (std::size_t l = 0; l < layers; ++l) {
                        show(l, see);
                    }
                    return {};
                },
                .replay = [=](std::size_t layer, std::span<const model::trial_weight>,
                              const model::input_observer& see) -> result<void> {
                    show(layer, see);
                    return {};
                }};
    }

private:
    graph graph_;
    std::vector<matrix<float>> weights_;
};

plan planned(const tall_engine& lender, const char* name) {
    auto decided = make_plan(lender.lend(), *quant::find_recipe(name));
    EXPECT_TRUE(decided) << decided.error().message;
    return *std::move(decided);
}

std::vector<std::string> flagged(const plan& decided) {
    std::vector<std::string> names;
    for (const model::site_plan& s : decided.sites) {
        if (s.flagged) {
            names.push_back(s.name);
        }
    }
    return names;
}

std::size_t bytes_of(const plan& decided) {
    std::size_t sum = 0;
    for (const model::site_plan& s : decided.sites) {
        sum += packing::stored_bytes(s.weights, tall_engine::width, tall_engine::width);
    }
    return sum;
}

TEST(Allocate, KurtosisBoostsTheLayerWithOutliers) {
    const tall_engine lender;
    const plan decided = planned(lender, "kurtboost-3.13-s2-m2");
    EXPECT_TRUE(decided.sites[18].flagged);  // q9, for the rise to it
    EXPECT_TRUE(decided.sites[20].flagged);  // q10, for the fall behind it
    for (const model::site_plan& s : decided.sites) {
        EXPECT_EQ(s.weights, quant::find_recipe(s.flagged ? "hqq-w3-g32" : "hqq-w3-g128")->weights);
        EXPECT_EQ(s.reason.empty(), !s.flagged);
        EXPECT_GT(s.score, 0.0);
    }
    EXPECT_EQ(decided.sites[18].reason, "its kurtosis stands out: 3.51 bits instead of 3.13");
}

TEST(Allocate, SensitivityBoostsWhereActivationsAreLarge) {
    const tall_engine lender;
    const std::vector<std::string> names = flagged(planned(lender, "sensiboost-4.25-s2-m1"));
    EXPECT_EQ(names, (std::vector<std::string>{"q9", "down9"}));
    EXPECT_EQ(planned(lender, "sensiboost-4.25-s2-m1").sites[19].weights.bits, 8);
}

TEST(Allocate, TheControlDrawsAsManyOfEachModuleFromTheOthers) {
    const tall_engine lender;
    const std::vector<std::string> sensitive = flagged(planned(lender, "sensiboost-3.13-s2-m1"));
    std::map<std::string, int> draws;
    for (const char* name : {"randomboost-3.13-s2-m1-r1", "randomboost-3.13-s2-m1-r2", "randomboost-3.13-s2-m1-r3"}) {
        const plan drawn = planned(lender, name);
        EXPECT_EQ(flagged(drawn).size(), sensitive.size());
        EXPECT_EQ(flagged(drawn), flagged(planned(lender, name)));
        EXPECT_EQ(bytes_of(drawn), bytes_of(planned(lender, "sensiboost-3.13-s2-m1")));
        for (const std::string& site : flagged(drawn)) {
            EXPECT_TRUE(site != "q9" && site != "down9");
            ++draws[site];
        }
    }
    EXPECT_GT(draws.size(), 2U);
}

TEST(Allocate, MxqKeepsItsBudgetAndBeatsUniformForms) {
    const tall_engine lender;
    double before = std::numeric_limits<double>::infinity();
    for (const char* name : {"mxq-3.5", "mxq-5.5", "mxq-10"}) {
        const plan decided = planned(lender, name);
        const auto budget = quant::find_recipe(name)->allocation->bits * 2.0 * tall_engine::layers *
                            tall_engine::width * tall_engine::width / 8.0;
        EXPECT_LE(static_cast<double>(bytes_of(decided)), budget);
        double errors = 0.0;
        for (const model::site_plan& s : decided.sites) {
            errors += s.score;
            EXPECT_FALSE(s.reason.empty());
        }
        EXPECT_LT(errors, before);
        before = errors;
        EXPECT_TRUE(name != std::string("mxq-10") || decided.sites[0].weights.bits == 8);
    }
    const auto too_small = make_plan(lender.lend(), *quant::find_recipe("mxq-2"));
    EXPECT_EQ(too_small.error().code, errc::bad_value);
    EXPECT_TRUE(too_small.error().message.starts_with("mxq-2: the smallest options together take"));
}

TEST(Allocate, PlansAreCarriedOutAndReported) {
    const tall_engine lender;
    const plan decided = planned(lender, "kurtboost-3.13-s2-m2");
    const auto done = model::apply(lender.lend(), decided);
    ASSERT_TRUE(done) << done.error().message;
    const report::layer_report& odd = done->report.layers[18];
    EXPECT_EQ(odd.reason, decided.sites[18].reason);
    EXPECT_EQ(odd.score, decided.sites[18].score);
    EXPECT_TRUE(odd.flagged);
    EXPECT_FALSE(done->report.layers[0].flagged);
    EXPECT_EQ(odd.weights.group, 32U);
    EXPECT_EQ(done->report.layers[0].weights.group, 128U);
    const auto again = model::plan_from_text(to_text(decided), "plan.json");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(to_text(*again), to_text(decided));
}

/// Linears, table, and what the inputs of either are multiplied by online.
std::size_t whole_bytes(const plan& decided) {
    constexpr std::size_t scales = tall_engine::width * sizeof(float);
    std::size_t bytes = bytes_of(decided) + scales +
                        packing::stored_bytes(decided.tables.weights, tall_engine::vocabulary, tall_engine::width);
    for (const model::input_plan& input : decided.inputs) {  // two linears read it
        bytes += input.target == model::scale_target::online && input.transform.scales() ? 2 * scales : 0;
    }
    return bytes;
}

plan planned(const model::engine& source, const char* name, const model::allocate_options& options = {}) {
    auto decided = make_plan(source, *quant::find_recipe(name), options);
    EXPECT_TRUE(decided) << decided.error().message;
    return *std::move(decided);
}

TEST(AllocateModel, KeepsTheBudgetAndSpendsItWhereItMatters) {
    tall_engine lender;
    const model::engine source = lender.lend_predictions();
    double before = std::numeric_limits<double>::infinity();
    for (const char* name : {"auto-5.5", "auto-6.5", "auto-8"}) {
        const plan decided = planned(source, name);
        const double bits = 8.0 * static_cast<double>(whole_bytes(decided)) / tall_engine::parameters;
        const double budget = quant::find_recipe(name)->allocation->bits;
        EXPECT_LE(bits, budget);
        EXPECT_GT(bits, budget - 0.1);
        double sum = 0.0;
        int others = 0;
        for (const model::site_plan& s : decided.sites) {
            sum += s.score;
            others += s.weights.bits;
        }
        const int odd = decided.sites[2 * tall_engine::odd_layer + 1].weights.bits;
        EXPECT_GE(odd * static_cast<int>(decided.sites.size()), others);
        EXPECT_LT(sum, before);
        before = sum;
    }
    const plan tight = planned(source, "auto-5.5");
    EXPECT_GT(tight.sites[2 * tall_engine::odd_layer + 1].weights.bits, tight.sites[1].weights.bits);
    EXPECT_FALSE(tight.sites[1].reason.empty());
    EXPECT_FALSE(tight.tables.reason.empty());
}

TEST(AllocateModel, ABudgetOfTimeIsKeptBesideThatOfBytes) {
    tall_engine lender;
    const model::engine source = lender.lend_predictions();
    // more bits are faster here, so that bytes and time pull apart
    const auto time = [](const scheme& form, std::size_t out, std::size_t in) -> result<std::uint64_t> {
        return static_cast<std::uint64_t>(9 - form.bits) * out * in;
    };
    const auto time_of = [&](const plan& decided) {
        std::uint64_t sum = *time(decided.tables.weights, tall_engine::vocabulary, tall_engine::width);
        for (std::size_t s = 0; s < decided.sites.size(); ++s) {
            sum += *time(decided.sites[s].weights, source.graph.sites[s].out_features, tall_engine::width);
        }
        return sum;
    };
    const plan free = planned(source, "auto-6.5");
    const std::uint64_t most = time_of(free) * 19 / 20;
    const plan bound = planned(source, "auto-7", {.time = time, .most_time = most});
    EXPECT_LE(time_of(bound), most);
    EXPECT_LE(8.0 * static_cast<double>(whole_bytes(bound)), 7.0 * tall_engine::parameters);
    const auto impossible = make_plan(source, *quant::find_recipe("auto-6.5"), {.time = time, .most_time = 1});
    ASSERT_FALSE(impossible);
    EXPECT_TRUE(impossible.error().message.starts_with("auto-6.5: the smallest options together take"));
}

TEST(AllocateModel, CountsWhatHasNoChoice) {
    tall_engine lender;
    const model::engine source = lender.lend_predictions();
    const model::model_size size{.parameters = tall_engine::parameters, .fixed_bytes = 5000};
    const plan decided = planned(source, "auto-6.5", {.size = size});
    EXPECT_LE(whole_bytes(decided) + 5000, static_cast<std::size_t>(6.5 * tall_engine::parameters / 8.0));
    EXPECT_LT(whole_bytes(decided), whole_bytes(planned(source, "auto-6.5")));
    EXPECT_TRUE(make_plan(source, *quant::find_recipe("auto-2")).error().message.starts_with("auto-2: the smallest"));
}

TEST(AllocateModel, GoesOnFromASurveyAndNeedsNoSecondOne) {
    tall_engine lender;
    const model::engine source = lender.lend_predictions();
    std::vector<model::model_survey> kept;
    const auto keep = [&](const model::model_survey& s) -> result<void> {
        kept.push_back(s);
        return {};
    };
    const plan whole = planned(source, "auto-6.5", {.keep = keep});
    const std::size_t trials = lender.tried.size();
    ASSERT_EQ(kept.size(), 2 * tall_engine::layers + 2);
    EXPECT_EQ(trials, 2 * tall_engine::layers + model::survey_forms.size());
    const auto half = model::survey_from_text(to_text(kept[10]), "survey.json");
    ASSERT_TRUE(half) << half.error().message;
    EXPECT_EQ(half->sites, kept[10].sites);
    EXPECT_EQ(to_text(planned(source, "auto-6.5", {.known = *half})), to_text(whole));
    EXPECT_EQ(lender.tried.size(), 2 * trials - 11);
    (void)planned(source, "auto-5.5", {.known = kept.back()});
    EXPECT_EQ(lender.tried.size(), 2 * trials - 11);
    EXPECT_FALSE(model::survey_from_text("{\"sites\": 3}", "survey.json"));
}

TEST(AllocateModel, SurveysOfSomethingElseAreRefused) {
    tall_engine lender;
    const model::engine source = lender.lend_predictions();
    model::model_survey kept;
    const auto keep = [&](const model::model_survey& s) -> result<void> {
        kept = s;
        return {};
    };
    (void)planned(source, "auto-6.5", {.subject = "this model", .keep = keep});
    const auto refuses = [&](const std::string& subject) {
        const auto decided = make_plan(source, *quant::find_recipe("auto-6.5"), {.subject = subject, .known = kept});
        return !decided && decided.error().code == errc::bad_value;
    };
    EXPECT_FALSE(refuses("this model"));
    EXPECT_TRUE(refuses("another one"));
    const model::input_plan last = kept.inputs.back();
    kept.inputs.pop_back();
    EXPECT_TRUE(refuses("this model"));
    kept.inputs.push_back(last);
    EXPECT_FALSE(refuses("this model"));
    kept.forms.pop_back();
    EXPECT_TRUE(refuses("this model"));
}

TEST(AllocateModel, PlansAreCarriedOutWithTheirTables) {
    tall_engine lender;
    const model::engine source = lender.lend_predictions();
    const plan decided = planned(source, "auto-6.5");
    const auto done = model::apply(source, decided);
    ASSERT_TRUE(done) << done.error().message;
    for (std::size_t s = 0; s < decided.sites.size(); ++s) {
        EXPECT_EQ(done->report.layers[s].weights, decided.sites[s].weights);
    }
    ASSERT_TRUE(done->rounded_tables);
    EXPECT_EQ(done->rounded_tables->embedding, done->rounded_tables->head);
    const matrix<float> rounded = quant::weight(*done->rounded_tables->head);
    const matrix<float> exact = *source.table("table");
    EXPECT_LT(relative_difference(exact, rounded), std::ldexp(2.0, -decided.tables.weights.bits));
    std::vector<float> row(tall_engine::width);
    std::get<quant::quantized_linear>(*done->rounded_tables->embedding).copy_row(3, row);
    for (std::size_t c = 0; c < row.size(); ++c) {
        EXPECT_NEAR(row[c], rounded(3, c), 1e-5);
    }
    const auto again = model::plan_from_text(to_text(decided), "plan.json");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(to_text(*again), to_text(decided));
}

TEST(AllocateModel, UntiedTablesAreTwoLinears) {
    tall_engine lender;
    model::engine source = lender.lend_predictions();
    source.graph.stream.embedding = "other";
    const plan decided = planned(source, "auto-8");
    const auto done = model::apply(source, decided);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_NE(done->rounded_tables->embedding, done->rounded_tables->head);
    EXPECT_TRUE(std::get<quant::quantized_linear>(*done->rounded_tables->embedding).online().empty());
}

TEST(AllocateModel, TablesOfAPlanAreChecked) {
    tall_engine lender;
    const model::engine source = lender.lend_predictions();
    const plan good = planned(source, "auto-8");
    const auto message = [&](const std::function<void(plan&)>& spoil) {
        plan bad = good;
        spoil(bad);
        const auto status = model::check(bad, source.graph);
        return status ? std::string("fits") : status.error().message;
    };
    EXPECT_EQ(message([](plan&) {}), "fits");
    EXPECT_EQ(message([](plan& p) { p.tables.activations.bits = 32; }),
              "plan: tables: weights and activations are both in float or both in integers");
    EXPECT_EQ(message([](plan& p) { p.tables.activations.clip = 0.0F; }),
              "plan: tables: activations of the head whose scale is still to be found");
    model::engine bare = source;
    bare.graph.stream = {};
    EXPECT_EQ(model::check(good, bare.graph).error().message, "plan: tables: the engine names none");
}

TEST(Allocate, DoesNotDependOnThreads) {
    const tall_engine lender;
    thread_pool pool(3);
    for (const char* name : {"sensiboost-3.13-s2-m2", "mxq-4.5"}) {
        EXPECT_EQ(to_text(planned(lender, name)),
                  to_text(*make_plan(lender.lend(), *quant::find_recipe(name), {.threads = pool})));
    }
}

TEST(Allocate, OtherRecipesArePlannedAsEver) {
    const tall_engine lender;
    const quant::recipe recipe = *quant::find_recipe("rtn-w8a8");
    EXPECT_EQ(to_text(planned(lender, "rtn-w8a8")), to_text(*model::make_plan(lender.lend().graph, recipe)));
}

}  // namespace
