// SPDX-License-Identifier: MIT
#include "quell/rounding/propagated_target.hpp"

#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"
#include "reference/propagated_target.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace {

using namespace quell;

/// Inputs x where the float model had x + d, both with channels of different sizes that go together.
struct moved_inputs {
    std::vector<std::vector<double>> x, exact;
    std::vector<std::vector<double>> gram, shift;

    moved_inputs(std::size_t tokens, std::size_t channels) : gram(channels), shift(channels) {
        rng random(7);
        for (std::size_t t = 0; t < tokens; ++t) {
            const double common = random.normal();
            std::vector<double> row, before;
            for (std::size_t j = 0; j < channels; ++j) {
                row.push_back((random.normal() + common) * (1.0 + static_cast<double>(j % 5)));
                before.push_back(row.back() + 0.3 * common + 0.1 * random.normal());
            }
            x.push_back(row);
            exact.push_back(before);
        }
        for (std::size_t i = 0; i < channels; ++i) {
            gram[i].assign(channels, 0.0);
            shift[i].assign(channels, 0.0);
            for (std::size_t t = 0; t < tokens; ++t) {
                for (std::size_t j = 0; j < channels; ++j) {
                    gram[i][j] += x[t][i] * x[t][j];
                    shift[i][j] += (exact[t][i] - x[t][i]) * x[t][j];
                }
            }
        }
    }

    /// |X v^T - (X + D) w^T|^2
    [[nodiscard]] double error(const std::vector<double>& v, const std::vector<double>& w) const {
        double sum = 0.0;
        for (std::size_t t = 0; t < x.size(); ++t) {
            double y = 0.0;
            for (std::size_t j = 0; j < v.size(); ++j) {
                y += x[t][j] * v[j] - exact[t][j] * w[j];
            }
            sum += y * y;
        }
        return sum;
    }
};

matrix<double> square_matrix(const std::vector<std::vector<double>>& rows) {
    matrix<double> m(rows.size(), rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::copy(rows[i].begin(), rows[i].end(), m.row(i).begin());
    }
    return m;
}

matrix<float> some_rows(std::size_t rows, std::size_t cols) {
    matrix<float> w(rows, cols);
    rng random(11);
    for (float& v : w.elements()) {
        v = static_cast<float>(random.normal());
    }
    return w;
}

std::vector<double> doubles(std::span<const float> row) {
    return {row.begin(), row.end()};
}

TEST(PropagatedTarget, SolvesTheNormalEquations) {
    const moved_inputs inputs(300, 70);
    const matrix<double> gram = square_matrix(inputs.gram);
    const matrix<double> shift = square_matrix(inputs.shift);
    const matrix<float> w = some_rows(40, 70);
    for (const double strength : {1.0, 0.5}) {
        const rounding::calibration_rule rule{.strength = strength, .damping = 0.02};
        const auto target = rounding::propagated_target(w.view(), shift.view(), {.gram = gram.view()}, rule);
        ASSERT_TRUE(target) << target.error().message;
        for (std::size_t r = 0; r < w.rows(); ++r) {
            const std::vector<double> expected = reference::propagated_target(doubles(w.view().row(r)), inputs.gram,
                                                                              inputs.shift, strength, rule.damping);
            for (std::size_t j = 0; j < w.cols(); ++j) {
                ASSERT_NEAR((*target)(r, j), expected[j], 1e-5) << r << ' ' << j;
            }
        }
    }
}

TEST(PropagatedTarget, NoOtherWeightComesNearerToTheFloatOutputs) {
    const moved_inputs inputs(300, 20);
    const matrix<double> gram = square_matrix(inputs.gram);
    const matrix<double> shift = square_matrix(inputs.shift);
    const matrix<float> w = some_rows(1, 20);
    const auto target = rounding::propagated_target(w.view(), shift.view(), {.gram = gram.view()}, {.damping = 0.0});
    ASSERT_TRUE(target);
    const std::vector<double> original = doubles(w.view().row(0));
    std::vector<double> v = doubles(std::as_const(*target).row(0));
    const double least = inputs.error(v, original);
    EXPECT_LT(least, 0.9 * inputs.error(original, original));
    for (double& one : v) {
        for (const double step : {-0.01, 0.01}) {
            one += step;
            EXPECT_GT(inputs.error(v, original), least);
            one -= step;
        }
    }
}

TEST(PropagatedTarget, InputsThatDidNotMoveLeaveTheWeightAlone) {
    const moved_inputs inputs(60, 30);
    const matrix<double> gram = square_matrix(inputs.gram);
    const matrix<double> none(30, 30);
    const matrix<float> w = some_rows(5, 30);
    const auto target = rounding::propagated_target(w.view(), none.view(), {.gram = gram.view()}, {});
    ASSERT_TRUE(target);
    EXPECT_TRUE(std::equal(w.elements().begin(), w.elements().end(), target->elements().begin()));
}

TEST(PropagatedTarget, ThreadsChangeNoBit) {
    const moved_inputs inputs(100, 50);
    const matrix<double> gram = square_matrix(inputs.gram);
    const matrix<double> shift = square_matrix(inputs.shift);
    const matrix<float> w = some_rows(100, 50);
    const auto alone = rounding::propagated_target(w.view(), shift.view(), {.gram = gram.view()}, {});
    thread_pool pool(3);
    const auto together =
        rounding::propagated_target(w.view(), shift.view(), {.gram = gram.view()}, {}, executor(pool));
    ASSERT_TRUE(alone && together);
    EXPECT_TRUE(std::equal(alone->elements().begin(), alone->elements().end(), together->elements().begin()));
}

TEST(PropagatedTarget, ShiftsOfAnotherSizeAreRefused) {
    const matrix<double> gram(4, 4);
    const matrix<double> shift(3, 3);
    const auto target = rounding::propagated_target(some_rows(2, 4).view(), shift.view(), {.gram = gram.view()}, {});
    ASSERT_FALSE(target);
    EXPECT_EQ(target.error().code, errc::bad_shape);
    EXPECT_EQ(target.error().message, "a shift of 3 x 3 for 4 columns");
}

}  // namespace
