// SPDX-License-Identifier: MIT
/// @file
/// The products of the kernels as plain loops: exact sums of integer codes in 64 bits, and the float orders that the
/// kernels' contract fixes.
#pragma once

#include "quell/core/scheme.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace reference {

[[nodiscard]] inline std::int64_t integer_dot(std::span<const std::int8_t> a, std::span<const std::int8_t> w) {
    std::int64_t sum = 0;
    for (std::size_t k = 0; k < w.size(); ++k) {
        sum += std::int64_t{a[k]} * w[k];
    }
    return sum;
}

/// One row of a weight as the contract of gemm() reads it; zeros is empty where there are none.
struct weight_row {
    quell::code_set codes;
    std::span<const std::int8_t> values;
    std::span<const float> scales;
    std::span<const float> zeros;
    std::size_t group;
};

/// Group after group, in the order that kernels/table.hpp fixes: what the weight's zeros and the activation's zero take
/// off the integer sum, then an fma with the scale, or with the product of both scales where `a_scales` has one a
/// group.
[[nodiscard]] inline float group_sums(std::span<const std::int8_t> a, const weight_row& w, std::int32_t a_zero,
                                      std::span<const float> a_scales) {
    float acc = 0.0F;
    for (std::size_t g = 0; g < w.scales.size(); ++g) {
        const std::size_t begin = g * w.group;
        const std::size_t length = begin + w.group < w.values.size() ? w.group : w.values.size() - begin;
        std::int64_t a_sum = 0;
        std::int64_t w_sum = 0;
        for (std::size_t k = begin; k < begin + length; ++k) {
            a_sum += a[k];
            w_sum += w.values[k];
        }
        const std::int64_t dot =
            integer_dot(a.subspan(begin, length), w.values.subspan(begin, length)) - a_zero * w_sum;
        const bool grouped = !a_scales.empty();
        const float scale = grouped ? w.scales[g] * a_scales[g] : w.scales[g];
        if (w.codes == quell::code_set::sign || w.codes == quell::code_set::sign_mean) {
            acc = std::fma(static_cast<float>(2 * dot - a_sum), scale, acc);
            if (!w.zeros.empty()) {
                acc = std::fma(static_cast<float>(a_sum), grouped ? w.zeros[g] * a_scales[g] : w.zeros[g], acc);
            }
        } else {
            const float zero = w.zeros.empty() ? 0.0F : w.zeros[g];
            acc = std::fma(std::fma(zero, -static_cast<float>(a_sum), static_cast<float>(dot)), scale, acc);
        }
    }
    return acc;
}

/// k ascending, one fma each.
[[nodiscard]] inline float float_dot(std::span<const float> x, std::span<const float> w) {
    float acc = 0.0F;
    for (std::size_t k = 0; k < w.size(); ++k) {
        acc = std::fma(x[k], w[k], acc);
    }
    return acc;
}

}  // namespace reference
