// SPDX-License-Identifier: MIT
#include "quell/transforms/svd_split.hpp"

#include "linalg/matrices.hpp"
#include "quell/core/rng.hpp"
#include "quell/transforms/stream_rotation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

namespace {

/// Rows with two strong directions, one of them shared by all channels, and noise.
quell::matrix<double> stream_rows(std::size_t rows, std::size_t width) {
    quell::matrix<double> x(rows, width);
    quell::rng random(11);
    for (std::size_t r = 0; r < rows; ++r) {
        const double common = 3.0 * random.normal();
        const double spike = 20.0 * random.normal();
        for (std::size_t c = 0; c < width; ++c) {
            x(r, c) = random.normal() + common + (c == 5 ? spike : 0.0);
        }
    }
    return x;
}

quell::matrix<double> gram_of(const quell::matrix<double>& x) {
    const quell::matrix<double> columns = quell::transposed(x.view());
    return times(columns, columns);
}

/// x B
quell::matrix<double> in_basis(const quell::matrix<double>& x, const quell::matrix<double>& b) {
    return times(x, quell::transposed(b.view()));
}

double energy(const quell::matrix<double>& x, std::size_t begin, std::size_t end) {
    double sum = 0.0;
    for (std::size_t r = 0; r < x.rows(); ++r) {
        for (std::size_t c = begin; c < end; ++c) {
            sum += x(r, c) * x(r, c);
        }
    }
    return sum;
}

TEST(SvdSplit, BasisIsOrthogonalWhetherAHadamardMatrixIsKnownOrNot) {
    for (const auto& [width, rank] : {std::pair<std::size_t, std::size_t>{40, 8}, {40, 0}, {40, 7}, {40, 39}}) {
        const auto split = quell::transforms::split_stream(gram_of(stream_rows(100, width)).view(), rank);
        ASSERT_TRUE(split) << split.error().message;
        for (std::size_t r = 0; r < width; ++r) {
            for (std::size_t c = 0; c < width; ++c) {
                double product = 0.0;
                for (std::size_t k = 0; k < width; ++k) {
                    product += split->basis(r, k) * split->basis(c, k);
                }
                EXPECT_NEAR(product, r == c ? 1.0 : 0.0, 1e-12) << rank;
            }
        }
    }
}

TEST(SvdSplit, LeadingDirectionsHoldTheEnergyThatItReports) {
    const quell::matrix<double> x = stream_rows(300, 40);
    double before = 0.0;
    for (const std::size_t rank : {1U, 2U, 8U, 20U}) {
        const auto split = quell::transforms::split_stream(gram_of(x).view(), rank);
        ASSERT_TRUE(split);
        const quell::matrix<double> turned = in_basis(x, split->basis);
        EXPECT_NEAR(energy(turned, 0, rank) / energy(x, 0, 40), split->captured_energy, 1e-9);
        EXPECT_NEAR(energy(turned, 0, 40), energy(x, 0, 40), 1e-9 * energy(x, 0, 40));
        EXPECT_GT(split->captured_energy, before);
        before = split->captured_energy;
    }
    EXPECT_GT(before, 0.9);
}

TEST(SvdSplit, SpreadsTheRestEvenly) {
    const quell::matrix<double> x = stream_rows(300, 40);
    for (const std::size_t rank : {2U, 8U}) {  // 38 channels have no Hadamard matrix, 32 have
        const auto split = quell::transforms::split_stream(gram_of(x).view(), rank);
        ASSERT_TRUE(split);
        const quell::matrix<double> turned = in_basis(x, split->basis);
        const double mean = energy(turned, rank, 40) / static_cast<double>(40 - rank);
        for (std::size_t c = rank; c < 40; ++c) {
            EXPECT_NEAR(energy(turned, c, c + 1) / mean, 1.0, rank == 8 ? 1e-9 : 0.6);
        }
    }
}

TEST(SvdSplit, AStreamTurnsByItAndBack) {
    const quell::matrix<double> x = stream_rows(130, 40);
    const auto split = quell::transforms::split_stream(gram_of(x).view(), 6);
    ASSERT_TRUE(split);
    const quell::transforms::stream_rotation rotation(split->basis);
    quell::matrix<double> turned = quell::matrix<double>::copy_of(x.view());
    rotation.apply(turned.view());
    const quell::matrix<double> expected = in_basis(x, split->basis);
    for (std::size_t i = 0; i < x.elements().size(); ++i) {
        EXPECT_NEAR(turned.elements()[i], expected.elements()[i], 1e-11);
    }
    rotation.undo(turned.view());
    for (std::size_t i = 0; i < x.elements().size(); ++i) {
        EXPECT_NEAR(turned.elements()[i], x.elements()[i], 1e-11);
    }
}

TEST(SvdSplit, RefusesWhatLeavesNothingOrIsNoNumber) {
    quell::matrix<double> gram = gram_of(stream_rows(20, 8));
    EXPECT_EQ(quell::transforms::split_stream(gram.view(), 8).error().code, quell::errc::bad_value);
    gram(3, 3) = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(quell::transforms::split_stream(gram.view(), 2).error().code, quell::errc::bad_value);
}

}  // namespace
