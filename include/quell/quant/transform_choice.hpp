// SPDX-License-Identifier: MIT
/// @file
/// The choice among transforms: each candidate is tried on sampled rows of the input, and the one with the least error
/// of the outputs is taken. The automatic choice that the difficulty metric was meant for, by what it stands for.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/concepts.hpp"
#include "quell/quant/layer_error.hpp"
#include "quell/quant/make_linear.hpp"

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// One input: what calibration left of it, and all weights that read it.
struct choice_input {
    const any_stats& seen;
    matrix_view<const float> rows;  ///< [tokens, in], a sample
    weight_views weights;
};

/// The relative error of the outputs behind one transform, the mean over tokens and then over weights: a massive token
/// counts no more than any other. An activation clip of 0 is searched on the rows.
///
/// Errors   those of rounded_outputs.
/// Cost     the weights are changed and rounded, and `rows` multiplied with them.
[[nodiscard]] inline result<double> transform_error(const any_transform& candidate, const choice_input& input,
                                                    std::span<const matrix<float>> exact,
                                                    const layer_error_options& options, const executor& threads = {}) {
    const input_change change = candidate.prepare(input.seen, {}, input.weights);
    matrix<float> x = matrix<float>::copy_of(input.rows);
    change.apply_to_input(x.view());
    const activation_scheme found = with_clip({.bits = options.activation_bits, .clip = options.activation_clip},
                                              std::as_const(x).view(), {}, threads);
    layer_error_options rounding = options;
    rounding.activation_clip = found.clip;
    double sum = 0.0;
    for (std::size_t i = 0; i < input.weights.size(); ++i) {
        matrix<float> w = matrix<float>::copy_of(input.weights[i]);
        change.apply_to_weight(w.view());
        QUELL_TRY(const matrix<float> rounded, rounded_outputs(x.view(), w.view(), rounding, threads));
        sum += compare_outputs(exact[i].view(), rounded.view(), threads).per_token;
    }
    return sum / static_cast<double>(input.weights.size());
}

/// Another candidate than the first must have less than this part of its error: what differs by less on a sample of
/// rows is as good as equal.
inline constexpr double clearly_less = 0.95;

/// The candidate of the least error, where that is clearly less than the first one's; else the first.
///
/// Requires candidates, rows and weights; the collectors of all candidates in input.seen.
/// Source   ours; the selection that arXiv 2506.01967 leaves as future work.
[[nodiscard]] inline result<any_transform> choose_transform(std::span<const any_transform> candidates,
                                                            const choice_input& input,
                                                            const layer_error_options& options,
                                                            const executor& threads = {}) {
    QUELL_EXPECTS(!candidates.empty() && !input.weights.empty(), "something to choose from, and weights");
    std::vector<matrix<float>> exact;
    for (const matrix_view<const float>& w : input.weights) {
        exact.push_back(exact_outputs(input.rows, w, threads));
    }
    any_transform best = candidates.front();
    QUELL_TRY(const double first, transform_error(best, input, exact, options, threads));
    double least = clearly_less * first;
    for (const any_transform& candidate : candidates.subspan(1)) {
        QUELL_TRY(const double error, transform_error(candidate, input, exact, options, threads));
        if (error < least) {
            least = error;
            best = candidate;
        }
    }
    return best;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
