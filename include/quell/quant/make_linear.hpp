// SPDX-License-Identifier: MIT
/// @file
/// One weight and a composition of policies become one linear: all that an engine needs that replaces a single layer.
/// recipe_linear.hpp does the same by the name of a recipe. Whole models go through model/apply.hpp, which can fold
/// scales into what stands before the layer.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/forward.hpp"
#include "quell/quant/quantizer.hpp"
#include "quell/rounding/activation_clip.hpp"
#include "quell/stats/absmax.hpp"
#include "quell/stats/channel_magnitude.hpp"
#include "quell/stats/finite.hpp"
#include "quell/stats/gram.hpp"
#include "quell/transforms/folding.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// What a linear keeps of its weight, and what it makes of its activations.
struct linear_form {
    scheme weights;
    activation_scheme activations = {};
};

/// The scheme with the static scale that `seen` asks for, if it still needs one.
///
/// Units    scale = clip * absmax of the changed input / largest code.
/// Requires stats::absmax in `seen` where the scheme needs calibration.
template <collector Stats>
[[nodiscard]] activation_scheme calibrated(activation_scheme form, const Stats& seen, const input_change& change) {
    if (!form.needs_scale()) {
        return form;
    }
    const auto* absmax = find_statistic<stats::absmax>(seen);
    QUELL_EXPECTS(absmax != nullptr, "absmax was collected");
    const std::span<const float> maxima = absmax->per_channel();
    float largest = 0.0F;
    for (std::size_t j = 0; j < maxima.size(); ++j) {
        largest = std::max(largest, change.divisors.empty() ? maxima[j] : maxima[j] / change.divisors[j]);
    }
    form.static_scale = form.scale_for(largest);
    return form;
}

/// The scheme with the clip that loses least on these rows, if it still needs one.
///
/// Shapes   rows [tokens, in], before the change; behind it the first `float_features` channels stay in float.
[[nodiscard]] inline activation_scheme with_clip(activation_scheme form, matrix_view<const float> rows,
                                                 const input_change& change, const executor& threads = {},
                                                 std::size_t float_features = 0) {
    if (form.needs_clip()) {
        matrix<float> changed = matrix<float>::copy_of(rows);
        change.apply_to_input(changed.view(), threads);
        const matrix_view<float> quantized =
            changed.view().block(0, float_features, rows.rows(), rows.cols() - float_features);
        form.clip = rounding::find_activation_clip(quantized, form.bits, threads);
    }
    return form;
}

/// The mean square of every channel of the changed input; empty where nobody collected it.
///
/// Requires a change that does not rotate.
template <collector Stats>
[[nodiscard]] buffer<float> importance_of(const Stats& seen, const input_change& change) {
    const auto* magnitude = find_statistic<stats::channel_magnitude>(seen);
    std::vector<double> squares = magnitude == nullptr ? std::vector<double>() : magnitude->mean_squares();
    for (int power = 0; power < 2 && !change.divisors.empty(); ++power) {
        transforms::divide(squares, change.divisors);
    }
    buffer<float> importance(squares.size());
    std::transform(squares.begin(), squares.end(), importance.begin(), [](double s) { return static_cast<float>(s); });
    return importance;
}

namespace detail {

[[nodiscard]] inline result<void> check_layer(matrix_view<const float> w, std::span<const float> bias) {
    if (auto finite = stats::check_finite(w); !finite) {
        return finite.error().in("weight");
    }
    if (!bias.empty() && bias.size() != w.rows()) {
        return error{errc::bad_shape, "bias has " + std::to_string(bias.size()) + " entries, the weight asks for " +
                                          std::to_string(w.rows())};
    }
    return {};
}

/// A collector without members remembers nothing of the rows, a set of collectors without selected ones neither.
template <collector Stats>
[[nodiscard]] bool wants_rows(const Stats& seen) {
    if constexpr (requires { seen.any_selected(); }) {
        return seen.any_selected();
    } else {
        return !std::is_empty_v<Stats>;
    }
}

[[nodiscard]] inline result<void> check_inputs(matrix_view<const float> inputs, matrix_view<const float> w) {
    if (inputs.rows() == 0) {
        return error{errc::not_found, "the composition needs rows of inputs"};
    }
    if (inputs.cols() != w.cols()) {
        return error{errc::bad_shape, "inputs have " + std::to_string(inputs.cols()) + " columns, the weight has " +
                                          std::to_string(w.cols())};
    }
    if (auto finite = stats::check_finite(inputs); !finite) {
        return finite.error().in("inputs");
    }
    return {};
}

[[nodiscard]] inline matrix<double> changed_gram(matrix_view<const float> inputs, const input_change& change,
                                                 const executor& threads) {
    stats::gram seen;
    seen.add(inputs, threads);
    matrix<double> gram = seen.sum(threads);
    change.apply_to_gram(gram, threads);
    return gram;
}

/// A weight that is ready to be rounded, and what is known of the rows that it will be multiplied with.
struct layer_problem {
    matrix<float> w = {};  ///< changed
    input_change change = {};
    activation_scheme activations = {};  ///< calibrated
    matrix<double> gram = {};
    buffer<float> importance = {};
    std::uint64_t tokens = 0;

    [[nodiscard]] rounding::input_knowledge known() const {
        return {.importance = importance, .gram = gram.view(), .tokens = tokens};
    }
};

/// All that comes before the rounding.
template <typename Quantizer>
[[nodiscard]] result<layer_problem> prepare_layer(Quantizer& how, const activation_scheme& activations,
                                                  matrix_view<const float> w, matrix_view<const float> inputs,
                                                  const executor& threads) {
    if (wants_rows(how.stats) || activations.needs_clip() || rounding::needs_gram(how.solver)) {
        QUELL_TRY_VOID(check_inputs(inputs, w));
        how.collect(inputs);
    }
    layer_problem problem{.w = matrix<float>::copy_of(w), .tokens = inputs.rows()};
    const matrix_view<float> view = problem.w.view();
    problem.change = how.reshape({&view, 1});
    if (rounding::needs_gram(how.solver)) {
        problem.gram = changed_gram(inputs, problem.change, threads);
    }
    if (rounding::needs_importance(how.solver)) {
        if (!problem.change.rotation.empty()) {
            return error{errc::unsupported, "the importance of channels that a rotation mixes"};
        }
        problem.importance = importance_of(how.stats, problem.change);
    }
    problem.activations =
        with_clip(calibrated(activations, how.stats, problem.change), inputs, problem.change, threads);
    return problem;
}

}  // namespace detail

/// Shapes   w [out, in]; bias [out] or empty; inputs [tokens, in], rows of calibration data, empty where no policy of
///          the composition collects anything.
/// Errors   errc::bad_value for NaN or infinity, by row and column; errc::bad_shape; errc::not_found without the
///          calibration rows that the composition needs; errc::unsupported for static activation scales from a
///          composition that does not collect stats::absmax.
template <collector Stats, detector<Stats> Detector, transform<Stats> Transform, solver Solver, layout Layout>
requires std::same_as<typename Layout::packed, packing::packed_matrix>
[[nodiscard]] result<quantized_linear> make_linear(quantizer<Stats, Detector, Transform, Solver, Layout> how,
                                                   const linear_form& form, matrix_view<const float> w,
                                                   std::span<const float> bias = {},
                                                   matrix_view<const float> inputs = {}, const executor& threads = {}) {
    QUELL_TRY_VOID(detail::check_layer(w, bias));
    if (form.activations.needs_scale() && find_statistic<stats::absmax>(how.stats) == nullptr) {
        return error{errc::unsupported, "static activation scales need a composition that collects absmax"};
    }
    QUELL_TRY(const detail::layer_problem problem, detail::prepare_layer(how, form.activations, w, inputs, threads));
    QUELL_TRY(packing::packed_matrix packed, how.round(problem.w.view(), form.weights, problem.known(), threads));
    return quantized_linear::make(std::move(packed), problem.activations, bias, online_part(problem.change));
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
