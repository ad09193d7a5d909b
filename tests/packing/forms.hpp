// SPDX-License-Identifier: MIT
/// @file
/// Every form that panels hold, and weights in them.
#pragma once

#include "quell/core/quantized.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/two_level.hpp"
#include "quell/core/types.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace {

/// Bits, code set and zeros.
inline std::vector<quell::scheme> code_forms() {
    std::vector<quell::scheme> forms = {
        {.bits = 1, .codes = quell::code_set::sign},
        {.bits = 1, .codes = quell::code_set::sign_mean, .zeros = quell::zero_type::real}};
    for (const int bits : {2, 3, 4, 5, 6, 7, 8}) {
        forms.push_back({.bits = bits});
        forms.push_back({.bits = bits, .codes = quell::code_set::zero_point, .zeros = quell::zero_type::integer});
        forms.push_back({.bits = bits, .codes = quell::code_set::zero_point, .zeros = quell::zero_type::real});
    }
    return forms;
}

/// Each of them with every reach and type of scale.
inline std::vector<quell::scheme> all_forms() {
    std::vector<quell::scheme> forms;
    for (quell::scheme form : code_forms()) {
        for (const quell::scale_type scales :
             {quell::scale_type::f32, quell::scale_type::f16, quell::scale_type::bf16}) {
            form.scales = scales;
            for (const quell::granularity reach : {quell::granularity::tensor, quell::granularity::channel}) {
                form.reach = reach;
                form.group = 0;
                forms.push_back(form);
            }
            form.reach = quell::granularity::group;
            for (const std::size_t group : {32U, 64U, 96U, 128U}) {
                form.group = group;
                forms.push_back(form);
            }
        }
        for (const std::size_t group : {32U, 128U}) {
            if (form.bits >= 2 && (form.bits <= 4 || form.bits == 8)) {
                form.scales = quell::scale_type::codes8;
                form.group = group;
                forms.push_back(form);
            }
        }
    }
    return forms;
}

inline std::string describe(const quell::scheme& s, std::size_t n, std::size_t k) {
    return std::to_string(s.bits) + " bits, code set " + std::to_string(static_cast<int>(s.codes)) + ", zeros " +
           std::to_string(static_cast<int>(s.zeros)) + ", group " + std::to_string(s.group) + ", scale type " +
           std::to_string(static_cast<int>(s.scales)) + ", " + std::to_string(n) + " x " + std::to_string(k);
}

/// Codes from the whole range; scales and real zeros that every type of scale can hold.
inline quell::quantized random_codes(const quell::scheme& form, std::size_t n, std::size_t k, std::uint64_t seed = 1) {
    quell::rng random(seed);
    quell::quantized q = quell::make_quantized(form, n, k);
    const quell::code_range range = quell::codes_of(form);
    const auto any_code = [&] {
        return range.low + static_cast<int>(random.below(static_cast<std::size_t>(range.high - range.low + 1)));
    };
    const auto any_byte = [&] { return static_cast<int>(random.below(256)); };
    for (std::int8_t& code : q.codes.elements()) {
        code = static_cast<std::int8_t>(any_code());
    }
    for (float& scale : q.scales.elements()) {
        scale = static_cast<float>(1 + random.below(64)) / 64;
    }
    for (float& zero : q.zeros.elements()) {
        zero = form.zeros == quell::zero_type::integer    ? static_cast<float>(any_code())
               : form.scales == quell::scale_type::codes8 ? quell::zero_steps_of(form.bits).value(any_byte())
                                                          : static_cast<float>(random.below(255)) / 32 - 4;
    }
    return q;
}

inline bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

template <typename T>
bool equal_elements(const quell::matrix<T>& a, const quell::matrix<T>& b) {
    return a.rows() == b.rows() && a.cols() == b.cols() &&
           std::equal(a.elements().begin(), a.elements().end(), b.elements().begin(), b.elements().end());
}

inline bool equal(const quell::quantized& a, const quell::quantized& b) {
    return a.form == b.form && equal_elements(a.codes, b.codes) && equal_elements(a.scales, b.scales) &&
           equal_elements(a.zeros, b.zeros);
}

}  // namespace
