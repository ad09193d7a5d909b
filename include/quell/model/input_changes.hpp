// SPDX-License-Identifier: MIT
/// @file
/// What happens to every shared input in front of rounding: one calibration for all that transforms, clips and solvers
/// want to know, then each change is decided and folded into what stands in front of it.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/model/apply_options.hpp"
#include "quell/model/calibrate.hpp"
#include "quell/model/engine.hpp"
#include "quell/model/folded_network.hpp"
#include "quell/model/plan.hpp"
#include "quell/model/stream.hpp"
#include "quell/model/table_rounding.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/make_linear.hpp"
#include "quell/quant/transform_choice.hpp"
#include "quell/transforms/stream_rotation.hpp"
#include "quell/transforms/svd_split.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

namespace detail {

/// The changes of all inputs of one plan, and the network that they are folded into: collect(), then decide(), which
/// fills in what the plan left open.
class input_changes {
public:
    static constexpr std::size_t choice_rows = 256;    ///< calibration rows on which clips and transforms are tried
    static constexpr std::uint64_t rotation_seed = 1;  ///< of a residual stream

    /// With propagation, the solvers' Gram matrices come from there.
    input_changes(const engine& source, const plan& decided, const apply_options& options, bool propagated)
        : source_(source),
          options_(options),
          propagated_(propagated),
          decided_(decided),
          records_(source.graph.inputs.size() + 1),
          changes_(source.graph.inputs.size()),
          network_(source) {}

    /// Runs the engine's calibration where anything of the plan asks for it.
    result<void> collect() {
        for (std::size_t i = 0; i < source_.graph.inputs.size(); ++i) {
            select(i);
        }
        if (rounds_tables()) {
            select_table_statistics(decided_.tables, records_.back());
        }
        report_progress(options_.progress, "calibrate", decided_.recipe, 0, 1);
        if (const auto status = calibrate(source_, records_, options_.threads); !status) {
            return cause_of(status.error(), source_);
        }
        report_progress(options_.progress, "calibrate", decided_.recipe, 1, 1);
        return {};
    }

    /// Decides every change, and the clip of every activation.
    result<void> decide() {
        QUELL_TRY_VOID(turn_stream());
        for (std::size_t i = source_.graph.inputs.size(); i-- > 0;) {
            QUELL_TRY_VOID(decide(i));
        }
        return {};
    }

    [[nodiscard]] const plan& decided() const { return decided_; }
    [[nodiscard]] input_plan& plan_of_input(std::size_t i) { return decided_.inputs[i]; }
    [[nodiscard]] site_plan& plan_of_site(std::size_t s) { return decided_.sites[s]; }
    [[nodiscard]] bool stays_float(std::size_t s) const { return options_.keep_float || decided_.sites[s].is_float(); }
    [[nodiscard]] bool is_folded(std::size_t i) const {
        const scale_target target = decided_.inputs[i].target;
        return target != scale_target::online && target != scale_target::none;
    }

    /// Leading channels of input i that stay in float.
    [[nodiscard]] std::size_t float_channels(std::size_t i) const {
        return decided_.inputs[i].target == scale_target::stream ? decided_.split_rank : 0;
    }

    [[nodiscard]] bool rounds_tables() const { return !decided_.tables.is_float() && !options_.keep_float; }

    /// What calibration showed of an input.
    [[nodiscard]] input_record& record(std::size_t i) { return records_[i]; }
    [[nodiscard]] input_record& record_of_head() { return records_.back(); }
    [[nodiscard]] const quant::input_change& change(std::size_t i) const { return changes_[i]; }
    [[nodiscard]] folded_network& network() { return network_; }
    [[nodiscard]] const folded_network& network() const { return network_; }
    [[nodiscard]] double captured_energy() const { return captured_energy_; }

private:
    /// What transforms, clips and solvers want to know of one input.
    void select(std::size_t i) {
        input_record& record = records_[i];
        const input_plan& input = decided_.inputs[i];
        input.transform.select(record.stats);
        for (const quant::any_transform& candidate : input.candidates) {
            candidate.select(record.stats);
        }
        for (const std::size_t s : source_.graph.readers_of(i)) {
            select(decided_.sites[s], input, record);
        }
        if (float_channels(i) > 0) {
            record.gram.emplace();
        }
        if (record.gram) {
            record.stats.select<stats::absmax>();
        }
        record.wanted = record.wanted || record.stats.any_selected();
    }

    void select(const site_plan& reader, const input_plan& input, input_record& record) const {
        if (reader.is_float()) {
            return;
        }
        quant::select_collectors(record.stats, input.transform, reader.activations);
        const bool looks_at_rows = reader.activations.needs_clip() || !input.candidates.empty();
        const std::size_t rows = std::max(options_.sample_rows, looks_at_rows ? choice_rows : 0);
        record.sample = row_sample(rows);
        record.wanted = rows > 0;
        if (options_.keep_float) {
            return;
        }
        reader.solver.select(record.stats);
        if (reader.solver.needs_gram() && !propagated_) {
            record.gram.emplace();
        }
    }

    /// Rotates the residual stream where the plan says so.
    result<void> turn_stream() {
        const graph& g = source_.graph;
        switch (decided_.stream) {
            case stream_basis::rotated:
                return network_.rotate_stream(transforms::stream_rotation(g.stream.width, rotation_seed),
                                              options_.threads);
            case stream_basis::split: {
                QUELL_TRY_VOID(check_tokens_for_split());
                QUELL_TRY(const matrix<double> gram, stream_gram(g, network_, records_, options_.threads));
                QUELL_TRY(const transforms::svd_split split,
                          transforms::split_stream(gram.view(), decided_.split_rank, rotation_seed));
                captured_energy_ = split.captured_energy;
                return network_.rotate_stream(transforms::stream_rotation(split.basis), options_.threads);
            }
            default: return {};
        }
    }

    /// No more tokens than directions leave inputs in the rest whose Gram matrices are but round-off.
    [[nodiscard]] result<void> check_tokens_for_split() const {
        const std::size_t rank = decided_.split_rank;
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
                            : quant::with_clip(form, rows.view(), changes_[i], options_.threads, float_channels(i));
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

    const engine& source_;
    const apply_options& options_;
    bool propagated_;
    plan decided_;
    std::vector<input_record> records_;         ///< by input, that of the head last
    std::vector<quant::input_change> changes_;  ///< by input
    folded_network network_;
    double captured_energy_ = 0.0;
};

}  // namespace detail

}  // namespace QUELL_BASELINE
}  // namespace quell::model
