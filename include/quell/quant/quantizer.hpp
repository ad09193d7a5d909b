// SPDX-License-Identifier: MIT
/// @file
/// `quantizer`: a composition of five policies for one shared input and the weights that read it. It holds the order of
/// the calls and nothing else; a formula here would be in the wrong file.
#pragma once

#include "quell/quant/concepts.hpp"

#include <span>
#include <utility>
#include <vector>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// `quantizer<stats::absmax, no_detector, smooth, rounding::rtn, panels>{.transform = {.alpha = 0.5F}}`: the types say
/// what, the members (named after the slots) how.
///
/// Order    collect every batch of activations; reshape all weights that read them, once; round each weight.
template <collector Stats, detector<Stats> Detector, transform<Stats> Transform, solver Solver, layout Layout>
struct quantizer {
    using packed = typename Layout::packed;

    [[no_unique_address]] Stats stats = {};
    [[no_unique_address]] Detector detector = {};
    [[no_unique_address]] Transform transform = {};
    [[no_unique_address]] Solver solver = {};
    [[no_unique_address]] Layout layout = {};

    void collect(matrix_view<const float> x) { stats.add(x); }

    /// Changes the weights in place and says what has to happen to the activations.
    ///
    /// Requires all weights that read the input, finite.
    [[nodiscard]] input_change reshape(std::span<const matrix_view<float>> weights) const {
        const std::vector<matrix_view<const float>> before(weights.begin(), weights.end());
        input_change change = transform.prepare(stats, detector.detect(stats), before);
        for (const matrix_view<float> w : weights) {
            change.apply_to_weight(w);
        }
        return change;
    }

    /// Requires `known` of the rows as the weight sees them, after reshape().
    /// Errors   those of the solver and of the layout; the caller adds the name of the site.
    [[nodiscard]] result<packed> round(matrix_view<const float> w, const scheme& form,
                                       const rounding::input_knowledge& known = {},
                                       const executor& threads = {}) const {
        QUELL_TRY(quantized q, solver.solve(w, form, known, threads));
        return layout.pack(std::move(q), threads);
    }
};

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
