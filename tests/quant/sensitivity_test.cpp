// SPDX-License-Identifier: MIT
#include "quell/quant/sensitivity.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/stats/gram.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>

namespace {

using namespace quell;

/// The mean over the rows of x of |(w - rounded) x|^2, from the definition.
double mean_output_error(const matrix<float>& w, const matrix<float>& rounded, const matrix<float>& x) {
    double sum = 0.0;
    for (std::size_t t = 0; t < x.rows(); ++t) {
        for (std::size_t o = 0; o < w.rows(); ++o) {
            double difference = 0.0;
            for (std::size_t c = 0; c < w.cols(); ++c) {
                difference += (double{w(o, c)} - double{rounded(o, c)}) * double{x(t, c)};
            }
            sum += difference * difference;
        }
    }
    return sum / static_cast<double>(x.rows());
}

TEST(OutputCost, EqualsTheErrorOfTheOutputs) {
    const matrix<float> x = planted_activations(70, 48, 1, {3, 40}, 30.0F);
    stats::gram gram;
    gram.add(x.view());
    const quant::output_cost cost(gram.sum().view(), gram.count());
    for (const std::size_t out : {1U, 7U, 33U}) {
        const matrix<float> w = random_matrix(out, 48, out);
        matrix<float> rounded = matrix<float>::copy_of(w.view());
        for (float& v : rounded.elements()) {
            v = std::nearbyint(v * 4.0F) / 4.0F;
        }
        const double expected = mean_output_error(w, rounded, x);
        EXPECT_NEAR(cost.of(w.view(), rounded.view()), expected, 1e-4 * expected);
        EXPECT_EQ(cost.of(w.view(), w.view()), 0.0);
    }
}

TEST(OutputCost, DoesNotDependOnThreads) {
    thread_pool pool(3);
    const matrix<float> x = random_matrix(40, 64, 1);
    stats::gram gram;
    gram.add(x.view());
    const matrix<float> w = random_matrix(50, 64, 2);
    const matrix<float> rounded = random_matrix(50, 64, 3);
    EXPECT_EQ(quant::output_cost(gram.sum().view(), 40).of(w.view(), rounded.view()),
              quant::output_cost(gram.sum().view(), 40, pool).of(w.view(), rounded.view()));
}

}  // namespace
