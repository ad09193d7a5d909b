// SPDX-License-Identifier: MIT
/// @file
/// The formats that are measured: the weight's form and the bits of the activations, by name.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/packing/layout.hpp"

#include <cstddef>
#include <optional>
#include <string_view>

namespace bench {

struct format {
    std::string_view name;
    quell::scheme weight;
    int activation_bits = 8;                           ///< of a float weight: not read
    std::optional<quell::scheme> rest = std::nullopt;  ///< of all columns but the first fifth, where columns are mixed
};

[[nodiscard]] constexpr quell::scheme grouped(int bits, std::size_t group) {
    return {.bits = bits,
            .codes = bits == 1 ? quell::code_set::sign : quell::code_set::symmetric,
            .reach = quell::granularity::group,
            .group = group,
            .scales = quell::scale_type::f16};
}

[[nodiscard]] constexpr quell::scheme with_zeros(quell::scheme form, quell::zero_type zeros) {
    form.codes = form.bits == 1 ? quell::code_set::sign_mean : quell::code_set::zero_point;
    form.zeros = zeros;
    return form;
}

inline constexpr format formats[] = {
    {"w8a8", {.bits = 8}},
    {"w8a7", {.bits = 8}, 7},
    {"w4a8-g32", grouped(4, 32)},
    {"w4a8-g64", grouped(4, 64)},
    {"w4a8-g128", grouped(4, 128)},
    {"w4a8", {.bits = 4}},
    {"w4a4-g128", grouped(4, 128), 4},
    {"w4a16-g128", grouped(4, 128), 16},
    {"w8a16", {.bits = 8}, 16},
    {"w2a8-g128", grouped(2, 128)},
    {"w3a8-g128", grouped(3, 128)},
    {"w1a8-g128", grouped(1, 128)},
    {"w1w4a8", grouped(4, 128), 8, grouped(1, 128)},
    {"f32", quell::packing::float_form},
    // Measured when they are named: what a zero a group costs.
    {"w4a8-g128-zero", with_zeros(grouped(4, 128), quell::zero_type::integer)},
    {"w4a8-g128-real", with_zeros(grouped(4, 128), quell::zero_type::real)},
    {"w1a8-g128-mean", with_zeros(grouped(1, 128), quell::zero_type::real)},
};
inline constexpr std::size_t default_formats = 14;

[[nodiscard]] inline const format* format_named(std::string_view name) {
    for (const format& f : formats) {
        if (f.name == name) {
            return &f;
        }
    }
    return nullptr;
}

}  // namespace bench
