// SPDX-License-Identifier: MIT
/// @file
/// Smoothing: a scale per input channel moves what is hard to quantize from the activations into the weights. The
/// scales are made here; folding.hpp says where they go.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/views.hpp"
#include "quell/stats/absmax.hpp"
#include "quell/transforms/folding.hpp"
#include "quell/transforms/transform.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace quell::transforms {
inline namespace QUELL_BASELINE {

struct smooth_options {
    float alpha = 0.5F;   ///< 0: all difficulty stays in the activations; 1: all of it goes to the weights
    head_layout heads{};  ///< of the producer, where it is a linear behind grouped-query attention
};

namespace detail {

/// The maximum over repeated heads, per channel of the producer.
[[nodiscard]] inline std::vector<float> over_heads(std::span<const float> maxima, const head_layout& heads) {
    std::vector<float> largest(maxima.size() / heads.repeat, 0.0F);
    for (std::size_t j = 0; j < maxima.size(); ++j) {
        float& v = largest[heads.producer_channel(j)];
        v = std::max(v, maxima[j]);
    }
    return largest;
}

[[nodiscard]] inline float smooth_scale(float active, float heaviest, double alpha) {
    constexpr double smallest = 1e-5;
    if (!(active > 0.0F)) {
        return 1.0F;
    }
    const double weight = std::max(static_cast<double>(heaviest), smallest);
    return static_cast<float>(
        std::max(std::pow(static_cast<double>(active), alpha) / std::pow(weight, 1.0 - alpha), smallest));
}

}  // namespace detail

/// s_j = max|X_j|^alpha / max_l max|W_l[:, j]|^(1 - alpha), with equal scales for repeated heads.
///
/// Shapes   act_absmax [in]; every weight [out_l, in], all linears that read the same input; the result [in].
/// Requires finite maxima and weights. A channel that was never active gets scale 1.
/// Cost     one pass over the weights.
/// Source   SmoothQuant, arXiv 2211.10438, equation 4, with the clamps of 1e-5 of its code. Differs: dead channels.
/// Oracle   reference::smooth_scales (tests/reference/smooth.hpp).
[[nodiscard]] inline buffer<float> smooth_scales(std::span<const float> act_absmax,
                                                 std::span<const matrix_view<const float>> weights,
                                                 const smooth_options& options = {}) {
    QUELL_EXPECTS(act_absmax.size() % (options.heads.repeat * options.heads.size) == 0, "whole heads");
    stats::absmax columns;
    for (const matrix_view<const float>& w : weights) {
        QUELL_EXPECTS(w.cols() == act_absmax.size(), "weights as wide as the input");
        columns.add(w);
    }
    const std::vector<float> active = detail::over_heads(act_absmax, options.heads);
    std::vector<float> heaviest = detail::over_heads(columns.per_channel(), options.heads);
    heaviest.resize(active.size(), 0.0F);
    buffer<float> scales(act_absmax.size());
    for (std::size_t j = 0; j < scales.size(); ++j) {
        const std::size_t p = options.heads.producer_channel(j);
        scales[j] = detail::smooth_scale(active[p], heaviest[p], static_cast<double>(options.alpha));
    }
    return scales;
}

/// s_j = (e_j^alpha / sum_l |W_l[:, j]|^2^(1 - alpha))^(1/2), for a rotation behind it.
///
/// A rotation makes the rounding error of activations and of weights white: each costs |x / s|^2 |W diag(s)|^2, which
/// at alpha = 1/2 is the least that any s reaches (Cauchy and Schwarz). With e from stats::token_energy the tokens
/// count alike, and a massive one does not decide the scales of all.
///
/// Shapes   energy [in], mean of x_j^2 or of its share of a token; every weight [out_l, in]; the result [in].
/// Requires finite values. A channel without energy, or without weight, gets scale 1.
/// Source   Ours; the form of SmoothQuant, arXiv 2211.10438, with root mean squares instead of maxima.
[[nodiscard]] inline buffer<float> balance_scales(std::span<const double> energy,
                                                  std::span<const matrix_view<const float>> weights, double alpha) {
    std::vector<double> heaviness(energy.size(), 0.0);
    for (const matrix_view<const float>& w : weights) {
        QUELL_EXPECTS(w.cols() == energy.size(), "weights as wide as the input");
        for (std::size_t r = 0; r < w.rows(); ++r) {
            for (std::size_t j = 0; j < energy.size(); ++j) {
                const auto v = static_cast<double>(w(r, j));
                heaviness[j] += v * v;
            }
        }
    }
    buffer<float> scales(energy.size());
    for (std::size_t j = 0; j < scales.size(); ++j) {
        const bool is_dead = !(energy[j] > 0.0) || !(heaviness[j] > 0.0);
        const double s = std::sqrt(std::pow(energy[j], alpha) / std::pow(heaviness[j], 1.0 - alpha));
        scales[j] = is_dead ? 1.0F : static_cast<float>(std::clamp(s, 1e-10, 1e10));
    }
    return scales;
}

/// The transform T = diag(1 / s): x / s online, W diag(s) in the weight.
class smooth {
public:
    smooth() = default;
    explicit smooth(std::span<const float> scales) : scales_(scales.begin(), scales.end()) {}

    [[nodiscard]] std::span<const float> scales() const { return scales_; }
    void apply(matrix_view<float> weight) const { scale_columns(weight, scales_); }
    void undo(matrix_view<float> weight) const { divide_columns(weight, scales_); }
    void apply_to_input(matrix_view<float> x) const { divide_columns(x, scales_); }

private:
    std::vector<float> scales_;
};

static_assert(transform<smooth>);

}  // namespace QUELL_BASELINE
}  // namespace quell::transforms
