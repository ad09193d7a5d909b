// SPDX-License-Identifier: MIT
#include "quell/stats/input_shift.hpp"

#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace {

namespace stats = quell::stats;
using quell::matrix;

/// What the float model sees, and what is left of it: 0.9 times that, and some noise.
struct pair_of_rows {
    matrix<float> exact, x;

    pair_of_rows(std::size_t rows, std::size_t channels) : exact(rows, channels), x(rows, channels) {
        quell::rng random(5);
        for (std::size_t i = 0; i < x.elements().size(); ++i) {
            exact.elements()[i] = static_cast<float>(random.normal());
            x.elements()[i] = 0.9F * exact.elements()[i] + 0.2F * static_cast<float>(random.normal());
        }
    }
};

matrix<double> shift_of(const pair_of_rows& rows, const quell::executor& threads = {}) {
    stats::input_shift shift;
    stats::gram_workspace room;
    shift.add(rows.exact.view(), rows.x.view(), threads, room);
    return shift.sum();
}

TEST(InputShift, SumsTheProductsOfDifferencesAndInputs) {
    for (const std::size_t channels : {1U, 16U, 50U, 131U}) {
        for (const std::size_t tokens : {1U, 512U, 1200U}) {
            const pair_of_rows rows(tokens, channels);
            const matrix<double> shift = shift_of(rows);
            for (std::size_t i = 0; i < channels; ++i) {
                for (std::size_t j = 0; j < channels; ++j) {
                    double sum = 0.0;
                    double magnitude = 0.0;
                    for (std::size_t t = 0; t < tokens; ++t) {
                        const double product = (double{rows.exact(t, i)} - double{rows.x(t, i)}) * double{rows.x(t, j)};
                        sum += product;
                        magnitude += std::abs(product);
                    }
                    ASSERT_NEAR(shift(i, j), sum, 1e-5 * magnitude) << tokens << ' ' << i << ' ' << j;
                }
            }
        }
    }
}

TEST(InputShift, CallsOfWholeChunksAndThreadsChangeNoBit) {
    const pair_of_rows rows(1100, 70);
    const matrix<double> whole = shift_of(rows);
    quell::thread_pool pool(3);
    const matrix<double> together = shift_of(rows, quell::executor(pool));
    stats::input_shift shift;
    stats::gram_workspace room;
    shift.add(rows.exact.view().block(0, 0, 512, 70), rows.x.view().block(0, 0, 512, 70), {}, room);
    shift.add(rows.exact.view().block(512, 0, 588, 70), rows.x.view().block(512, 0, 588, 70), {}, room);
    const matrix<double> parts = shift.sum();
    EXPECT_TRUE(std::equal(whole.elements().begin(), whole.elements().end(), together.elements().begin()));
    EXPECT_TRUE(std::equal(whole.elements().begin(), whole.elements().end(), parts.elements().begin()));
}

}  // namespace
