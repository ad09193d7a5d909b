// SPDX-License-Identifier: MIT
#include "quell/transforms/hadamard.hpp"

#include "quell/core/matrix.hpp"
#include "quell/core/rng.hpp"
#include "reference/hadamard.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace {

using quell::matrix;
namespace transforms = quell::transforms;

template <typename T>
matrix<T> normal_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    matrix<T> m(rows, cols);
    quell::rng random(seed);
    for (T& v : m.elements()) {
        v = static_cast<T>(random.normal());
    }
    return m;
}

double largest_difference(std::span<const double> a, std::span<const double> b) {
    double largest = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::fabs(a[i] - b[i]));
    }
    return largest;
}

double dot(std::span<const double> a, std::span<const double> b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

constexpr std::size_t some_channels[] = {1, 6, 12, 52, 64, 156, 172, 196, 320, 576, 960, 1848, 3776};

TEST(HadamardTransform, EqualsTheDenseProduct) {
    for (const std::size_t n : some_channels) {
        const transforms::hadamard h(n);
        auto x = normal_matrix<double>(2, n, n);
        const std::vector<double> row(x.row(1).begin(), x.row(1).end());
        h.apply_to_input(x.view());
        const auto expected = reference::hadamard_product(h.shape(), {h.signs().begin(), h.signs().end()}, row);
        EXPECT_LE(largest_difference(x.row(1), expected), 1e-12) << n;
    }
}

TEST(HadamardTransform, IsUndone) {
    for (const std::size_t n : some_channels) {
        const transforms::hadamard h(n);
        const auto original = normal_matrix<double>(3, n, n);
        auto w = matrix<double>::copy_of(original.view());
        h.apply(w.view());
        h.undo(w.view());
        EXPECT_LE(largest_difference(w.elements(), original.elements()), 1e-12) << n;
    }
}

TEST(HadamardTransform, LeavesTheProductAsItWas) {
    for (const std::size_t n : some_channels) {
        const transforms::hadamard h(n);
        auto x = normal_matrix<double>(1, n, 1);
        auto w = normal_matrix<double>(1, n, 2);
        const double before = dot(x.row(0), w.row(0));
        h.apply_to_input(x.view());
        h.apply(w.view());
        EXPECT_NEAR(dot(x.row(0), w.row(0)), before, 1e-10) << n;
    }
}

TEST(HadamardTransform, RoundsAFloatOnce) {
    const transforms::hadamard h(960);
    auto narrow = normal_matrix<float>(2, 960, 3);
    matrix<double> wide(2, 960);
    std::copy(narrow.elements().begin(), narrow.elements().end(), wide.elements().begin());
    h.apply(narrow.view());
    h.apply(wide.view());
    for (std::size_t i = 0; i < wide.elements().size(); ++i) {
        ASSERT_EQ(narrow.elements()[i], static_cast<float>(wide.elements()[i]));
    }
}

TEST(HadamardTransform, SaysWhereItMixesOnlyBlocks) {
    EXPECT_TRUE(transforms::hadamard(11008).is_full());
    EXPECT_FALSE(transforms::hadamard(59 * 64).is_full());
    EXPECT_TRUE(transforms::hadamard().signs().empty());
}

}  // namespace
