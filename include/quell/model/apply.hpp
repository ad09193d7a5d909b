// SPDX-License-Identifier: MIT
/// @file
/// Carries out a plan on an engine's model, one shared input after the other: take the weights that read it, change
/// them together with what stands before, round, pack. Only the weights of one input are in memory a second time.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/check.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/model/apply_options.hpp"
#include "quell/model/engine.hpp"
#include "quell/model/input_changes.hpp"
#include "quell/model/measure.hpp"
#include "quell/model/plan.hpp"
#include "quell/model/plan_check.hpp"
#include "quell/model/propagation.hpp"
#include "quell/model/solver_knowledge.hpp"
#include "quell/model/table_rounding.hpp"
#include "quell/packing/layout.hpp"
#include "quell/packing/pack.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/make_linear.hpp"
#include "quell/quant/rounded_weight.hpp"
#include "quell/transforms/folding.hpp"
#include "quell/transforms/hadamard.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// The plan carried out: one linear for every site, and the norm gains that scales were folded into.
///
/// Requires source.weight; the other callbacks where the plan needs them.
/// Errors   those of check(plan, graph), of calibrate() and of the solvers and layouts, with the name of the site, such
///          as "blk.3.ffn_down: row 7, column 12 is NaN, not a finite number".
/// Cost     the result is the same for any executor, but for the seconds in the report.
[[nodiscard]] result<quantized_model> apply(const engine& source, const plan& decided,
                                            const apply_options& options = {});

namespace detail {

class stopwatch {
public:
    [[nodiscard]] double seconds() const { return std::chrono::duration<double>(clock::now() - start_).count(); }

private:
    using clock = std::chrono::steady_clock;
    clock::time_point start_ = clock::now();
};

/// One run of apply(): decide every change, then take the weights of one input after the other, change them, round
/// them, pack them.
class application {
public:
    application(const engine& source, const plan& decided, const apply_options& options)
        : source_(source),
          options_(options),
          inputs_(source, decided, options, is_propagated(decided, options)),
          linears_(source.graph.sites.size()) {
        if (is_propagated(decided, options)) {
            propagation_.emplace(source, decided.calibration, options.threads);
        }
        model_.report.recipe = decided.recipe;
        model_.report.layers.resize(source.graph.sites.size());
    }

    result<quantized_model> run() && {
        const stopwatch watch;
        QUELL_TRY_VOID(inputs_.collect());
        model_.report.calibration_seconds = watch.seconds();
        QUELL_TRY_VOID(inputs_.decide());
        model_.report.captured_energy = inputs_.captured_energy();
        for (std::size_t s = 0; s < linears_.size(); ++s) {
            QUELL_TRY_VOID(finish_site(s));
        }
        QUELL_TRY_VOID(finish_tables());
        for (std::size_t s = 0; s < linears_.size() && !options_.consider; ++s) {
            model_.linears.push_back(*std::move(linears_[s]));
        }
        model_.decided = inputs_.decided();
        model_.gains = inputs_.network().take_gains();
        model_.tables = inputs_.network().take_tables();
        model_.report.seconds = watch.seconds();
        return std::move(model_);
    }

private:
    static bool is_propagated(const plan& decided, const apply_options& options) {
        return decided.calibration.is_propagated() && !options.keep_float && !options.consider;
    }

    /// The change as this site takes part in it: one that stays in float needs no rotation of its own, and no scale
    /// that nobody else applies.
    [[nodiscard]] quant::input_change change_of(std::size_t s) {
        const std::size_t i = source_.graph.sites[s].input;
        const quant::input_change& change = inputs_.change(i);
        const bool is_whole =
            !inputs_.plan_of_site(s).is_float() || inputs_.plan_of_input(i).target == scale_target::stream;
        return {
            .divisors = is_whole || inputs_.is_folded(i) ? buffer<float>::copy_of(change.divisors) : buffer<float>(),
            .rotation = is_whole ? change.rotation : transforms::hadamard(),
            .stream = change.stream};
    }

    [[nodiscard]] quant::online_input online_of(std::size_t s, const quant::input_change& change) {
        return quant::online_part(change, inputs_.is_folded(source_.graph.sites[s].input));
    }

    /// The weight of a site as it will be rounded, but for what propagation makes of it.
    [[nodiscard]] result<matrix<float>> changed_weight(std::size_t s, const quant::input_change& change) {
        QUELL_TRY(const matrix<float> original, inputs_.network().weight(s));
        matrix<float> w = matrix<float>::copy_of(original.view());
        change.apply_to_weight(w.view(), options_.threads);
        inputs_.network().rotate_output(s, w.view(), options_.threads);
        return result<matrix<float>>(std::move(w));
    }

    result<void> finish_site(std::size_t s) {
        const stopwatch watch;
        const site& where = source_.graph.sites[s];
        if (at_work_ != where.input) {
            knowledge_.enter();
            at_work_ = where.input;
        }
        const quant::input_change change = change_of(s);
        QUELL_TRY(matrix<float> w, changed_weight(s, change));
        if (options_.consider) {
            return consider_site(s, w.view(), change);
        }
        describe(s, change);
        const auto status = inputs_.stays_float(s) ? keep_float(s, w.view(), change) : round_site(s, w.view(), change);
        if (!status) {
            return status.error().in(where.name);
        }
        release_gram(s);
        report::layer_report& report = model_.report.layers[s];
        report.memory_bytes = quant::bytes(*linears_[s]);
        report.seconds = watch.seconds();
        report_progress(options_.progress, "quantize", where.name, ++finished_, linears_.size());
        return {};
    }

    result<void> consider_site(std::size_t s, matrix_view<const float> w, const quant::input_change& change) {
        if (!inputs_.stays_float(s)) {
            QUELL_TRY_VOID(
                options_.consider({.site = s,
                                   .w = w,
                                   .known = knowledge_for(inputs_.plan_of_site(s).solver, source_.graph.sites[s].input),
                                   .restore = [&](matrix_view<float> rounded) { restore(s, rounded, change); }}));
        }
        release_gram(s);
        report_progress(options_.progress, "consider", source_.graph.sites[s].name, ++finished_, linears_.size());
        return {};
    }

    /// Embedding and head, which are no sites.
    result<void> finish_tables() {
        if (!inputs_.rounds_tables()) {
            return {};
        }
        const table_plan& decided = inputs_.decided().tables;
        QUELL_TRY(const matrix<float> head, fetch_table(source_, source_.graph.stream.head));
        QUELL_TRY(const table_problem problem,
                  prepare_table(head.view(), decided, inputs_.record_of_head(), options_.threads));
        if (options_.consider) {
            return options_.consider(
                {.site = source_.graph.sites.size(),
                 .w = problem.w.view(),
                 .known = problem.known(),
                 .restore = [&](matrix_view<float> rounded) { problem.change.undo_on_weight(rounded); }});
        }
        QUELL_TRY(model_.rounded_tables, round_tables(source_, decided, problem, options_.threads));
        return {};
    }

    result<void> keep_float(std::size_t s, matrix_view<float> w, const quant::input_change& change) {
        QUELL_TRY(const buffer<float> bias, inputs_.network().bias(s));
        linears_[s] = quant::float_linear(w, bias, options_.threads, online_of(s, change));
        report::layer_report& report = model_.report.layers[s];
        report.stored_bytes = packing::stored_bytes(quant::float_weights, w.rows(), w.cols());
        return propagation_ ? propagation_->pass(s) : result<void>();
    }

    result<void> round_site(std::size_t s, matrix_view<const float> w, const quant::input_change& change) {
        site_plan& decided = inputs_.plan_of_site(s);
        report::layer_report& report = model_.report.layers[s];
        const std::size_t i = source_.graph.sites[s].input;
        decided.activations = quant::calibrated(decided.activations, inputs_.record(i).stats, change);
        const std::size_t rank = inputs_.float_channels(i);
        const input_rounding rounding{decided.activations, rank};
        QUELL_TRY(const std::optional<matrix<float>> moved, propagated_target(s, w, rounding));
        const matrix_view<const float> target = moved ? moved->view() : w;
        const matrix_view<const float> integer_part = target.block(0, rank, w.rows(), w.cols() - rank);
        QUELL_TRY(
            const quant::rounded_weight rounded,
            decided.solver.round(integer_part, decided.weights, knowledge_for(decided.solver, i), options_.threads));
        const auto* codes = std::get_if<quantized>(&rounded);
        const rounding_cost cost = codes != nullptr ? measure_rounding(w, *codes, change, options_.threads)
                                                    : measure_rounding(w, quant::dequantized(rounded), change);
        quant::online_input online = online_of(s, change);
        report.weight_error = cost.error;
        report.clip_share =
            w.empty() ? 0.0 : static_cast<double>(cost.clipped) / static_cast<double>(w.rows() * w.cols());
        QUELL_TRY(const buffer<float> bias, inputs_.network().bias(s));
        std::optional<packing::packed_matrix> float_columns;
        if (rank > 0) {
            float_columns = packing::pack_f32(target.block(0, 0, w.rows(), rank), options_.threads);
        }
        QUELL_TRY(linears_[s],
                  quant::linear_of(rounded, {decided.activations, bias, std::move(online), std::move(float_columns)},
                                   options_.threads));
        report.stored = quant::storage_of(*linears_[s]);
        if (const auto* simulated = std::get_if<rounding::simulated>(&rounded)) {
            report.stored = simulated->stored;
        }
        report.stored_bytes = report.stored.bytes();
        report.output_error = compare_outputs(s, w, bias, change);
        return propagation_ ? pass_on(s, target.block(0, 0, w.rows(), rank), rounded, rounding) : result<void>();
    }

    /// What the codes of a site are to stand for, where that is not its weight.
    result<std::optional<matrix<float>>> propagated_target(std::size_t s, matrix_view<const float> w,
                                                           const input_rounding& rounding) {
        if (!propagation_) {
            return std::optional<matrix<float>>();
        }
        const std::size_t i = source_.graph.sites[s].input;
        QUELL_TRY_VOID(propagation_->look_at(i, inputs_.change(i), rounding));
        QUELL_TRY(matrix<float> target, propagation_->target(s, w));
        return std::optional(std::move(target));
    }

    /// The linear that runs from now on goes into the model that later inputs are seen behind.
    result<void> pass_on(std::size_t s, matrix_view<const float> float_columns, const quant::rounded_weight& rounded,
                         const input_rounding& rounding) {
        const quant::input_change& change = inputs_.change(source_.graph.sites[s].input);
        matrix<float> w = side_by_side(matrix<float>::copy_of(float_columns), quant::dequantized(rounded));
        restore(s, w.view(), change);
        const bool fits = change.empty() && !rounding.empty() && !inputs_.network().changes_rows(s) &&
                          !std::holds_alternative<quant::float_linear>(*linears_[s]);
        return propagation_->replace(s, std::move(w), change, rounding, fits ? &*linears_[s] : nullptr);
    }

    /// Takes back what was done to a weight in front of its rounding.
    void restore(std::size_t s, matrix_view<float> w, const quant::input_change& change) const {
        inputs_.network().restore_rows(s, w);
        change.undo_on_weight(w);
    }

    [[nodiscard]] rounding::input_knowledge knowledge_for(const quant::any_solver& solver, std::size_t i) {
        return knowledge_.of(solver, inputs_.record(i), inputs_.change(i), inputs_.float_channels(i),
                             propagation_ ? &*propagation_ : nullptr, options_.threads);
    }

    /// Behind the last site that reads the input of site s.
    void release_gram(std::size_t s) {
        const std::size_t i = source_.graph.sites[s].input;
        if (source_.graph.readers_of(i).back() == s) {
            inputs_.record(i).gram.reset();
        }
    }

    /// Both sides compute the same function of the original rows; what is folded is taken out of them first.
    [[nodiscard]] std::optional<report::error_stats> compare_outputs(std::size_t s, matrix_view<const float> w,
                                                                     std::span<const float> bias,
                                                                     const quant::input_change& change) {
        const std::size_t i = source_.graph.sites[s].input;
        if (inputs_.record(i).sample.empty()) {
            return std::nullopt;
        }
        matrix<float> folded = inputs_.record(i).sample.rows();
        matrix<float> changed = matrix<float>::copy_of(std::as_const(folded).view());
        change.apply_to_input(changed.view(), options_.threads);
        if (inputs_.plan_of_input(i).target == scale_target::stream) {
            folded = matrix<float>::copy_of(std::as_const(changed).view());
        } else if (inputs_.is_folded(i)) {
            transforms::divide_columns(folded.view(), change.divisors);
        }
        const quant::linear exact = quant::float_linear(w, bias, options_.threads);
        return measure_outputs({exact, std::as_const(changed).view()}, {*linears_[s], std::as_const(folded).view()},
                               options_.threads);
    }

    /// The part of the report that is known before the work.
    void describe(std::size_t s, const quant::input_change& change) {
        const site& where = source_.graph.sites[s];
        const site_plan& decided = inputs_.plan_of_site(s);
        const input_plan& input = inputs_.plan_of_input(where.input);
        report::layer_report& report = model_.report.layers[s];
        report.site = where.name;
        report.module = where.module;
        report.layer = where.layer;
        report.out_features = where.out_features;
        report.in_features = where.in_features;
        report.fallback = decided.fallback;
        report.reason = decided.reason;
        report.score = decided.score;
        report.flagged = decided.flagged;
        if (!inputs_.stays_float(s)) {
            report.weights = decided.weights;
            report.activation_bits = decided.activations.bits;
            report.solver = decided.solver.name();
        }
        if (!change.empty()) {
            report.transform = input.transform.name();
            report.scales_folded_into = input.target == scale_target::online ? "online" : input.folded_into;
            report.online_reason = input.reason;
        }
    }

    const engine& source_;
    const apply_options& options_;
    input_changes inputs_;
    std::optional<propagation> propagation_;  ///< where the plan says so
    std::vector<std::optional<quant::linear>> linears_;
    std::optional<std::size_t> at_work_;  ///< the input that knowledge_ is of
    solver_knowledge knowledge_;
    quantized_model model_;
    std::size_t finished_ = 0;
};

}  // namespace detail

inline result<quantized_model> apply(const engine& source, const plan& decided, const apply_options& options) {
    QUELL_EXPECTS(static_cast<bool>(source.weight), "an engine that gives its weights");
    QUELL_TRY_VOID(check(decided, source.graph));
    if (decided.prefix != source.prefix) {
        return error{errc::bad_value, "the plan has a prefix of " + std::to_string(decided.prefix.size()) +
                                          " tokens, the engine calibrates behind another one of " +
                                          std::to_string(source.prefix.size())};
    }
    return detail::application(source, decided, options).run();
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
