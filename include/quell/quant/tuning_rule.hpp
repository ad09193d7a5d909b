// SPDX-License-Identifier: MIT
/// @file
/// How the full-precision part of a quantized model is tuned after it was rounded.
#pragma once

#include "quell/core/target.hpp"

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace quell::quant {
inline namespace QUELL_BASELINE {

struct tuning_rule {
    std::size_t steps = 0;      ///< 0: not tuned
    std::size_t sequences = 2;  ///< of the text, in each step
    std::size_t length = 512;   ///< of a sequence, in tokens
    double rate = 0.0;          ///< the largest, relative to the size of what is tuned

    friend bool operator==(const tuning_rule&, const tuning_rule&) = default;
};

template <typename Visit, typename Rule>
requires(std::same_as<std::remove_const_t<Rule>, tuning_rule>) void fields(Visit& visit, Rule& rule) {
    visit("steps", rule.steps);
    visit("sequences", rule.sequences);
    visit("length", rule.length);
    visit("rate", rule.rate);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
