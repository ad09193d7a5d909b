// SPDX-License-Identifier: MIT
/// @file
/// Carries out a plan on an engine's model, one shared input after the other: take the weights that read it, change
/// them together with what stands before, round, pack. Only the weights of one input are in memory a second time.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/model/calibrate.hpp"
#include "quell/model/engine.hpp"
#include "quell/model/folded_network.hpp"
#include "quell/model/measure.hpp"
#include "quell/model/plan.hpp"
#include "quell/model/plan_check.hpp"
#include "quell/model/propagation.hpp"
#include "quell/model/solver_knowledge.hpp"
#include "quell/model/stream.hpp"
#include "quell/model/table_rounding.hpp"
#include "quell/packing/layout.hpp"
#include "quell/packing/pack.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/make_linear.hpp"
#include "quell/quant/rounded_weight.hpp"
#include "quell/quant/transform_choice.hpp"
#include "quell/stats/finite.hpp"
#include "quell/transforms/folding.hpp"
#include "quell/transforms/hadamard.hpp"
#include "quell/transforms/stream_rotation.hpp"
#include "quell/transforms/svd_split.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// A weight as it would be rounded, and what is known there.
struct considered_weight {
    std::size_t site = 0;                  ///< index into graph::sites; sites.size() for embedding and head
    matrix_view<const float> w = {};       ///< changed
    rounding::input_knowledge known = {};  ///< the Gram matrix is that of the changed input
    std::function<void(matrix_view<float>)> restore = {};  ///< makes such a weight one of the float model again
};

struct apply_options {
    executor threads = {};
    progress_callback progress = {};
    bool keep_float = false;      ///< all transforms, folded and online, but no rounding: the same function as before
    std::size_t sample_rows = 0;  ///< calibration rows an input to compare outputs on; 0: no output errors
    /// Where it is given, it sees every weight that would be rounded, and nothing is rounded: the model that comes back
    /// holds the plan and no linears.
    std::function<result<void>(const considered_weight&)> consider = {};
};

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

/// One run of apply(): collect what the transforms want to know, decide every change, then take the weights of one
/// input after the other, change them, round them, pack them.
class application {
public:
    static constexpr std::size_t choice_rows = 256;    ///< calibration rows on which clips and transforms are tried
    static constexpr std::uint64_t rotation_seed = 1;  ///< of a residual stream

    application(const engine& source, const plan& decided, const apply_options& options)
        : source_(source),
          options_(options),
          records_(source.graph.inputs.size() + 1),
          changes_(source.graph.inputs.size()),
          network_(source),
          linears_(source.graph.sites.size()) {
        if (decided.calibration.is_propagated() && !options.keep_float && !options.consider) {
            propagation_.emplace(source, decided.calibration, options.threads);
        }
        model_.decided = decided;
        model_.report.recipe = decided.recipe;
        model_.report.layers.resize(source.graph.sites.size());
    }

    result<quantized_model> run() && {
        const stopwatch watch;
        QUELL_TRY_VOID(collect());
        model_.report.calibration_seconds = watch.seconds();
        QUELL_TRY_VOID(turn_stream());
        for (std::size_t i = source_.graph.inputs.size(); i-- > 0;) {
            QUELL_TRY_VOID(decide(i));
        }
        for (std::size_t s = 0; s < linears_.size(); ++s) {
            QUELL_TRY_VOID(finish_site(s));
        }
        QUELL_TRY_VOID(finish_tables());
        for (std::size_t s = 0; s < linears_.size() && !options_.consider; ++s) {
            model_.linears.push_back(*std::move(linears_[s]));
        }
        model_.gains = network_.take_gains();
        model_.tables = network_.take_tables();
        model_.report.seconds = watch.seconds();
        return std::move(model_);
    }

private:
    [[nodiscard]] input_plan& plan_of_input(std::size_t i) { return model_.decided.inputs[i]; }
    [[nodiscard]] site_plan& plan_of_site(std::size_t s) { return model_.decided.sites[s]; }
    [[nodiscard]] bool stays_float(std::size_t s) { return options_.keep_float || plan_of_site(s).is_float(); }
    [[nodiscard]] bool is_folded(std::size_t i) {
        return plan_of_input(i).target != scale_target::online && plan_of_input(i).target != scale_target::none;
    }

    /// Leading channels of input i that stay in float.
    [[nodiscard]] std::size_t rank_of_input(std::size_t i) {
        return plan_of_input(i).target == scale_target::stream ? model_.decided.split_rank : 0;
    }

    /// Runs the engine's calibration where anything of the plan asks for it.
    result<void> collect() {
        for (std::size_t i = 0; i < source_.graph.inputs.size(); ++i) {
            input_record& record = records_[i];
            plan_of_input(i).transform.select(record.stats);
            for (const quant::any_transform& candidate : plan_of_input(i).candidates) {
                candidate.select(record.stats);
            }
            for (const std::size_t s : source_.graph.readers_of(i)) {
                if (!plan_of_site(s).is_float()) {
                    quant::select_collectors(record.stats, plan_of_input(i).transform, plan_of_site(s).activations);
                    const bool looks_at_rows =
                        plan_of_site(s).activations.needs_clip() || !plan_of_input(i).candidates.empty();
                    const std::size_t rows = std::max(options_.sample_rows, looks_at_rows ? choice_rows : 0);
                    record.sample = row_sample(rows);
                    record.wanted = rows > 0;
                }
                if (!stays_float(s)) {
                    plan_of_site(s).solver.select(record.stats);
                }
                if (!stays_float(s) && plan_of_site(s).solver.needs_gram() && !propagation_) {
                    record.gram.emplace();
                }
            }
            if (rank_of_input(i) > 0) {
                record.gram.emplace();
            }
            if (record.gram) {
                record.stats.select<stats::absmax>();
            }
            record.wanted = record.wanted || record.stats.any_selected();
        }
        if (rounds_tables()) {
            select_table_statistics(model_.decided.tables, records_.back());
        }
        report_progress(options_.progress, "calibrate", model_.decided.recipe, 0, 1);
        if (const auto status = calibrate(source_, records_, options_.threads); !status) {
            return cause_of(status.error(), source_);
        }
        report_progress(options_.progress, "calibrate", model_.decided.recipe, 1, 1);
        return {};
    }

    /// Rotates the residual stream where the plan says so.
    result<void> turn_stream() {
        const graph& g = source_.graph;
        switch (model_.decided.stream) {
            case stream_basis::rotated:
                return network_.rotate_stream(transforms::stream_rotation(g.stream.width, rotation_seed),
                                              options_.threads);
            case stream_basis::split: {
                QUELL_TRY_VOID(check_tokens_for_split());
                QUELL_TRY(const matrix<double> gram, stream_gram(g, network_, records_, options_.threads));
                QUELL_TRY(const transforms::svd_split split,
                          transforms::split_stream(gram.view(), model_.decided.split_rank, rotation_seed));
                model_.report.captured_energy = split.captured_energy;
                return network_.rotate_stream(transforms::stream_rotation(split.basis), options_.threads);
            }
            default: return {};
        }
    }

    /// No more tokens than directions leave inputs in the rest whose Gram matrices are but round-off.
    [[nodiscard]] result<void> check_tokens_for_split() const {
        const std::size_t rank = model_.decided.split_rank;
        for (const input_record& record : records_) {
            if (record.gram && record.gram->count() <= rank) {
                return error{errc::bad_value, "calibration: " + std::to_string(record.gram->count()) +
                                                  " tokens cannot tell " + std::to_string(rank) +
                                                  " leading directions of the stream from the rest"};
            }
        }
        return {};
    }

    /// The change of one input. Consumers come before producers: a scale that goes into the rows of a linear changes
    /// the weight that the input in front of that linear decides by.
    result<void> decide(std::size_t i) {
        if (plan_of_input(i).target == scale_target::stream) {
            QUELL_TRY(changes_[i], network_.rotated_input(i));
        } else {
            QUELL_TRY_VOID(change_input(i));
        }
        const matrix<float> rows = records_[i].sample.rows();
        quant::activation_scheme latest;
        for (const std::size_t s : source_.graph.readers_of(i)) {
            quant::activation_scheme& form = plan_of_site(s).activations;
            if (stays_float(s)) {
                continue;
            }
            const bool is_known = form.needs_clip() && latest.bits == form.bits && latest.reach == form.reach;
            form = is_known ? latest
                            : quant::with_clip(form, rows.view(), changes_[i], options_.threads, rank_of_input(i));
            latest = form;
        }
        return {};
    }

    result<void> change_input(std::size_t i) {
        input_plan& decided = plan_of_input(i);
        std::vector<matrix<float>> weights;
        std::vector<matrix_view<const float>> views;
        for (const std::size_t s : source_.graph.readers_of(i)) {
            if (decided.target != scale_target::none && (is_folded(i) || !plan_of_site(s).is_float())) {
                QUELL_TRY(matrix<float> w, network_.weight(s));
                views.push_back(std::as_const(weights.emplace_back(std::move(w))).view());
            }
        }
        if (!decided.candidates.empty()) {
            QUELL_TRY_VOID(choose(i, views));
        }
        changes_[i] = decided.transform.prepare(records_[i].stats, {}, views);
        return network_.fold(i, decided, changes_[i]);
    }

    result<void> choose(std::size_t i, quant::weight_views weights) {
        input_plan& decided = plan_of_input(i);
        const matrix<float> rows = records_[i].sample.rows();
        quant::layer_error_options rounding;
        for (const std::size_t s : source_.graph.readers_of(i)) {
            if (!plan_of_site(s).is_float()) {
                rounding = quant::rounding_of(plan_of_site(s).weights, plan_of_site(s).activations);
                rounding.activation_clip = plan_of_site(s).activations.clip;
                rounding.weight_clip = {.grid = 25, .candidates = 12};
            }
        }
        auto best = quant::choose_transform(decided.candidates, {records_[i].stats, rows.view(), weights}, rounding,
                                            options_.threads);
        if (!best) {
            return best.error().in(decided.name);
        }
        decided.transform = *best;
        decided.candidates.clear();
        settle(decided);
        report_progress(options_.progress, "choose", decided.name, source_.graph.inputs.size() - i,
                        source_.graph.inputs.size());
        return {};
    }

    /// The change as this site takes part in it: one that stays in float needs no rotation of its own, and no scale
    /// that nobody else applies.
    [[nodiscard]] quant::input_change change_of(std::size_t s) {
        const std::size_t i = source_.graph.sites[s].input;
        const quant::input_change& change = changes_[i];
        const bool is_whole = !plan_of_site(s).is_float() || plan_of_input(i).target == scale_target::stream;
        return {.divisors = is_whole || is_folded(i) ? buffer<float>::copy_of(change.divisors) : buffer<float>(),
                .rotation = is_whole ? change.rotation : transforms::hadamard(),
                .stream = change.stream};
    }

    [[nodiscard]] quant::online_input online_of(std::size_t s, const quant::input_change& change) {
        return quant::online_part(change, is_folded(source_.graph.sites[s].input));
    }

    /// The weight of a site as it will be rounded, but for what propagation makes of it.
    [[nodiscard]] result<matrix<float>> changed_weight(std::size_t s, const quant::input_change& change) {
        QUELL_TRY(const matrix<float> original, network_.weight(s));
        matrix<float> w = matrix<float>::copy_of(original.view());
        change.apply_to_weight(w.view(), options_.threads);
        network_.rotate_output(s, w.view(), options_.threads);
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
        const auto status = stays_float(s) ? keep_float(s, w.view(), change) : round_site(s, w.view(), change);
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
        if (!stays_float(s)) {
            QUELL_TRY_VOID(
                options_.consider({.site = s,
                                   .w = w,
                                   .known = knowledge_for(plan_of_site(s).solver, source_.graph.sites[s].input),
                                   .restore = [&](matrix_view<float> rounded) { restore(s, rounded, change); }}));
        }
        release_gram(s);
        report_progress(options_.progress, "consider", source_.graph.sites[s].name, ++finished_, linears_.size());
        return {};
    }

    [[nodiscard]] bool rounds_tables() const { return !model_.decided.tables.is_float() && !options_.keep_float; }

    /// Embedding and head, which are no sites.
    result<void> finish_tables() {
        if (!rounds_tables()) {
            return {};
        }
        const table_plan& decided = model_.decided.tables;
        QUELL_TRY(const matrix<float> head, fetch_table(source_, source_.graph.stream.head));
        QUELL_TRY(const table_problem problem, prepare_table(head.view(), decided, records_.back(), options_.threads));
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
        QUELL_TRY(const buffer<float> bias, network_.bias(s));
        linears_[s] = quant::float_linear(w, bias, options_.threads, online_of(s, change));
        report::layer_report& report = model_.report.layers[s];
        report.stored_bytes = packing::stored_bytes(quant::float_weights, w.rows(), w.cols());
        return propagation_ ? propagation_->pass(s) : result<void>();
    }

    result<void> round_site(std::size_t s, matrix_view<const float> w, const quant::input_change& change) {
        site_plan& decided = plan_of_site(s);
        report::layer_report& report = model_.report.layers[s];
        const std::size_t i = source_.graph.sites[s].input;
        decided.activations = quant::calibrated(decided.activations, records_[i].stats, change);
        const std::size_t rank = rank_of_input(i);
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
        QUELL_TRY(const buffer<float> bias, network_.bias(s));
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
        QUELL_TRY_VOID(propagation_->look_at(i, changes_[i], rounding));
        QUELL_TRY(matrix<float> target, propagation_->target(s, w));
        return std::optional(std::move(target));
    }

    /// The linear that runs from now on goes into the model that later inputs are seen behind.
    result<void> pass_on(std::size_t s, matrix_view<const float> float_columns, const quant::rounded_weight& rounded,
                         const input_rounding& rounding) {
        const quant::input_change& change = changes_[source_.graph.sites[s].input];
        matrix<float> w = side_by_side(matrix<float>::copy_of(float_columns), quant::dequantized(rounded));
        restore(s, w.view(), change);
        const bool fits = change.empty() && !rounding.empty() && !network_.changes_rows(s) &&
                          !std::holds_alternative<quant::float_linear>(*linears_[s]);
        return propagation_->replace(s, std::move(w), change, rounding, fits ? &*linears_[s] : nullptr);
    }

    /// Takes back what was done to a weight in front of its rounding.
    void restore(std::size_t s, matrix_view<float> w, const quant::input_change& change) const {
        network_.restore_rows(s, w);
        change.undo_on_weight(w);
    }

    [[nodiscard]] rounding::input_knowledge knowledge_for(const quant::any_solver& solver, std::size_t i) {
        return knowledge_.of(solver, records_[i], changes_[i], rank_of_input(i),
                             propagation_ ? &*propagation_ : nullptr, options_.threads);
    }

    /// Behind the last site that reads the input of site s.
    void release_gram(std::size_t s) {
        const std::size_t i = source_.graph.sites[s].input;
        if (source_.graph.readers_of(i).back() == s) {
            records_[i].gram.reset();
        }
    }

    /// Both sides compute the same function of the original rows; what is folded is taken out of them first.
    [[nodiscard]] std::optional<report::error_stats> compare_outputs(std::size_t s, matrix_view<const float> w,
                                                                     std::span<const float> bias,
                                                                     const quant::input_change& change) {
        const std::size_t i = source_.graph.sites[s].input;
        if (records_[i].sample.empty()) {
            return std::nullopt;
        }
        matrix<float> folded = records_[i].sample.rows();
        matrix<float> changed = matrix<float>::copy_of(std::as_const(folded).view());
        change.apply_to_input(changed.view(), options_.threads);
        if (plan_of_input(i).target == scale_target::stream) {
            folded = matrix<float>::copy_of(std::as_const(changed).view());
        } else if (is_folded(i)) {
            transforms::divide_columns(folded.view(), change.divisors);
        }
        const quant::linear exact = quant::float_linear(w, bias, options_.threads);
        return measure_outputs({exact, std::as_const(changed).view()}, {*linears_[s], std::as_const(folded).view()},
                               options_.threads);
    }

    /// The part of the report that is known before the work.
    void describe(std::size_t s, const quant::input_change& change) {
        const site& where = source_.graph.sites[s];
        const site_plan& decided = plan_of_site(s);
        const input_plan& input = plan_of_input(where.input);
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
        if (!stays_float(s)) {
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
    std::vector<input_record> records_;
    std::vector<quant::input_change> changes_;  ///< by input
    folded_network network_;
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
