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
#include "quell/model/measure.hpp"
#include "quell/model/plan.hpp"
#include "quell/packing/layout.hpp"
#include "quell/packing/pack.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/make_linear.hpp"
#include "quell/stats/finite.hpp"
#include "quell/transforms/smooth.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

struct apply_options {
    executor threads = {};
    progress_callback progress = {};
    bool keep_float = false;      ///< transforms and folded norm gains, no rounding: the same function as before
    std::size_t sample_rows = 0;  ///< calibration rows an input to compare outputs on; 0: no output errors
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

/// One run of apply().
class application {
public:
    application(const engine& source, const plan& decided, const apply_options& options)
        : source_(source),
          options_(options),
          records_(source.graph.inputs.size()),
          linears_(source.graph.sites.size()) {
        model_.decided = decided;
        model_.report.recipe = decided.recipe;
        model_.report.layers.resize(source.graph.sites.size());
    }

    result<quantized_model> run() && {
        const stopwatch watch;
        QUELL_TRY_VOID(collect());
        model_.report.calibration_seconds = watch.seconds();
        for (std::size_t i = 0; i < source_.graph.inputs.size(); ++i) {
            QUELL_TRY_VOID(change_input(i));
        }
        for (std::optional<quant::linear>& layer : linears_) {
            model_.linears.push_back(*std::move(layer));
        }
        model_.report.seconds = watch.seconds();
        return std::move(model_);
    }

private:
    [[nodiscard]] const input_plan& plan_of_input(std::size_t i) const { return model_.decided.inputs[i]; }
    [[nodiscard]] site_plan& plan_of_site(std::size_t s) { return model_.decided.sites[s]; }
    [[nodiscard]] bool stays_float(std::size_t s) { return options_.keep_float || plan_of_site(s).is_float(); }

    /// Runs the engine's calibration where anything of the plan asks for it.
    result<void> collect() {
        for (std::size_t i = 0; i < records_.size(); ++i) {
            input_record& record = records_[i];
            plan_of_input(i).transform.select(record.stats);
            for (const std::size_t s : source_.graph.readers_of(i)) {
                if (!stays_float(s)) {
                    quant::select_collectors(record.stats, plan_of_input(i).transform, plan_of_site(s).activations);
                    record.sample = row_sample(options_.sample_rows);
                    record.wanted = options_.sample_rows > 0;
                }
            }
            record.wanted = record.wanted || record.stats.any_selected();
        }
        report_progress(options_.progress, "calibrate", model_.decided.recipe, 0, 1);
        if (const auto status = calibrate(source_, records_); !status) {
            return cause_of(status.error());
        }
        report_progress(options_.progress, "calibrate", model_.decided.recipe, 1, 1);
        return {};
    }

    /// A weight that is not finite makes activations that are not: it is the better message.
    [[nodiscard]] error cause_of(const error& problem) const {
        for (const site& s : source_.graph.sites) {
            if (const auto w = problem.code == errc::bad_value ? fetch(s) : matrix<float>(); !w) {
                return w.error();
            }
        }
        return problem;
    }

    result<matrix<float>> fetch(const site& s) const {
        auto w = source_.weight(s);
        if (!w) {
            return w;
        }
        if (w->rows() != s.out_features || w->cols() != s.in_features) {
            return error{errc::bad_shape, s.name + ": the weight is " + std::to_string(w->rows()) + " x " +
                                              std::to_string(w->cols()) + ", the graph says " +
                                              std::to_string(s.out_features) + " x " + std::to_string(s.in_features)};
        }
        if (const auto finite = stats::check_finite(std::as_const(*w).view()); !finite) {
            return finite.error().in(s.name);
        }
        return w;
    }

    result<void> change_input(std::size_t i) {
        const std::vector<std::size_t> readers = source_.graph.readers_of(i);
        std::vector<matrix<float>> weights;
        std::vector<matrix_view<float>> changing;
        for (const std::size_t s : readers) {
            QUELL_TRY(matrix<float> w, fetch(source_.graph.sites[s]));
            weights.push_back(std::move(w));
        }
        for (std::size_t r = 0; r < readers.size(); ++r) {
            if (takes_part(i, readers[r])) {
                changing.push_back(weights[r].view());
            }
        }
        quant::any_quantizer<quant::no_layout> quantizer{.stats = std::move(records_[i].stats),
                                                         .transform = plan_of_input(i).transform};
        const quant::input_change change = quantizer.reshape(changing);
        QUELL_TRY_VOID(fold(i, change, changing));
        for (std::size_t r = 0; r < readers.size(); ++r) {
            QUELL_TRY_VOID(finish_site(readers[r], weights[r].view(), quantizer, change));
        }
        return {};
    }

    /// A folded scale concerns all readers; an online one only those that multiply their input by it.
    [[nodiscard]] bool takes_part(std::size_t i, std::size_t s) {
        const scale_target target = plan_of_input(i).target;
        return target == scale_target::gain || (target == scale_target::online && !plan_of_site(s).is_float());
    }

    result<void> fold(std::size_t i, const quant::input_change& change, std::span<const matrix_view<float>> readers) {
        const input_plan& decided = plan_of_input(i);
        if (decided.target != scale_target::gain || change.empty()) {
            return {};
        }
        if (!source_.gain) {
            return error{errc::not_found, decided.gain + ": the engine gives no norm gains"};
        }
        QUELL_TRY(buffer<float> gain, source_.gain(decided.gain));
        if (gain.size() != change.divisors.size()) {
            return error{errc::bad_shape, decided.gain + ": the gain has " + std::to_string(gain.size()) +
                                              " entries, " + decided.name + " has " +
                                              std::to_string(change.divisors.size())};
        }
        transforms::divide(gain, change.divisors);
        if (options_.keep_float) {
            transforms::fold_norm_gain<float>(gain, readers);
        }
        model_.gains[decided.gain] = std::move(gain);
        return {};
    }

    result<void> finish_site(std::size_t s, matrix_view<float> w, quant::any_quantizer<quant::no_layout>& quantizer,
                             const quant::input_change& change) {
        const stopwatch watch;
        const site& where = source_.graph.sites[s];
        if (const std::size_t entries = bias_of(s).size(); entries != 0 && entries != where.out_features) {
            return error{errc::bad_shape, where.name + ": bias has " + std::to_string(entries) +
                                              " entries, the weight asks for " + std::to_string(where.out_features)};
        }
        describe(s, change);
        if (stays_float(s)) {
            keep_float(s, w, change);
        } else if (const auto status = round_site(s, w, quantizer, change); !status) {
            return status.error().in(where.name);
        }
        report::layer_report& report = model_.report.layers[s];
        report.memory_bytes = quant::bytes(*linears_[s]);
        report.seconds = watch.seconds();
        report_progress(options_.progress, "quantize", where.name, ++finished_, linears_.size());
        return {};
    }

    [[nodiscard]] std::span<const float> bias_of(std::size_t s) const {
        return source_.bias ? source_.bias(source_.graph.sites[s]) : std::span<const float>();
    }

    void keep_float(std::size_t s, matrix_view<float> w, const quant::input_change& change) {
        const std::size_t i = source_.graph.sites[s].input;
        if (!change.empty() && plan_of_input(i).target == scale_target::online && takes_part(i, s)) {
            transforms::scale_columns(w, quant::online_scale(change));  // what the layer would do to its input
        }
        linears_[s] = quant::float_linear(w, bias_of(s), options_.threads);
        report::layer_report& report = model_.report.layers[s];
        report.stored_bytes = packing::stored_bytes(quant::float_weights, w.rows(), w.cols());
    }

    result<void> round_site(std::size_t s, matrix_view<const float> w,
                            quant::any_quantizer<quant::no_layout>& quantizer, const quant::input_change& change) {
        site_plan& decided = plan_of_site(s);
        report::layer_report& report = model_.report.layers[s];
        const std::size_t i = source_.graph.sites[s].input;
        decided.activations = quant::calibrated(decided.activations, quantizer.stats, change);
        quantizer.solver = decided.solver;
        QUELL_TRY(const quantized codes, quantizer.round(w, decided.weights, {}, options_.threads));
        const rounding_cost cost = measure_rounding(w, codes, change, options_.threads);
        buffer<float> online =
            plan_of_input(i).target == scale_target::online ? quant::online_scale(change) : buffer<float>();
        report.weight_error = cost.error;
        report.clip_share = w.empty() ? 0.0 : static_cast<double>(cost.clipped) / static_cast<double>(cost.error.count);
        report.stored_bytes = packing::stored_bytes(decided.weights, w.rows(), w.cols()) + online.size_bytes();
        QUELL_TRY(packing::packed_matrix packed, packing::pack(codes, options_.threads));
        QUELL_TRY(quant::quantized_linear layer,
                  quant::quantized_linear::make(std::move(packed), decided.activations, bias_of(s), std::move(online)));
        linears_[s] = std::move(layer);
        report.output_error = compare_outputs(s, w, change);
        return {};
    }

    /// Both sides compute the same function of the original rows; a folded scale is taken out of them first.
    [[nodiscard]] std::optional<report::error_stats> compare_outputs(std::size_t s, matrix_view<const float> w,
                                                                     const quant::input_change& change) const {
        const std::size_t i = source_.graph.sites[s].input;
        if (records_[i].sample.empty()) {
            return std::nullopt;
        }
        const matrix<float> original = records_[i].sample.rows();
        matrix<float> changed = matrix<float>::copy_of(original.view());
        if (!change.empty()) {
            transforms::scale_columns(changed.view(), quant::online_scale(change));
        }
        const quant::linear exact = quant::float_linear(w, bias_of(s), options_.threads);
        const bool online = plan_of_input(i).target == scale_target::online;
        return measure_outputs({exact, std::as_const(changed).view()},
                               {*linears_[s], online ? original.view() : std::as_const(changed).view()},
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
        if (!stays_float(s)) {
            report.weights = decided.weights;
            report.activation_bits = decided.activations.bits;
            report.solver = decided.solver.name();
        }
        if (!change.empty() && takes_part(where.input, s)) {
            report.transform = input.transform.name();
            report.scales_folded_into = input.target == scale_target::gain ? input.gain : "online";
            report.online_reason = input.reason;
        }
    }

    const engine& source_;
    const apply_options& options_;
    std::vector<input_record> records_;
    std::vector<std::optional<quant::linear>> linears_;
    quantized_model model_;
    std::size_t finished_ = 0;
};

}  // namespace detail

inline result<quantized_model> apply(const engine& source, const plan& decided, const apply_options& options) {
    QUELL_EXPECTS(static_cast<bool>(source.weight), "an engine that gives its weights");
    QUELL_TRY_VOID(check(decided, source.graph));
    return detail::application(source, decided, options).run();
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
