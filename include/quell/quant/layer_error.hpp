// SPDX-License-Identifier: MIT
/// @file
/// The layer-wise quantization error: how far the output of one linear moves when its activations and its weight are
/// both rounded. The measure by which transforms are compared, before anything is decided.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/packing/pack.hpp"
#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/forward.hpp"
#include "quell/quant/quantized_linear.hpp"
#include "quell/rounding/rtn.hpp"
#include "quell/stats/finite.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// Activations with one scale a token, symmetric or with a zero point, weights with one scale an output channel or
/// group, symmetric or with an integer zero.
struct layer_error_options {
    int activation_bits = 4;       ///< 4, 8 or 16
    int weight_bits = 4;           ///< 2, 3, 4 or 8
    std::size_t weight_group = 0;  ///< 0: whole rows
    bool weight_zeros = false;
    float activation_clip = 1.0F;  ///< the scale covers this part of a token's largest magnitude
    bool activation_zeros = false;
    rounding::clip_search weight_clip = rounding::no_clip_search;
};

struct output_error {
    double squares = 0.0;    ///< E: the sum of (exact - rounded)^2 over tokens and output channels
    double energy = 0.0;     ///< the sum of exact^2
    double per_token = 0.0;  ///< |exact - rounded|^2 / |exact|^2 of each token, and then the mean over tokens

    /// E as a share of the energy, which a few massive tokens may hold nearly alone; `per_token` counts all alike.
    [[nodiscard]] double relative() const { return squares == 0.0 ? 0.0 : squares / energy; }
};

/// What comes closest to these schemes, where a zero may be real and a scale may have 8 bits.
[[nodiscard]] inline layer_error_options rounding_of(const scheme& weights, const activation_scheme& activations) {
    return {.activation_bits = activations.bits,
            .weight_bits = weights.bits,
            .weight_group = weights.reach == granularity::group ? weights.group : 0,
            .weight_zeros = weights.zeros != zero_type::none,
            .activation_zeros = activations.zero_point};
}

/// Compares outputs row by row. Tokens without any output have no part in the mean.
///
/// Shapes   both [tokens, out].
/// Cost     the same sums for any executor: rows on their own, then in order.
[[nodiscard]] inline output_error compare_outputs(matrix_view<const float> exact, matrix_view<const float> rounded,
                                                  const executor& threads = {}) {
    QUELL_EXPECTS(exact.rows() == rounded.rows() && exact.cols() == rounded.cols(), "outputs of one shape");
    std::vector<output_error> rows(exact.rows());
    threads.parallel_for(rows.size(), [&](std::size_t r) {
        for (std::size_t c = 0; c < exact.cols(); ++c) {
            const double value = static_cast<double>(exact(r, c));
            const double difference = value - static_cast<double>(rounded(r, c));
            rows[r].squares += difference * difference;
            rows[r].energy += value * value;
        }
    });
    output_error sum;
    std::size_t counted = 0;
    for (const output_error& row : rows) {
        sum.squares += row.squares;
        sum.energy += row.energy;
        sum.per_token += row.energy > 0.0 ? row.squares / row.energy : 0.0;
        counted += row.energy > 0.0 ? 1U : 0U;
    }
    sum.per_token /= counted > 0 ? static_cast<double>(counted) : 1.0;
    return sum;
}

namespace detail {

[[nodiscard]] inline matrix<float> outputs_of(const linear& layer, matrix_view<const float> x,
                                              const executor& threads) {
    matrix<float> y(x.rows(), out_features(layer));
    buffer<std::byte> workspace(workspace_bytes(layer, x.rows()));
    forward(layer, x, y.view(), workspace, threads);
    return y;
}

}  // namespace detail

/// X W^T in float.
[[nodiscard]] inline matrix<float> exact_outputs(matrix_view<const float> x, matrix_view<const float> w,
                                                 const executor& threads = {}) {
    return detail::outputs_of(float_linear(w, {}, threads), x, threads);
}

/// Qa(X) Qw(W)^T through the packed kernels.
///
/// Shapes   x [tokens, in]; w [out, in].
/// Errors   errc::bad_value for NaN or infinity in x or w, by row and column; errc::unsupported for other bits.
[[nodiscard]] inline result<matrix<float>> rounded_outputs(matrix_view<const float> x, matrix_view<const float> w,
                                                           const layer_error_options& options = {},
                                                           const executor& threads = {}) {
    QUELL_EXPECTS(x.cols() == w.cols(), "activations as wide as the weight");
    if (const auto finite = stats::check_finite(x); !finite) {
        return finite.error().in("activations");
    }
    const scheme form = {.bits = options.weight_bits,
                         .codes = options.weight_zeros ? code_set::zero_point : code_set::symmetric,
                         .reach = options.weight_group > 0 ? granularity::group : granularity::channel,
                         .group = options.weight_group,
                         .zeros = options.weight_zeros ? zero_type::integer : zero_type::none};
    QUELL_TRY(const quantized codes, rounding::rtn{options.weight_clip}.solve(w, form, {}, threads));
    QUELL_TRY(packing::packed_matrix packed, packing::pack(codes, threads));
    QUELL_TRY(quantized_linear layer,
              quantized_linear::make(std::move(packed), {.bits = options.activation_bits,
                                                         .clip = options.activation_clip,
                                                         .zero_point = options.activation_zeros}));
    return detail::outputs_of(std::move(layer), x, threads);
}

/// E(X, W) = || X W^T - Qa(X) Qw(W)^T ||_F^2, and what it is relative to.
///
/// Shapes   x [tokens, in]; w [out, in].
/// Errors   those of rounded_outputs.
/// Source   "Turning LLM Activations Quantization-Friendly", arXiv 2506.01967. Differs: nothing passes through fp16.
/// Oracle   reference::layer_error (tests/reference/layer_error.hpp).
[[nodiscard]] inline result<output_error> layer_error(matrix_view<const float> x, matrix_view<const float> w,
                                                      const layer_error_options& options = {},
                                                      const executor& threads = {}) {
    QUELL_TRY(const matrix<float> rounded, rounded_outputs(x, w, options, threads));
    return compare_outputs(exact_outputs(x, w, threads).view(), rounded.view(), threads);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
