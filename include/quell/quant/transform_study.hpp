// SPDX-License-Identifier: MIT
/// @file
/// What each transform would do to one shared input: nothing, smoothing, rotation, and smoothing before rotation, side
/// by side. For each of them how hard both operands are to quantize and what the outputs lose. Nothing of the model is
/// changed; a page shows the numbers, and a recipe may choose by them.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/quant/concepts.hpp"
#include "quell/quant/layer_error.hpp"
#include "quell/quant/policies.hpp"
#include "quell/stats/absmax.hpp"
#include "quell/stats/channel_magnitude.hpp"
#include "quell/stats/difficulty.hpp"
#include "quell/stats/token_max.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace quell::quant {
inline namespace QUELL_BASELINE {

enum class input_transform : std::uint8_t { none, smooth, rotate, smooth_rotate };

inline constexpr std::array input_transforms = {input_transform::none, input_transform::smooth, input_transform::rotate,
                                                input_transform::smooth_rotate};

/// The name of the policy that does it.
[[nodiscard]] constexpr std::string_view name_of(input_transform t) {
    constexpr std::array names = {no_transform::name, smooth::name, rotate::name, smooth_rotate::name};
    return names[static_cast<std::size_t>(t)];
}

struct study_options {
    float alpha = 0.5F;  ///< of smoothing
    layer_error_options error{};
};

/// An input and all weights that read it.
struct shared_input {
    matrix_view<const float> x;             ///< [tokens, in], a sample
    const stats::absmax* absmax = nullptr;  ///< over all of the calibration data; none: that of x
    weight_views weights;                   ///< each [out, in]
};

struct weight_effect {
    stats::difficulty difficulty{};  ///< its deviation is D(W)
    output_error error;
};

/// Magnitudes are L2 norms of channels, the largest first; those of the weights are over the rows of all of them.
struct transform_effect {
    input_transform transform = input_transform::none;
    stats::difficulty difficulty{};  ///< its deviation is D(X)
    float largest = 0.0F;            ///< max |X|
    std::vector<double> activation_magnitudes = {};
    std::vector<double> weight_magnitudes = {};
    std::vector<float> token_maxima = {};     ///< in the order of the rows
    std::vector<weight_effect> weights = {};  ///< in the order of the weights

    /// E over all weights.
    [[nodiscard]] double error() const {
        double sum = 0.0;
        for (const weight_effect& w : weights) {
            sum += w.error.squares;
        }
        return sum;
    }
};

namespace detail {

[[nodiscard]] inline std::vector<double> descending(std::vector<double> values) {
    std::sort(values.begin(), values.end(), std::greater<>());
    return values;
}

/// A copy of m of which `change` has changed every row.
template <typename Change>
[[nodiscard]] matrix<float> changed_copy(matrix_view<const float> m, const executor& threads, Change change) {
    constexpr std::size_t rows_per_task = 32;
    matrix<float> copy = matrix<float>::copy_of(m);
    threads.parallel_for((m.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
        const std::size_t begin = task * rows_per_task;
        change(copy.view().block(begin, 0, std::min(rows_per_task, m.rows() - begin), m.cols()));
    });
    return copy;
}

inline void study_activations(matrix_view<const float> x, transform_effect& effect) {
    stats::channel_magnitude channels;
    channels.add(x);
    effect.difficulty = stats::difficulty_of(channels.norms());
    effect.activation_magnitudes = descending(channels.norms());
    stats::token_max maxima;
    maxima.add(x);
    effect.token_maxima.assign(maxima.values().begin(), maxima.values().end());
    effect.largest = x.rows() == 0 ? 0.0F : *std::max_element(effect.token_maxima.begin(), effect.token_maxima.end());
}

inline result<transform_effect> study_change(const shared_input& input, const input_change& change,
                                             std::span<const matrix<float>> exact, const layer_error_options& options,
                                             const executor& threads) {
    transform_effect effect;
    const matrix<float> x =
        changed_copy(input.x, threads, [&](matrix_view<float> rows) { change.apply_to_input(rows); });
    study_activations(x.view(), effect);
    stats::channel_magnitude all;
    for (std::size_t i = 0; i < input.weights.size(); ++i) {
        const matrix<float> w =
            changed_copy(input.weights[i], threads, [&](matrix_view<float> rows) { change.apply_to_weight(rows); });
        stats::channel_magnitude own;
        own.add(w.view());
        all.merge(own);
        QUELL_TRY(const matrix<float> rounded, rounded_outputs(x.view(), w.view(), options, threads));
        effect.weights.push_back(
            {stats::difficulty_of(own.norms()), compare_outputs(exact[i].view(), rounded.view(), threads)});
    }
    effect.weight_magnitudes = descending(all.norms());
    return effect;
}

}  // namespace detail

/// What a transform does to an input whose maxima are `seen` and to the weights that read it.
[[nodiscard]] inline input_change change_of(input_transform t, const stats::absmax& seen, weight_views weights,
                                            float alpha) {
    switch (t) {
        case input_transform::none: break;
        case input_transform::smooth: return smooth{.alpha = alpha}.prepare(seen, {}, weights);
        case input_transform::rotate: return rotate{}.prepare(seen, {}, weights);
        case input_transform::smooth_rotate: return smooth_rotate{.alpha = alpha}.prepare(seen, {}, weights);
    }
    return {};
}

using transform_effects = std::array<transform_effect, input_transforms.size()>;

/// The effect of each of `input_transforms`, in that order. Errors are against the product of the operands as they
/// came.
///
/// Errors   errc::bad_value for NaN or infinity; errc::unsupported for bits that no kernel has.
/// Requires finite maxima; at least one row.
/// Cost     four roundings and packed products of every weight, one float product, two Hadamard transforms; the memory
///          of a copy of the activations and of one weight. The same numbers for any executor.
/// Source   "Turning LLM Activations Quantization-Friendly", arXiv 2506.01967. Differs: one smoothing for all weights
///          that read the input.
/// Oracle   reference::study (tests/reference/layer_error.hpp).
[[nodiscard]] inline result<transform_effects> study_transforms(const shared_input& input,
                                                                const study_options& options = {},
                                                                const executor& threads = {}) {
    stats::absmax sampled;
    if (input.absmax == nullptr) {
        sampled.add(input.x);
    }
    const stats::absmax& seen = input.absmax == nullptr ? sampled : *input.absmax;
    std::vector<matrix<float>> exact;
    for (const matrix_view<const float>& w : input.weights) {
        exact.push_back(exact_outputs(input.x, w, threads));
    }
    transform_effects effects;
    for (const input_transform t : input_transforms) {
        transform_effect& effect = effects[static_cast<std::size_t>(t)];
        QUELL_TRY(effect, detail::study_change(input, change_of(t, seen, input.weights, options.alpha), exact,
                                               options.error, threads));
        effect.transform = t;
    }
    return effects;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
