// SPDX-License-Identifier: MIT
/// @file
/// Weights and forms on which the tests of this folder try rounders.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/scheme.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// Bell-shaped rows, some with an outlier, some lopsided. Sums of uniforms only: the same bits everywhere.
inline quell::matrix<float> sample(std::size_t rows, std::size_t cols, std::uint64_t seed = 1) {
    quell::matrix<float> w(rows, cols);
    quell::rng random(seed);
    for (std::size_t r = 0; r < rows; ++r) {
        for (float& v : w.row(r)) {
            const double bell = random.uniform() + random.uniform() + random.uniform() - 1.5;
            v = static_cast<float>(bell + (r % 3 == 1 ? 0.25 : 0.0)) * 0.0625F;
        }
        if (r % 2 == 1 && cols > 0) {
            w(r, random.below(cols)) *= 8.0F;
        }
    }
    return w;
}

/// Every form that rounding to nearest accepts, at one granularity.
inline std::vector<quell::scheme> forms(quell::granularity reach, std::size_t group = 0) {
    std::vector<quell::scheme> all;
    for (int bits = 2; bits <= 8; ++bits) {
        for (const quell::scale_type scales :
             {quell::scale_type::f32, quell::scale_type::f16, quell::scale_type::bf16}) {
            for (const bool zero : {false, true}) {
                all.push_back({.bits = bits,
                               .codes = zero ? quell::code_set::zero_point : quell::code_set::symmetric,
                               .reach = reach,
                               .group = group,
                               .scales = scales,
                               .zeros = zero ? quell::zero_type::integer : quell::zero_type::none});
            }
        }
    }
    return all;
}

inline std::vector<quell::scheme> all_forms() {
    std::vector<quell::scheme> all = forms(quell::granularity::channel);
    for (const std::size_t group : {1U, 32U, 50U, 128U}) {
        const std::vector<quell::scheme> more = forms(quell::granularity::group, group);
        all.insert(all.end(), more.begin(), more.end());
    }
    return all;
}

inline std::string name(const quell::scheme& form) {
    return "bits " + std::to_string(form.bits) + ", codes " + std::to_string(static_cast<int>(form.codes)) +
           ", group " + std::to_string(form.group) + ", scales " + std::to_string(static_cast<int>(form.scales));
}

inline bool same(const quell::quantized& a, const quell::quantized& b) {
    const auto equal = [](const auto& x, const auto& y) {
        return std::equal(x.elements().begin(), x.elements().end(), y.elements().begin(), y.elements().end());
    };
    return equal(a.codes, b.codes) && equal(a.scales, b.scales) && equal(a.zeros, b.zeros);
}

/// Over codes and scales: what every compiler and processor must give.
struct code_hash {
    std::uint64_t value = 0xcbf29ce484222325U;

    void add(const quell::quantized& q) {
        for (const std::int8_t code : q.codes.elements()) {
            mix(static_cast<std::uint8_t>(code));
        }
        for (const float scale : q.scales.elements()) {
            mix(std::bit_cast<std::uint32_t>(scale));
        }
    }

private:
    void mix(std::uint32_t bits) { value = (value ^ bits) * 0x100000001b3U; }
};
