// SPDX-License-Identifier: MIT
/// @file
/// The twelve forms of the layer-sensitivity paper, from the smallest to the largest, and the boost: a layer that
/// stands out takes a form some steps up.
#pragma once

#include "quell/core/target.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace quell::alloc {
inline namespace QUELL_BASELINE {

/// Codes of `bits`, and for each `group` of them a scale and a zero of 8 bits.
struct rung {
    std::string_view label;  ///< bits a parameter, rounded
    int bits;
    std::size_t group;

    /// Scale and zero at 8 bits a group, and a pair of 16 bits for 128 groups.
    [[nodiscard]] constexpr double bits_per_parameter() const {
        const auto length = static_cast<double>(group);
        return bits + 16.0 / length + 32.0 / (128.0 * length);
    }
};

/// Source   table 1 of "A Sensitivity-based Approach to Mixed-Precision Quantization" (SensiBoost and KurtBoost), arXiv
///          2503.06518.
inline constexpr std::array boost_ladder = {rung{"2.13", 2, 128}, rung{"2.25", 2, 64}, rung{"2.51", 2, 32},
                                            rung{"3.13", 3, 128}, rung{"3.25", 3, 64}, rung{"3.51", 3, 32},
                                            rung{"4.13", 4, 128}, rung{"4.25", 4, 64}, rung{"4.51", 4, 32},
                                            rung{"8.13", 8, 128}, rung{"8.25", 8, 64}, rung{"8.51", 8, 32}};

/// Where on the ladder a label stands, such as "4.25".
[[nodiscard]] constexpr std::optional<std::size_t> rung_named(std::string_view label) {
    for (std::size_t r = 0; r < boost_ladder.size(); ++r) {
        if (boost_ladder[r].label == label) {
            return r;
        }
    }
    return std::nullopt;
}

/// `stop` steps up from a rung, and no further than the top: 4.13 becomes 4.51 by two, 4.25 an 8-bit form.
[[nodiscard]] constexpr std::size_t boosted(std::size_t base, std::size_t stop) {
    return base + std::min(stop, boost_ladder.size() - 1 - base);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::alloc
