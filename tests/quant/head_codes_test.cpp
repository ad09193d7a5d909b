// SPDX-License-Identifier: MIT
#include "quell/quant/head_codes.hpp"

#include "quell/core/matrix.hpp"
#include "reference/head_codes.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

std::vector<double> through_codes(const quell::quant::head_scheme& form, std::span<const float> x) {
    std::vector<std::uint8_t> codes(x.size());
    const quell::quant::head_range range = quell::quant::quantize_head(form, x, codes);
    std::vector<double> values;
    for (const std::uint8_t code : codes) {
        values.push_back(double{range.scale} * code + double{range.minimum});
    }
    return values;
}

TEST(HeadCodes, EqualTheOracle) {
    for (const int bits : {8, 4}) {
        for (const float clip : {1.0F, 0.95F}) {
            const quell::matrix<float> x = random_matrix(50, 64, 3);
            for (std::size_t r = 0; r < x.rows(); ++r) {
                const auto values = through_codes({.bits = bits, .clip = clip}, x.row(r));
                const auto oracle = reference::head_codes(x.row(r), bits, double{clip});
                for (std::size_t i = 0; i < values.size(); ++i) {
                    EXPECT_NEAR(values[i], oracle[i], 1e-5) << bits;
                }
            }
        }
    }
}

TEST(HeadCodes, HoldZerosConstantsAndOneSign) {
    for (const int bits : {8, 4}) {
        const quell::quant::head_scheme form{.bits = bits, .clip = 1.0F};
        for (const double v : through_codes(form, std::vector<float>(16, 0.0F))) {
            EXPECT_EQ(v, 0.0);
        }
        for (const float constant : {3.0F, -3.0F}) {
            for (const double v : through_codes(form, std::vector<float>(16, constant))) {
                EXPECT_NEAR(v, double{constant}, 1e-5);
            }
        }
    }
}

}  // namespace
