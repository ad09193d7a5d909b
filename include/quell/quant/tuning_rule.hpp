// SPDX-License-Identifier: MIT
/// @file
/// How the full-precision part of a quantized model is tuned after it was rounded.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/target.hpp"

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

namespace quell::quant {
inline namespace QUELL_BASELINE {

struct tuning_rule {
    std::size_t steps = 0;      ///< 0: not tuned
    std::size_t sequences = 2;  ///< of the text, in each step
    std::size_t length = 512;   ///< of a sequence, in tokens
    double rate = 0.0;          ///< the largest, relative to the size of what is tuned
    bool codes = false;         ///< the codes learn too, and the scales of every group; else the float part alone

    friend bool operator==(const tuning_rule&, const tuning_rule&) = default;
};

template <typename Visit, typename Rule>
requires(std::same_as<std::remove_const_t<Rule>, tuning_rule>) void fields(Visit& visit, Rule& rule) {
    visit("steps", rule.steps);
    visit("sequences", rule.sequences);
    visit("length", rule.length);
    visit("rate", rule.rate);
    visit("codes", rule.codes);
}

/// How the names of recipes end that tune by such a rule.
[[nodiscard]] constexpr std::string_view ending_of(const tuning_rule& rule) {
    return rule.codes ? "-qat" : "-tuned";
}

/// The name without such an ending, or as it is.
[[nodiscard]] constexpr std::string_view without_tuning(std::string_view name) {
    for (const tuning_rule& rule : {tuning_rule{.codes = false}, tuning_rule{.codes = true}}) {
        if (name.ends_with(ending_of(rule))) {
            return name.substr(0, name.size() - ending_of(rule).size());
        }
    }
    return name;
}

/// Errors   errc::bad_value for a rate outside 0 ... 1 or a step that sees no text or more than it could.
[[nodiscard]] inline result<void> check(const tuning_rule& rule) {
    constexpr std::size_t most = std::size_t{1} << 20U;
    if (rule.steps == 0) {
        return {};
    }
    const bool sees = rule.sequences > 0 && rule.length > 0 && rule.sequences <= most && rule.length <= most;
    if (!(rule.rate > 0.0 && rule.rate <= 1.0) || !sees || rule.sequences * rule.length > most) {
        return error{errc::bad_value,
                     "tuning takes a rate in 0 ... 1 and 1 ... " + std::to_string(most) + " tokens a step"};
    }
    return {};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
