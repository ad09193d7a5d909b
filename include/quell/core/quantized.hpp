// SPDX-License-Identifier: MIT
/// @file
/// `quantized`: the canonical, unpacked result of a rounder. Every solver produces it, every layout packs it and gives
/// it back exactly.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace quell {
inline namespace QUELL_BASELINE {

/// Shapes   codes [out, in]; scales and zeros [out, groups_per_row]; zeros is empty where the scheme has none.
/// Units    scales hold values that the scheme's scale type can store; zeros are in units of codes, but the mean of the
///          group in units of the weight where the code set is sign_mean.
struct quantized {
    scheme form;
    matrix<std::int8_t> codes;
    matrix<float> scales;
    matrix<float> zeros;

    [[nodiscard]] std::size_t out_features() const { return codes.rows(); }
    [[nodiscard]] std::size_t in_features() const { return codes.cols(); }
};

[[nodiscard]] inline quantized make_quantized(const scheme& form, std::size_t out_features, std::size_t in_features) {
    const std::size_t groups = groups_per_row(form, in_features);
    quantized q{.form = form, .codes = {out_features, in_features}, .scales = {out_features, groups}, .zeros = {}};
    if (form.zeros != zero_type::none) {
        q.zeros = {out_features, groups};
    }
    return q;
}

/// The value of one code in float, as every kernel and every report understands it; `zero` is read where the code set
/// has one.
[[nodiscard]] inline float value_of(code_set codes, float scale, float zero, float code) {
    switch (codes) {
        case code_set::symmetric: return scale * code;
        case code_set::zero_point: return scale * (code - zero);
        case code_set::sign: return scale * (2.0F * code - 1.0F);
        case code_set::sign_mean: return std::fma(scale, 2.0F * code - 1.0F, zero);
    }
    return 0.0F;
}

[[nodiscard]] inline float value_of(const quantized& q, std::size_t row, std::size_t col) {
    const std::size_t g = col / group_length(q.form, q.in_features());
    const float zero = q.form.zeros == zero_type::none ? 0.0F : q.zeros(row, g);
    return value_of(q.form.codes, q.scales(row, g), zero, static_cast<float>(q.codes(row, col)));
}

/// W^ [out, in] in float. Same bits on every ISA.
[[nodiscard]] inline matrix<float> dequantize(const quantized& q) {
    matrix<float> w(q.out_features(), q.in_features());
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t c = 0; c < w.cols(); ++c) {
            w(r, c) = value_of(q, r, c);
        }
    }
    return w;
}

}  // namespace QUELL_BASELINE
}  // namespace quell
