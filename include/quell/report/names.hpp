// SPDX-License-Identifier: MIT
/// @file
/// The enumerators of the scheme as words, for reports, for the plan and for the command line; and a scheme in one
/// line.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace quell::report {
inline namespace QUELL_BASELINE {

template <typename Enum>
struct named {
    Enum value;
    std::string_view name;
};

/// The words of an enumeration: one specialization each.
template <typename Enum>
inline constexpr std::array<named<Enum>, 0> words_of{};

template <>
inline constexpr std::array words_of<code_set>{
    named<code_set>{code_set::symmetric, "symmetric"}, named<code_set>{code_set::zero_point, "zero_point"},
    named<code_set>{code_set::sign, "sign"}, named<code_set>{code_set::sign_mean, "sign_mean"}};

template <>
inline constexpr std::array words_of<granularity>{
    named<granularity>{granularity::tensor, "tensor"}, named<granularity>{granularity::channel, "channel"},
    named<granularity>{granularity::token, "token"}, named<granularity>{granularity::group, "group"}};

template <>
inline constexpr std::array words_of<scale_type>{
    named<scale_type>{scale_type::f32, "f32"}, named<scale_type>{scale_type::f16, "f16"},
    named<scale_type>{scale_type::bf16, "bf16"}, named<scale_type>{scale_type::codes8, "codes8"}};

template <>
inline constexpr std::array words_of<zero_type>{named<zero_type>{zero_type::none, "none"},
                                                named<zero_type>{zero_type::integer, "integer"},
                                                named<zero_type>{zero_type::real, "real"}};

template <typename Enum>
concept named_enum = words_of<Enum>
.size() > 0;

template <named_enum Enum>
[[nodiscard]] constexpr std::string_view word_for(Enum value) {
    for (const named<Enum>& entry : words_of<Enum>) {
        if (entry.value == value) {
            return entry.name;
        }
    }
    return "?";
}

template <named_enum Enum>
[[nodiscard]] constexpr std::optional<Enum> from_word(std::string_view name) {
    for (const named<Enum>& entry : words_of<Enum>) {
        if (entry.name == name) {
            return entry.value;
        }
    }
    return std::nullopt;
}

template <typename Visit, typename Scheme>
requires(std::same_as<std::remove_const_t<Scheme>, scheme>) void fields(Visit& visit, Scheme& form) {
    visit("bits", form.bits);
    visit("codes", form.codes);
    visit("reach", form.reach);
    visit("group", form.group);
    visit("scales", form.scales);
    visit("zeros", form.zeros);
}

/// "4 bit symmetric, f16 scale per 128", "float".
[[nodiscard]] inline std::string describe(const scheme& form) {
    if (form.bits == 32) {
        return "float";
    }
    const std::string reach =
        form.reach == granularity::group ? std::to_string(form.group) : std::string(word_for(form.reach));
    return std::to_string(form.bits) + " bit " + std::string(word_for(form.codes)) + ", " +
           std::string(word_for(form.scales)) + " scale per " + reach;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::report
