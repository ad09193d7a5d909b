// SPDX-License-Identifier: MIT
#include "quell/tuning/adamw.hpp"

#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"
#include "quell/tuning/cosine_schedule.hpp"
#include "quell/tuning/gradient_clipping.hpp"
#include "reference/adamw.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

using namespace quell;
using namespace quell::tuning;

template <typename T>
void fill_with_normals(matrix<T>& m, std::uint64_t seed) {
    rng random(seed);
    for (T& v : m.elements()) {
        v = static_cast<T>(random.normal());
    }
}

TEST(AdamW, TakesTheStepsOfThePaper) {
    constexpr reference::adamw_rule rule{.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1};
    parameter<double> decayed("w", 3, 5);
    parameter<double> gain("g", 1, 4);
    gain.is_gain = true;
    gain.unit = 0.25;
    fill_with_normals(decayed.value, 1);
    fill_with_normals(gain.value, 2);
    std::vector<reference::adamw_value> expected;
    for (parameter<double>* p : {&decayed, &gain}) {
        for (const double v : p->value.elements()) {
            expected.push_back({.value = v});
        }
    }
    adamw<double> optimizer({&decayed, &gain},
                            {.beta1 = rule.beta1, .beta2 = rule.beta2, .eps = rule.eps, .weight_decay = 0.1});
    for (std::size_t t = 1; t <= 7; ++t) {
        const double rate = 0.01 * static_cast<double>(t);
        std::size_t i = 0;
        for (parameter<double>* p : {&decayed, &gain}) {
            fill_with_normals(p->gradient, 10 + t);
            reference::adamw_rule own = rule;
            own.weight_decay = p->is_gain ? 0.0 : rule.weight_decay;
            for (const double g : p->gradient.elements()) {
                expected[i++].step(g, rate, t, own, p->unit);
            }
        }
        optimizer.step(rate, {});
    }
    EXPECT_EQ(optimizer.steps(), 7U);
    std::size_t i = 0;
    for (parameter<double>* p : {&decayed, &gain}) {
        for (const double v : p->value.elements()) {
            EXPECT_NEAR(v, expected[i++].value, 1e-13) << p->name;
        }
        EXPECT_TRUE(std::ranges::all_of(p->gradient.elements(), [](double g) { return g == 0.0; })) << p->name;
    }
}

TEST(GradientClipping, ShortensWhatIsTooLongAndNothingElse) {
    parameter<double> a("a", 2, 3);
    parameter<double> b("b", 1, 3);
    fill_with_normals(a.gradient, 3);
    fill_with_normals(b.gradient, 4);
    std::vector<double> whole(a.gradient.elements().begin(), a.gradient.elements().end());
    whole.insert(whole.end(), b.gradient.elements().begin(), b.gradient.elements().end());
    parameter<double>* const both[] = {&a, &b};
    const double length = gradient_length<double>(both, {});
    EXPECT_EQ(clip_gradients<double>(both, 2.0 * length, {}), length);
    EXPECT_TRUE(std::equal(a.gradient.elements().begin(), a.gradient.elements().end(), whole.begin()));
    EXPECT_EQ(clip_gradients<double>(both, 0.5, {}), length);
    const std::vector<double> expected = reference::clip(whole, 0.5);
    for (std::size_t i = 0; i < whole.size(); ++i) {
        EXPECT_NEAR(i < 6 ? a.gradient.elements()[i] : b.gradient.elements()[i - 6], expected[i], 1e-15);
    }
    EXPECT_NEAR(gradient_length<double>(both, {}), 0.5, 1e-15);
}

TEST(AdamW, AndClippingHaveTheSameBitsForAnyNumberOfThreads) {
    std::vector<std::vector<float>> results;
    for (const std::size_t count : {1U, 2U, 5U}) {
        thread_pool pool(count);
        parameter<float> p("p", 37, 401);  // more than one task, the last one short
        fill_with_normals(p.value, 5);
        adamw<float> optimizer({&p});
        parameter<float>* const all[] = {&p};
        for (std::uint64_t step = 0; step < 3; ++step) {
            fill_with_normals(p.gradient, 6 + step);
            clip_gradients<float>(all, 1.0, pool);
            optimizer.step(1e-2, pool);
        }
        results.emplace_back(p.value.elements().begin(), p.value.elements().end());
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
}

TEST(CosineSchedule, WarmsUpAndFallsToItsFloor) {
    const cosine_schedule schedule{.peak = 1.0, .floor = 0.1, .warm_up = 10, .steps = 1000};
    EXPECT_DOUBLE_EQ(schedule.rate(0), 0.1);
    EXPECT_DOUBLE_EQ(schedule.rate(9), 1.0);
    EXPECT_NEAR(schedule.rate(505), 0.55, 1e-12);
    EXPECT_NEAR(schedule.rate(999), 0.1, 1e-4);
}

TEST(CosineSchedule, OfAFewStepsNeverRisesAboveItsPeak) {
    for (const std::size_t steps : {1U, 2U, 5U, 15U}) {
        const cosine_schedule schedule{.peak = 1.0, .steps = steps};
        for (std::size_t step = 0; step < steps; ++step) {
            EXPECT_GT(schedule.rate(step), 0.0) << step << " of " << steps;
            EXPECT_LE(schedule.rate(step), 1.0) << step << " of " << steps;
        }
    }
}

}  // namespace
