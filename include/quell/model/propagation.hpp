// SPDX-License-Identifier: MIT
/// @file
/// Propagated calibration: what enters an input once everything before it is rounded, and how far that is from what the
/// float model sees there. The engine runs both models, one layer after the other.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/model/calibrate.hpp"
#include "quell/model/engine.hpp"
#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/concepts.hpp"
#include "quell/quant/forward.hpp"
#include "quell/quant/round_activations.hpp"
#include "quell/rounding/hessian.hpp"
#include "quell/rounding/propagated_target.hpp"
#include "quell/rounding/solver.hpp"
#include "quell/stats/gram.hpp"
#include "quell/stats/input_shift.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// How the linears behind an input round its rows, after the change. Those of 4 bits are left alone: what they lose is
/// noise that no weight can make up for, and one that tries shrinks. On SmolLM2 (hybrid-w4a4) the divergence went from
/// 0.51 to 1.02 with it, on the toy from 0.054 to 0.020.
struct input_rounding {
    quant::activation_scheme form = {.bits = 32};
    std::size_t float_features = 0;  ///< leading channels that stay in float

    [[nodiscard]] bool empty() const { return form.bits != 8 && form.bits != 7; }

    void apply(matrix_view<float> x, const executor& threads) const {
        if (!empty()) {
            quant::round_activations(x.block(0, float_features, x.rows(), x.cols() - float_features), form, threads);
        }
    }
};

/// Follows a model through its layers while they are rounded. The engine must outlive it.
class propagation {
public:
    propagation(const engine& source, const rounding::calibration_rule& rule, const executor& threads)
        : source_(source), rule_(rule), threads_(threads) {}

    /// What enters this input, with all that was given so far, as it is after the change and as the activations of its
    /// linears are rounded.
    ///
    /// Requires that the linears before it were given, each layer's in the order of the graph.
    /// Errors   errc::not_found where the engine cannot propagate or shows no rows; errc::bad_shape for rows of another
    ///          width; the engine's own.
    result<void> look_at(std::size_t input, const quant::input_change& change, const input_rounding& rounding) {
        if (input_ == input) {
            return {};
        }
        stats::gram gram;
        stats::input_shift shift;
        QUELL_TRY_VOID(collect(input, change, rounding, gram, shift));
        gram_ = gram.sum(threads_);
        shift_ = shift.sum();
        tokens_ = gram.count();
        memo_.forget();
        input_ = input;
        return {};
    }

    /// Of the input looked at last. Shapes   gram [in, in].
    [[nodiscard]] rounding::input_knowledge known() const { return {.gram = gram_.view(), .tokens = tokens_}; }

    /// The weight of a site behind that input which brings its outputs back to those of the float model. Once a site:
    /// behind the last one, what no solver needs is gone.
    [[nodiscard]] result<matrix<float>> target(std::size_t site, matrix_view<const float> w) {
        rounding::input_knowledge all = known();
        all.memo = &memo_;
        auto wanted = rounding::propagated_target(w, shift_.view(), all, rule_, threads_);
        if (source_.graph.readers_of(source_.graph.sites[site].input).back() == site) {
            shift_ = {};
            memo_.forget();
        }
        return wanted;
    }

    /// The linear of this site from now on: its weight, as the float model would have it, and what rounds its input;
    /// or, where it fits the float model as it is, the linear itself, which must stay until the layer is done.
    /// Behind the last site of a layer both models move on.
    result<void> replace(std::size_t site, matrix<float> rounded, const quant::input_change& change,
                         const input_rounding& rounding, const quant::linear* fitting) {
        rounded_.push_back({site, std::move(rounded), in_place(change, rounding), fitting});
        return pass(site);
    }

    /// This site stays as it is.
    result<void> pass(std::size_t site) {
        const std::size_t layer = source_.graph.sites[site].layer;
        const bool is_last = site + 1 == source_.graph.sites.size() || source_.graph.sites[site + 1].layer != layer;
        if (is_last && source_.propagate) {
            QUELL_TRY_VOID(source_.propagate(layer, trials(), {}));
            rounded_.clear();
        }
        return {};
    }

private:
    struct replacement {
        std::size_t site;
        matrix<float> w;
        std::function<void(matrix_view<float>)> round_input;
        const quant::linear* quantized;
    };

    result<void> collect(std::size_t input, const quant::input_change& change, const input_rounding& rounding,
                         stats::gram& gram, stats::input_shift& shift) const {
        const input_point& point = source_.graph.inputs[input];
        if (!source_.propagate) {
            return error{errc::not_found, point.name +
                                              ": the plan needs calibration behind rounded layers, which the "
                                              "engine does not give"};
        }
        stats::gram_workspace room;
        matrix<float> before;
        matrix<float> now;
        result<void> status;
        const auto see = [&](matrix_view<const float> exact, matrix_view<const float> x) {
            status = status ? detail::check_width(point, x) : status;
            if (status) {
                before.assign(exact);
                now.assign(x);
                change.apply_to_input(before.view(), threads_);
                change.apply_to_input(now.view(), threads_);
                rounding.apply(now.view(), threads_);
                gram.add(std::as_const(now).view(), threads_, room);
                shift.add(std::as_const(before).view(), std::as_const(now).view(), threads_, room);
            }
        };
        QUELL_TRY_VOID(source_.propagate(source_.graph.sites[source_.graph.readers_of(input).front()].layer, trials(),
                                         {.input = input, .see = see}));
        return status ? detail::check_seen(point, gram.count(), nullptr) : status;
    }

    /// The change, the rounding, and the change taken back; nothing where nothing is rounded. The change must outlive
    /// it.
    [[nodiscard]] std::function<void(matrix_view<float>)> in_place(const quant::input_change& change,
                                                                   const input_rounding& rounding) const {
        if (rounding.empty()) {
            return {};
        }
        return [&change, rounding, threads = threads_](matrix_view<float> x) {
            change.apply_to_input(x, threads);
            rounding.apply(x, threads);
            change.undo_on_input(x, threads);
        };
    }

    [[nodiscard]] std::vector<trial_weight> trials() const {
        std::vector<trial_weight> all;
        for (const replacement& r : rounded_) {
            all.push_back({r.site, r.w.view(), r.round_input, r.quantized});
        }
        return all;
    }

    const engine& source_;
    rounding::calibration_rule rule_;
    executor threads_;
    std::optional<std::size_t> input_;  ///< the one looked at last, to which these belong:
    matrix<double> gram_;
    matrix<double> shift_;
    std::uint64_t tokens_ = 0;
    rounding::factor_memo memo_;
    std::vector<replacement> rounded_;  ///< of the layer that is at work
};

}  // namespace QUELL_BASELINE
}  // namespace quell::model
