// SPDX-License-Identifier: MIT
#include "quell/transforms/stream_rotation.hpp"

#include "linalg/matrices.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace {

TEST(StreamRotation, WritersAndReadersMeetInTheRotatedBasis) {
    for (const std::size_t width : {40U, 64U, 576U, 6U}) {
        const quell::transforms::stream_rotation rotation(width, 7);
        const quell::matrix<double> x = random_doubles(3, 10, 1);
        quell::matrix<double> writer = random_doubles(width, 10, 2);
        quell::matrix<double> reader = random_doubles(5, width, 3);
        const quell::matrix<double> before = times(times(x, writer), reader);
        rotation.apply_to_output(writer.view());
        rotation.apply(reader.view());
        const quell::matrix<double> after = times(times(x, writer), reader);
        for (std::size_t i = 0; i < before.elements().size(); ++i) {
            EXPECT_NEAR(after.elements()[i], before.elements()[i], 1e-10 * static_cast<double>(width)) << width;
        }
    }
}

TEST(StreamRotation, WhatItDoesToAWriterCanBeTakenBack) {
    for (const std::size_t width : {40U, 64U}) {
        const quell::transforms::stream_rotation rotation(width, 7);
        const quell::matrix<double> before = random_doubles(width, 10, 2);
        quell::matrix<double> writer = quell::matrix<double>::copy_of(before.view());
        rotation.apply_to_output(writer.view());
        EXPECT_GT(std::abs(writer(3, 3) - before(3, 3)), 1e-3);
        rotation.undo_on_output(writer.view());
        for (std::size_t i = 0; i < before.elements().size(); ++i) {
            EXPECT_NEAR(writer.elements()[i], before.elements()[i], 1e-12) << width;
        }
    }
}

TEST(StreamRotation, KeepsTheLengthOfRowsAndSpreadsWhatAllChannelsShare) {
    const quell::transforms::stream_rotation rotation(256, 7);
    quell::matrix<double> x(1, 256);
    std::fill(x.elements().begin(), x.elements().end(), 1.0);
    rotation.apply(x.view());
    double squares = 0.0;
    double largest = 0.0;
    for (const double v : x.elements()) {
        squares += v * v;
        largest = std::max(largest, std::abs(v));
    }
    EXPECT_NEAR(squares, 256.0, 1e-9);
    EXPECT_LT(largest, 5.0);  // without signs one channel would be 16
}

TEST(StreamRotation, ByDefaultIsEmpty) {
    EXPECT_TRUE(quell::transforms::stream_rotation().empty());
    EXPECT_FALSE(quell::transforms::stream_rotation(8, 1).empty());
}

}  // namespace
