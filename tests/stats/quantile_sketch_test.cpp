// SPDX-License-Identifier: MIT
#include "quell/stats/quantile_sketch.hpp"

#include "quell/core/rng.hpp"
#include "reference/statistics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace {

using quell::stats::quantile_sketch;

/// Normal numbers over many orders of magnitude, or close together.
std::vector<float> normal_values(std::size_t n, double spread, std::uint64_t seed) {
    quell::rng random(seed);
    std::vector<float> values;
    for (std::size_t i = 0; i < n; ++i) {
        values.push_back(static_cast<float>(random.normal() * std::exp(spread * random.normal())));
    }
    return values;
}

quantile_sketch sketch_of(std::span<const float> values) {
    quantile_sketch s;
    s.add(values);
    return s;
}

bool same(const quantile_sketch& a, const quantile_sketch& b) {
    return a.count() == b.count() && std::ranges::equal(a.counts(), b.counts());
}

TEST(QuantileSketch, StaysWithinItsErrorOfTheSortedValues) {
    for (const double spread : {0.0, 1.0, 10.0}) {
        for (const std::size_t n : {1U, 2U, 101U, 20000U}) {
            const std::vector<float> values = normal_values(n, spread, n);
            std::vector<double> magnitudes;
            for (const float v : values) {
                magnitudes.push_back(std::fabs(double{v}));
            }
            const quantile_sketch seen = sketch_of(values);
            for (const double q : {0.0, 0.001, 0.25, 0.5, 0.9, 0.999, 1.0}) {
                const double exact = reference::lower_quantile(magnitudes, q);
                EXPECT_NEAR(double{seen.quantile(q)}, exact, quantile_sketch::relative_error * exact)
                    << n << " values, quantile " << q;
            }
        }
    }
}

TEST(QuantileSketch, DoesNotDependOnOrderOrCuts) {
    std::vector<float> values = normal_values(999, 2.0, 7);
    const quantile_sketch whole = sketch_of(values);
    const std::span<const float> all = values;
    for (const std::size_t cut : {0U, 1U, 500U, 999U}) {
        quantile_sketch merged = sketch_of(all.first(cut));
        merged.merge(sketch_of(all.subspan(cut)));
        EXPECT_TRUE(same(merged, whole)) << cut;
    }
    std::ranges::reverse(values);
    EXPECT_TRUE(same(sketch_of(values), whole));
    EXPECT_TRUE(same(quantile_sketch({whole.counts().begin(), whole.counts().end()}), whole));
}

TEST(QuantileSketch, CountsZerosAsZerosAndIgnoresSigns) {
    const float tiny = std::numeric_limits<float>::denorm_min();
    EXPECT_EQ(sketch_of(std::vector<float>{0.0F, -0.0F, tiny, -tiny, 5.0F}).quantile(0.75), 0.0F);
    EXPECT_TRUE(same(sketch_of(std::vector<float>{-3.0F}), sketch_of(std::vector<float>{3.0F})));
    const float smallest = std::numeric_limits<float>::min();
    EXPECT_NEAR(double{sketch_of(std::vector<float>{0.7F * smallest}).quantile(0.5)}, 0.7 * double{smallest}, 0x1p-131);
}

TEST(QuantileSketch, PutsInfinityAndNanOnTop) {
    const std::vector<float> values = {1.0F, std::numeric_limits<float>::infinity(),
                                       -std::numeric_limits<float>::quiet_NaN()};
    const quantile_sketch seen = sketch_of(values);
    EXPECT_EQ(seen.count(), 3U);
    EXPECT_NEAR(double{seen.quantile(0.0)}, 1.0, quantile_sketch::relative_error);
    EXPECT_TRUE(std::isnan(seen.quantile(0.5)));
    EXPECT_TRUE(std::isnan(seen.quantile(1.0)));
}

TEST(QuantileSketch, IsEmptyBeforeAnyValue) {
    const quantile_sketch nothing;
    EXPECT_EQ(nothing.count(), 0U);
    EXPECT_EQ(nothing.quantile(0.5), 0.0F);
    quantile_sketch still_nothing;
    still_nothing.merge(nothing);
    EXPECT_TRUE(still_nothing.counts().empty());
}

TEST(QuantileSketch, HasBucketsThatTouch) {
    EXPECT_EQ(quantile_sketch::lower_edge(0), 0.0F);
    for (std::size_t b = 0; b + 1 < 255 * quantile_sketch::buckets / 256; ++b) {
        const float next = quantile_sketch::lower_edge(b + 1);
        const float last = std::nextafter(next, 0.0F);
        const std::vector<std::uint64_t> expected_counts = [&] {
            std::vector<std::uint64_t> counts(quantile_sketch::buckets);
            counts[b] = 1;
            counts[b + 1] = 1;
            return counts;
        }();
        ASSERT_TRUE(same(sketch_of(std::vector<float>{last, next}), quantile_sketch(expected_counts))) << b;
    }
}

}  // namespace
