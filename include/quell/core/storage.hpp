// SPDX-License-Identifier: MIT
/// @file
/// `storage_bits`: what a file stores of a weight, by name. The codes are the nominal part; everything else is what
/// nominal bits leave out.
#pragma once

#include "quell/core/target.hpp"

#include <cstddef>

namespace quell {
inline namespace QUELL_BASELINE {

struct storage_bits {
    std::size_t codes = 0;
    std::size_t scales = 0;
    std::size_t zeros = 0;   ///< and means
    std::size_t order = 0;   ///< of the columns
    std::size_t mask = 0;    ///< which weights have which form
    std::size_t online = 0;  ///< what the input is multiplied with at run time
    std::size_t side = 0;    ///< columns that stay in float

    [[nodiscard]] constexpr std::size_t total() const { return codes + scales + zeros + order + mask + online + side; }
    /// Rounded up.
    [[nodiscard]] constexpr std::size_t bytes() const { return (total() + 7) / 8; }

    constexpr void add(const storage_bits& other) {
        codes += other.codes;
        scales += other.scales;
        zeros += other.zeros;
        order += other.order;
        mask += other.mask;
        online += other.online;
        side += other.side;
    }
};

}  // namespace QUELL_BASELINE
}  // namespace quell
