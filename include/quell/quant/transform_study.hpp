// SPDX-License-Identifier: MIT
/// @file
/// What each transform would do to one shared input: nothing, smoothing, rotation, and smoothing before rotation, side
/// by side. For each of them how hard both operands are to quantize and what the outputs lose. Nothing of the model is
/// changed; a page shows the numbers, and a recipe may choose by them.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/quant/layer_error.hpp"
#include "quell/stats/absmax.hpp"
#include "quell/stats/channel_magnitude.hpp"
#include "quell/stats/difficulty.hpp"
#include "quell/stats/token_max.hpp"
#include "quell/transforms/hadamard.hpp"
#include "quell/transforms/smooth.hpp"

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

[[nodiscard]] constexpr std::string_view name_of(input_transform t) {
    constexpr std::array<std::string_view, 4> names = {"none", "smooth", "rotate", "smooth+rotate"};
    return names[static_cast<std::size_t>(t)];
}

struct study_options {
    float alpha = 0.5F;               ///< of smoothing
    transforms::head_layout heads{};  ///< equal scales for repeated heads; not needed where scales stay online
    layer_error_options error{};
};

/// An input and all weights that read it.
struct shared_input {
    matrix_view<const float> x;                         ///< [tokens, in], a sample
    std::span<const float> absmax;                      ///< [in] over all of the calibration data; empty: that of x
    std::span<const matrix_view<const float>> weights;  ///< each [out, in]
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

/// Both sides of a shared input, changed together.
struct operands {
    matrix<float> x;
    std::vector<matrix<float>> weights;

    [[nodiscard]] static operands copy_of(const shared_input& input) {
        operands copy{.x = matrix<float>::copy_of(input.x), .weights = {}};
        for (const matrix_view<const float>& w : input.weights) {
            copy.weights.push_back(matrix<float>::copy_of(w));
        }
        return copy;
    }

    void smooth(std::span<const float> scales) {
        transforms::divide_columns(x.view(), scales);
        for (matrix<float>& w : weights) {
            transforms::scale_columns(w.view(), scales);
        }
    }

    void rotate(const transforms::hadamard& h, const executor& threads) {
        rotate_rows(h, x, threads);
        for (matrix<float>& w : weights) {
            rotate_rows(h, w, threads);
        }
    }

private:
    static void rotate_rows(const transforms::hadamard& h, matrix<float>& m, const executor& threads) {
        constexpr std::size_t rows_per_task = 32;
        threads.parallel_for((m.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
            const std::size_t begin = task * rows_per_task;
            h.apply(m.view().block(begin, 0, std::min(rows_per_task, m.rows() - begin), m.cols()));
        });
    }
};

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

inline result<transform_effect> study_operands(input_transform transform, const operands& changed,
                                               std::span<const matrix<float>> exact, const layer_error_options& options,
                                               const executor& threads) {
    transform_effect effect{.transform = transform};
    study_activations(changed.x.view(), effect);
    stats::channel_magnitude all;
    for (std::size_t i = 0; i < changed.weights.size(); ++i) {
        const matrix_view<const float> w = changed.weights[i].view();
        stats::channel_magnitude own;
        own.add(w);
        all.merge(own);
        QUELL_TRY(const matrix<float> rounded, rounded_outputs(changed.x.view(), w, options, threads));
        effect.weights.push_back(
            {stats::difficulty_of(own.norms()), compare_outputs(exact[i].view(), rounded.view(), threads)});
    }
    effect.weight_magnitudes = descending(all.norms());
    return effect;
}

inline buffer<float> study_scales(const shared_input& input, const study_options& options) {
    stats::absmax sampled;
    if (input.absmax.empty()) {
        sampled.add(input.x);
    }
    return transforms::smooth_scales(input.absmax.empty() ? sampled.per_channel() : input.absmax, input.weights,
                                     {.alpha = options.alpha, .heads = options.heads});
}

}  // namespace detail

using transform_effects = std::array<transform_effect, input_transforms.size()>;

/// The effect of each of `input_transforms`, in that order. Errors are against the product of the operands as they
/// came.
///
/// Errors   errc::bad_value for NaN or infinity; errc::unsupported for bits that no kernel has.
/// Requires finite maxima; at least one row.
/// Cost     four roundings and packed products of every weight, one float product, two Hadamard transforms; the memory
///          of one copy of the operands. The same numbers for any executor.
/// Source   "Turning LLM Activations Quantization-Friendly", arXiv 2506.01967. Differs: one smoothing for all weights
///          that read the input.
/// Oracle   reference::studied_error (tests/reference/layer_error.hpp).
[[nodiscard]] inline result<transform_effects> study_transforms(const shared_input& input,
                                                                const study_options& options = {},
                                                                const executor& threads = {}) {
    std::vector<matrix<float>> exact;
    for (const matrix_view<const float>& w : input.weights) {
        exact.push_back(exact_outputs(input.x, w, threads));
    }
    transform_effects effects;
    const auto study = [&](input_transform t, const detail::operands& changed) -> result<void> {
        QUELL_TRY(effects[static_cast<std::size_t>(t)],
                  detail::study_operands(t, changed, exact, options.error, threads));
        return {};
    };
    const transforms::hadamard h(input.x.cols());
    detail::operands changed = detail::operands::copy_of(input);
    QUELL_TRY_VOID(study(input_transform::none, changed));
    changed.rotate(h, threads);
    QUELL_TRY_VOID(study(input_transform::rotate, changed));
    changed = detail::operands::copy_of(input);
    changed.smooth(detail::study_scales(input, options));
    QUELL_TRY_VOID(study(input_transform::smooth, changed));
    changed.rotate(h, threads);
    QUELL_TRY_VOID(study(input_transform::smooth_rotate, changed));
    return effects;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
