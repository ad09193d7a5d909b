// SPDX-License-Identifier: MIT
#include "quell/core/rng.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

// From an independent implementation: files and tests depend on these bits, so they never change.
TEST(Rng, FirstNumbersAreFixed) {
    quell::rng random(20261121, 7);
    constexpr std::array<std::uint64_t, 4> expected = {0xcacfc108f511c08aU, 0xdd9bb4d0a761257aU, 0x25806ba671726f4fU,
                                                       0x27bbe2ef5c6a3107U};
    for (const std::uint64_t number : expected) {
        EXPECT_EQ(random(), number);
    }
}

TEST(Rng, HashOfTheFirstThousandIsFixed) {
    quell::rng random(42, 3);
    std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
    for (int i = 0; i < 1000; ++i) {
        const std::uint64_t number = random();
        for (unsigned byte = 0; byte < 8; ++byte) {
            hash = (hash ^ ((number >> (8 * byte)) & 0xffU)) * 0x100000001b3U;
        }
    }
    EXPECT_EQ(hash, 0xb76dbb5b25cae8fbU);
}

TEST(Rng, UniformsAreTheUpperBitsExactly) {
    quell::rng random(5);
    EXPECT_EQ(random.uniform(), 0x1.c614fae3b81afp-1);
}

TEST(Rng, StreamsDiffer) {
    quell::rng first(1, 0);
    quell::rng second(1, 1);
    quell::rng third(2, 0);
    const std::uint64_t number = first();
    EXPECT_NE(number, second());
    EXPECT_NE(number, third());
}

TEST(Rng, BelowStaysBelowAndReachesEveryValue) {
    quell::rng random(9);
    std::vector<int> counts(7, 0);
    for (int i = 0; i < 7000; ++i) {
        ++counts.at(random.below(counts.size()));
    }
    for (const int count : counts) {
        EXPECT_GT(count, 800);
    }
}

TEST(Rng, UniformsAndNormalsHaveTheirMoments) {
    constexpr int n = 100000;
    quell::rng random(3);
    double uniform = 0.0;
    double mean = 0.0;
    double square = 0.0;
    for (int i = 0; i < n; ++i) {
        const double u = random.uniform(-1.0, 3.0);
        ASSERT_TRUE(u >= -1.0 && u < 3.0);
        const double z = random.normal();
        ASSERT_TRUE(std::isfinite(z));
        uniform += u / n;
        mean += z / n;
        square += z * z / n;
    }
    EXPECT_NEAR(uniform, 1.0, 0.02);
    EXPECT_NEAR(mean, 0.0, 0.02);
    EXPECT_NEAR(square, 1.0, 0.03);
}

}  // namespace
