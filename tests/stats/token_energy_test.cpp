// SPDX-License-Identifier: MIT
#include "quell/stats/token_energy.hpp"

#include "quell/core/matrix.hpp"
#include "quell/stats/collector.hpp"
#include "reference/statistics.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace {

static_assert(quell::stats::collector<quell::stats::token_energy>);

TEST(TokenEnergy, EqualsTheOracle) {
    const quell::matrix<float> x = planted_activations(30, 24, 5, {3}, 20.0F);
    std::vector<std::vector<double>> rows;
    for (std::size_t r = 0; r < x.rows(); ++r) {
        rows.emplace_back(x.row(r).begin(), x.row(r).end());
    }
    quell::stats::token_energy whole;
    whole.add(x.view());
    quell::stats::token_energy first;
    quell::stats::token_energy second;
    first.add(x.view().block(0, 0, 11, 24));
    second.add(x.view().block(11, 0, 19, 24));
    first.merge(second);
    const std::vector<double> oracle = reference::token_energy(rows);
    for (std::size_t j = 0; j < 24; ++j) {
        EXPECT_NEAR(whole.shares()[j], oracle[j], 1e-12 * oracle[j]);
        EXPECT_NEAR(first.shares()[j], oracle[j], 1e-12 * oracle[j]);
    }
    EXPECT_EQ(first.count(), 30U);
}

TEST(TokenEnergy, AMassiveTokenCountsAsOne) {
    quell::matrix<float> x = random_matrix(100, 16, 2);
    quell::stats::token_energy before;
    before.add(x.view());
    for (float& v : x.row(7)) {
        v *= 4096.0F;
    }
    quell::stats::token_energy after;
    after.add(x.view());
    EXPECT_EQ(before.shares(), after.shares());
}

TEST(TokenEnergy, TokensOfZerosAndNoTokensAddNothing) {
    quell::stats::token_energy energy;
    EXPECT_TRUE(energy.shares().empty());
    energy.merge(quell::stats::token_energy());
    energy.add(quell::matrix<float>(3, 4).view());
    EXPECT_EQ(energy.count(), 3U);
    EXPECT_EQ(energy.shares(), std::vector<double>(4, 0.0));
}

}  // namespace
