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
#include "quell/quant/concepts.hpp"
#include "quell/rounding/hessian.hpp"
#include "quell/rounding/propagated_target.hpp"
#include "quell/rounding/solver.hpp"
#include "quell/stats/gram.hpp"
#include "quell/stats/input_shift.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// Follows a model through its layers while they are rounded. The engine must outlive it.
class propagation {
public:
    propagation(const engine& source, const rounding::calibration_rule& rule, const executor& threads)
        : source_(source), rule_(rule), threads_(threads) {}

    /// What enters this input, with all weights that were given so far, as it is after the change.
    ///
    /// Requires that the linears before it were given, each layer's in the order of the graph.
    /// Errors   errc::not_found where the engine cannot propagate or shows no rows; errc::bad_shape for rows of another
    ///          width; the engine's own.
    result<void> look_at(std::size_t input, const quant::input_change& change) {
        if (input_ == input) {
            return {};
        }
        stats::gram gram;
        stats::input_shift shift;
        QUELL_TRY_VOID(collect(input, gram, shift));
        gram_ = gram.sum(threads_);
        shift_ = shift.sum();
        change.apply_to_gram(gram_, threads_);
        change.apply_to_gram(shift_, threads_);
        tokens_ = gram.count();
        memo_.forget();
        input_ = input;
        return {};
    }

    /// Of the input looked at last. Shapes   gram [in, in].
    [[nodiscard]] rounding::input_knowledge known() const { return {.gram = gram_.view(), .tokens = tokens_}; }

    /// The weight that brings the outputs back to those of the float model.
    [[nodiscard]] result<matrix<float>> target(matrix_view<const float> w) {
        rounding::input_knowledge all = known();
        all.memo = &memo_;
        return rounding::propagated_target(w, shift_.view(), all, rule_, threads_);
    }

    /// The weight of this site from now on: as the float model would have it, rounded. Behind the last site of a layer
    /// both models move on.
    result<void> replace(std::size_t site, matrix<float> rounded) {
        rounded_.emplace_back(site, std::move(rounded));
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
    result<void> collect(std::size_t input, stats::gram& gram, stats::input_shift& shift) const {
        const input_point& point = source_.graph.inputs[input];
        if (!source_.propagate) {
            return error{errc::not_found, point.name +
                                              ": the plan needs calibration behind rounded layers, which the "
                                              "engine does not give"};
        }
        stats::gram_workspace room;
        result<void> status;
        QUELL_TRY_VOID(
            source_.propagate(source_.graph.sites[source_.graph.readers_of(input).front()].layer, trials(),
                              [&](std::size_t at, matrix_view<const float> exact, matrix_view<const float> x) {
                                  status = at == input && status ? detail::check_width(point, x) : status;
                                  if (at == input && status) {
                                      gram.add(x, threads_, room);
                                      shift.add(exact, x, threads_, room);
                                  }
                              }));
        return status ? detail::check_seen(point, gram.count(), nullptr) : status;
    }
    [[nodiscard]] std::vector<trial_weight> trials() const {
        std::vector<trial_weight> all;
        for (const auto& [site, w] : rounded_) {
            all.push_back({site, w.view()});
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
    std::vector<std::pair<std::size_t, matrix<float>>> rounded_;  ///< of the layer that is at work
};

}  // namespace QUELL_BASELINE
}  // namespace quell::model
