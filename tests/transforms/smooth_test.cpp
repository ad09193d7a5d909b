// SPDX-License-Identifier: MIT
#include "quell/transforms/smooth.hpp"

#include "quell/core/matrix.hpp"
#include "quell/core/rng.hpp"
#include "quell/transforms/folding.hpp"
#include "quell/transforms/transform.hpp"
#include "reference/smooth.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace {

using quell::matrix;
using quell::matrix_view;
namespace transforms = quell::transforms;

constexpr std::size_t channels = 24;

template <typename T>
matrix<T> sample(std::size_t rows, std::size_t cols, std::uint64_t seed, double outlier = 1.0) {
    matrix<T> x(rows, cols);
    quell::rng random(seed);
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t c = 0; c < cols; ++c) {
            x(r, c) = static_cast<T>(random.normal() * (c % 9 == 4 ? outlier : 1.0));
        }
    }
    return x;
}

template <typename T>
reference::table to_table(const matrix<T>& x) {
    reference::table rows;
    for (std::size_t r = 0; r < x.rows(); ++r) {
        rows.emplace_back(x.row(r).begin(), x.row(r).end());
    }
    return rows;
}

std::vector<float> column_absmax(const matrix<float>& x) {
    std::vector<float> maxima(x.cols(), 0.0F);
    for (std::size_t r = 0; r < x.rows(); ++r) {
        for (std::size_t c = 0; c < x.cols(); ++c) {
            maxima[c] = std::max(maxima[c], std::fabs(x(r, c)));
        }
    }
    return maxima;
}

/// The largest difference relative to the largest element.
double difference(const reference::table& a, const reference::table& b) {
    double largest = 0.0;
    double distance = 0.0;
    for (std::size_t r = 0; r < a.size(); ++r) {
        for (std::size_t c = 0; c < a[r].size(); ++c) {
            largest = std::max(largest, std::fabs(a[r][c]));
            distance = std::max(distance, std::fabs(a[r][c] - b[r][c]));
        }
    }
    return distance / largest;
}

template <typename T>
constexpr double tolerance = std::is_same_v<T, double> ? 1e-10 : 1e-4;

template <typename T>
class Folding : public testing::Test {};
using element_types = testing::Types<float, double>;
TYPED_TEST_SUITE(Folding, element_types);

quell::buffer<float> scales_for(const matrix<float>& x, const matrix<float>& w,
                                const transforms::head_layout& heads = {}) {
    const matrix_view<const float> views[] = {w.view()};
    return transforms::smooth_scales(column_absmax(x), views, {.heads = heads});
}

TEST(SmoothScales, MatchTheOracle) {
    const auto x = sample<float>(40, channels, 1, 60.0);
    const auto q = sample<float>(30, channels, 2);
    const auto k = sample<float>(10, channels, 3, 0.1);
    const matrix_view<const float> weights[] = {q.view(), k.view()};
    const std::vector<float> maxima = column_absmax(x);
    for (const float alpha : {0.0F, 0.5F, 0.85F, 1.0F}) {
        const auto scales = transforms::smooth_scales(maxima, weights, {.alpha = alpha});
        const auto expected = reference::smooth_scales({maxima.begin(), maxima.end()}, {to_table(q), to_table(k)},
                                                       static_cast<double>(alpha));
        for (std::size_t j = 0; j < channels; ++j) {
            EXPECT_NEAR(static_cast<double>(scales[j]), expected[j], 1e-6 * expected[j]);
        }
    }
}

TEST(SmoothScales, LeaveDeadChannelsAlone) {
    auto x = sample<float>(8, channels, 1);
    auto w = sample<float>(8, channels, 2);
    for (std::size_t r = 0; r < 8; ++r) {
        x(r, 3) = 0.0F;
        w(r, 5) = 0.0F;
    }
    const auto scales = scales_for(x, w);
    EXPECT_EQ(scales[3], 1.0F);
    EXPECT_TRUE(std::isfinite(scales[5]) && scales[5] > 0.0F);
}

TEST(SmoothScales, EvenOutActivationsAndWeights) {
    const auto x = sample<float>(40, channels, 1, 60.0);
    auto w = sample<float>(30, channels, 2);
    auto smoothed = matrix<float>::copy_of(x.view());
    const transforms::smooth smooth{std::span<const float>(scales_for(x, w))};
    smooth.apply(w.view());
    smooth.apply_to_input(smoothed.view());
    const auto active = column_absmax(smoothed);
    const auto heavy = column_absmax(w);
    for (std::size_t j = 0; j < channels; ++j) {
        EXPECT_NEAR(active[j], heavy[j], 1e-5F * heavy[j]);  // what alpha = 0.5 means
    }
}

TEST(SmoothScales, AreEqualForRepeatedHeads) {
    const transforms::head_layout heads{.repeat = 3, .size = 4};
    const auto x = sample<float>(16, channels, 1, 30.0);
    const auto w = sample<float>(12, channels, 2);
    const auto scales = scales_for(x, w, heads);
    for (std::size_t j = 0; j < channels; ++j) {
        const std::size_t first = j / 12 * 12 + j % 4;
        EXPECT_EQ(scales[j], scales[first]);
    }
    const auto rows = transforms::producer_scales(scales, heads);
    ASSERT_EQ(rows.size(), 8U);
    for (std::size_t p = 0; p < 8; ++p) {
        EXPECT_EQ(rows[p], scales[p / 4 * 12 + p % 4]);
    }
}

TYPED_TEST(Folding, KeepsTheProductBehindANorm) {
    using T = TypeParam;
    auto x = sample<T>(20, channels, 1, 60.0);
    auto w = sample<T>(15, channels, 2);
    const auto before = reference::multiply(to_table(x), to_table(w));
    const auto scales = scales_for(sample<float>(20, channels, 1, 60.0), sample<float>(15, channels, 2));
    transforms::divide_columns(x.view(), scales);
    transforms::scale_columns(w.view(), scales);
    EXPECT_LT(difference(before, reference::multiply(to_table(x), to_table(w))), tolerance<T>);
}

TYPED_TEST(Folding, DividesAGainAndABiasLikeTheActivations) {
    using T = TypeParam;
    auto gain = sample<T>(1, channels, 4);
    const auto before = matrix<T>::copy_of(gain.view());
    const auto scales = scales_for(sample<float>(20, channels, 1, 60.0), sample<float>(15, channels, 2));
    transforms::divide(gain.row(0), scales);
    for (std::size_t j = 0; j < channels; ++j) {
        EXPECT_EQ(gain(0, j), static_cast<T>(static_cast<double>(before(0, j)) / static_cast<double>(scales[j])));
    }
}

/// down (up x * gate): the elementwise product lets a scale pass from up's rows to down's columns.
TYPED_TEST(Folding, KeepsTheProductBehindAGate) {
    using T = TypeParam;
    const auto x = sample<T>(20, 10, 1);
    const auto gate = sample<T>(20, channels, 2);
    auto up = sample<T>(channels, 10, 3);
    auto down = sample<T>(12, channels, 4);
    const auto run = [&] {
        auto hidden = reference::multiply(to_table(x), to_table(up));
        for (std::size_t t = 0; t < hidden.size(); ++t) {
            for (std::size_t j = 0; j < channels; ++j) {
                hidden[t][j] *= static_cast<double>(gate(t, j));
            }
        }
        return reference::multiply(hidden, to_table(down));
    };
    const auto before = run();
    const auto scales = scales_for(sample<float>(20, channels, 2, 50.0), sample<float>(12, channels, 4));
    transforms::divide_rows(up.view(), scales);
    transforms::scale_columns(down.view(), scales);
    EXPECT_LT(difference(before, run()), tolerance<T>);
}

/// o attention(v): every value head feeds `repeat` heads in a row.
TYPED_TEST(Folding, KeepsTheProductBehindRepeatedHeads) {
    using T = TypeParam;
    const transforms::head_layout heads{.repeat = 3, .size = 4};
    const auto x = sample<T>(20, 10, 1);
    auto v = sample<T>(channels / 3, 10, 3);
    auto o = sample<T>(12, channels, 4);
    const auto run = [&] {
        const auto values = reference::multiply(to_table(x), to_table(v));
        reference::table repeated;
        for (const std::vector<double>& row : values) {
            repeated.emplace_back();
            for (std::size_t j = 0; j < channels; ++j) {
                repeated.back().push_back(row[heads.producer_channel(j)]);
            }
        }
        return reference::multiply(repeated, to_table(o));
    };
    const auto before = run();
    const auto scales = scales_for(sample<float>(20, channels, 2, 50.0), sample<float>(12, channels, 4), heads);
    transforms::divide_rows(v.view(), transforms::producer_scales(scales, heads));
    transforms::scale_columns(o.view(), scales);
    EXPECT_LT(difference(before, run()), tolerance<T>);
}

TYPED_TEST(Folding, RowsCanBeScaledAndDividedBack) {
    using T = TypeParam;
    auto w = sample<T>(channels, 7, 3);
    const auto before = to_table(w);
    const auto scales = scales_for(sample<float>(20, channels, 1, 60.0), sample<float>(15, channels, 2));
    transforms::scale_rows(w.view(), scales);
    transforms::divide_rows(w.view(), scales);
    EXPECT_LT(difference(before, to_table(w)), 1e-6);
}

TEST(Smooth, UndoesItself) {
    auto w = sample<float>(15, channels, 2);
    const auto before = to_table(w);
    const transforms::smooth smooth{std::span<const float>(scales_for(sample<float>(9, channels, 1, 60.0), w))};
    smooth.apply(w.view());
    EXPECT_GT(difference(before, to_table(w)), 0.1);
    smooth.undo(w.view());
    EXPECT_LT(difference(before, to_table(w)), 1e-6);
}

TEST(NoTransform, ChangesNothing) {
    auto w = sample<float>(5, channels, 2);
    const auto before = to_table(w);
    const transforms::no_transform none;
    none.apply(w.view());
    none.undo(w.view());
    none.apply_to_input(w.view());
    EXPECT_EQ(to_table(w), before);
}

/// |x / s|^2 |W diag(s)|^2: what white rounding errors behind a rotation cost.
double white_cost(std::span<const double> energy, const matrix<float>& w, std::span<const float> s) {
    double activations = 0.0;
    double weights = 0.0;
    for (std::size_t j = 0; j < energy.size(); ++j) {
        const double scale = static_cast<double>(s[j]);
        activations += energy[j] / (scale * scale);
        for (std::size_t r = 0; r < w.rows(); ++r) {
            weights += std::pow(static_cast<double>(w(r, j)) * scale, 2);
        }
    }
    return activations * weights;
}

TEST(BalanceScales, NoOtherScalesCostLess) {
    const auto w = sample<float>(15, channels, 2, 30.0);
    std::vector<double> energy(channels);
    quell::rng random(9);
    for (double& e : energy) {
        e = std::exp(3.0 * random.normal());
    }
    const matrix_view<const float> views[] = {w.view()};
    const quell::buffer<float> best = transforms::balance_scales(energy, views, 0.5);
    const double least = white_cost(energy, w, best);
    for (int trial = 0; trial < 200; ++trial) {
        quell::buffer<float> other = quell::buffer<float>::copy_of(best);
        for (float& s : other) {
            s *= static_cast<float>(std::exp(0.2 * random.normal()));
        }
        EXPECT_LT(least, white_cost(energy, w, other));
    }
    for (const double alpha : {0.3, 0.7}) {
        EXPECT_LT(least, white_cost(energy, w, transforms::balance_scales(energy, views, alpha)));
    }
}

TEST(BalanceScales, LeaveDeadChannelsAlone) {
    matrix<float> w(3, 3);
    w(0, 0) = w(1, 1) = 2.0F;
    const matrix_view<const float> views[] = {w.view()};
    const quell::buffer<float> s = transforms::balance_scales(std::vector<double>{4.0, 0.0, 4.0}, views, 0.5);
    EXPECT_EQ(s[0], 1.0F);  // (4^0.5 / 4^0.5)^0.5
    EXPECT_EQ(s[1], 1.0F);
    EXPECT_EQ(s[2], 1.0F);
}

}  // namespace
