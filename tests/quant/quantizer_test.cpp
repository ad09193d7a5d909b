// SPDX-License-Identifier: MIT
#include "quell/quant/quantizer.hpp"

#include "archetypes.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/policies.hpp"
#include "quell/rounding/rtn.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace {

using namespace quell;
using namespace quell::quant;

TEST(Quantizer, NeedsNoMoreThanTheConceptsSay) {
    quantizer<archetypes::collector, archetypes::detector, archetypes::transform, archetypes::solver,
              archetypes::layout>
        q;
    matrix<float> w(3, 5);
    const matrix_view<float> view = w.view();
    q.collect(w.view());
    EXPECT_TRUE(q.reshape({&view, 1}).empty());
    const auto packed = q.round(w.view(), {.bits = 8});
    ASSERT_TRUE(packed);
    EXPECT_EQ(packed->codes.out_features(), 3U);
}

TEST(Quantizer, EmptySlotsCostNothing) {
    using bare = quantizer<no_stats, no_detector, no_transform, rounding::rtn, no_layout>;
    EXPECT_LE(sizeof(bare), sizeof(rounding::rtn) + alignof(rounding::rtn));
}

/// Picks the channels that are ten times as large as the smallest.
struct large_channels {
    [[nodiscard]] channel_set detect(const stats::absmax& seen) const {
        const auto maxima = seen.per_channel();
        const float least = *std::min_element(maxima.begin(), maxima.end());
        channel_set found;
        for (const float m : maxima) {
            found.members.push_back(m > 10.0F * least);
        }
        return found;
    }
};

TEST(Quantizer, SmoothingKeepsEveryProduct) {
    const matrix<float> x = planted_activations(20, 32, 1, {3, 17}, 50.0F);
    const matrix<float> w = random_matrix(9, 32, 2);
    matrix<float> changed = matrix<float>::copy_of(w.view());
    quantizer<stats::absmax, no_detector, smooth, rounding::rtn, panels> q{.transform = {.alpha = 0.5F}};
    q.collect(x.view());
    const matrix_view<float> view = changed.view();
    const input_change change = q.reshape({&view, 1});
    ASSERT_EQ(change.divisors.size(), 32U);
    for (std::size_t r = 0; r < 9; ++r) {
        for (std::size_t c = 0; c < 32; ++c) {
            EXPECT_NEAR(changed(r, c) / change.divisors[c], w(r, c), 1e-6F * std::abs(w(r, c)));
        }
    }
    EXPECT_GT(change.divisors[3], 3.0F * change.divisors[4]);
}

TEST(Quantizer, TheDetectorLimitsTheTransform) {
    const matrix<float> x = planted_activations(20, 32, 1, {3, 17}, 50.0F);
    matrix<float> w = random_matrix(9, 32, 2);
    quantizer<stats::absmax, large_channels, smooth, rounding::rtn, panels> q;
    q.collect(x.view());
    const matrix_view<float> view = w.view();
    const input_change change = q.reshape({&view, 1});
    for (std::size_t c = 0; c < 32; ++c) {
        EXPECT_EQ(change.divisors[c] == 1.0F, c != 3 && c != 17) << c;
    }
}

TEST(Quantizer, HandsOnTheErrorsOfSolverAndLayout) {
    matrix<float> w = random_matrix(4, 8, 1);
    any_quantizer<> q{.solver = {rounding::rtn{}}};
    constexpr scheme odd{.bits = 4, .reach = granularity::group, .group = 48};  // rounds, but no panels hold it
    EXPECT_EQ(q.round(w.view(), odd).error().code, errc::unsupported);
    EXPECT_TRUE(any_quantizer<no_layout>{}.round(w.view(), odd));
    w(2, 5) = NAN;
    const auto bad = q.round(w.view(), {.bits = 8});
    EXPECT_EQ(bad.error().code, errc::bad_value);
    EXPECT_EQ(bad.error().message, "row 2, column 5 is NaN, not a finite number");
}

TEST(AnyQuantizer, EqualsTheCompositionOfItsTypes) {
    const matrix<float> x = planted_activations(20, 64, 1, {3}, 50.0F);
    matrix<float> w1 = random_matrix(9, 64, 2);
    matrix<float> w2 = matrix<float>::copy_of(w1.view());
    quantizer<stats::absmax, no_detector, smooth, rounding::rtn, panels> typed{.transform = {.alpha = 0.7F}};
    any_quantizer<> any{.transform = {smooth{.alpha = 0.7F}}, .solver = {rounding::rtn{}}};
    any.transform.select(any.stats);
    typed.collect(x.view());
    any.collect(x.view());
    const matrix_view<float> v1 = w1.view();
    const matrix_view<float> v2 = w2.view();
    (void)typed.reshape({&v1, 1});
    (void)any.reshape({&v2, 1});
    const auto p1 = typed.round(v1, {.bits = 8});
    const auto p2 = any.round(v2, {.bits = 8});
    ASSERT_TRUE(p1 && p2);
    EXPECT_TRUE(std::equal(p1->blob().begin(), p1->blob().end(), p2->blob().begin(), p2->blob().end()));
}

TEST(InputChange, TurnsTheGramMatrixAsItTurnsTheInputs) {
    matrix<float> x = planted_activations(30, 48, 1, {3}, 20.0F);
    stats::gram before;
    before.add(x.view());
    for (const int parts : {0, 1, 2, 3}) {
        input_change change;
        if ((parts & 1) != 0) {
            change.divisors = buffer<float>::copy_of(random_matrix(1, 48, 2).elements());
        }
        if ((parts & 2) != 0) {
            change.rotation = transforms::hadamard(48);
        }
        matrix<float> changed = matrix<float>::copy_of(x.view());
        change.apply_to_input(changed.view());
        stats::gram after;
        after.add(changed.view());
        const matrix<double> expected = after.sum();
        matrix<double> gram = before.sum();
        change.apply_to_gram(gram);
        for (std::size_t i = 0; i < 48; ++i) {
            for (std::size_t j = 0; j < 48; ++j) {
                EXPECT_NEAR(gram(i, j), expected(i, j), 1e-4 * std::sqrt(expected(i, i) * expected(j, j))) << parts;
            }
        }
    }
}

TEST(InputChange, LeavesNothingNegativeOnTheDiagonalOfOneToken) {
    input_change change;
    change.rotation = transforms::hadamard(48);
    for (std::size_t channel = 0; channel < 48; ++channel) {
        matrix<float> x(1, 48);
        x(0, channel) = 0.3F;
        change.rotation.undo(x.view());
        stats::gram seen;
        seen.add(x.view());
        matrix<double> gram = seen.sum();
        change.apply_to_gram(gram);
        for (std::size_t j = 0; j < 48; ++j) {
            EXPECT_NEAR(gram(j, j), j == channel ? 0.09 : 0.0, 1e-7);
            EXPECT_GE(gram(j, j), 0.0);
        }
    }
}

TEST(CollectorSet, FeedsOnlyTheSelectedAndMerges) {
    any_stats none;
    EXPECT_FALSE(none.any_selected());
    EXPECT_EQ(none.find<stats::absmax>(), nullptr);
    any_stats first;
    first.select<stats::absmax>();
    any_stats second = first;
    any_stats whole = first;
    const matrix<float> x = random_matrix(6, 4, 1);
    none.add(x.view());
    EXPECT_EQ(none.count(), 6U);
    whole.add(x.view());
    first.add(x.view().block(0, 0, 2, 4));
    second.add(x.view().block(2, 0, 4, 4));
    first.merge(second);
    EXPECT_EQ(first.count(), 6U);
    const auto a = first.get<stats::absmax>().per_channel();
    const auto b = whole.get<stats::absmax>().per_channel();
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
}

}  // namespace
