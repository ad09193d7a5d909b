// SPDX-License-Identifier: MIT
/// @file
/// The border between quell and an engine: what the engine lends (a graph and callbacks), and what it takes back. quell
/// never runs the model; the engine does, and shows the activations it meets.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/graph.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/model/plan.hpp"
#include "quell/quant/linear.hpp"
#include "quell/report/layer_report.hpp"
#include "quell/stats/finite.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

struct quantized_model;

using token_ids = std::span<const std::int32_t>;

/// Called with the rows that enter an input point, before anything is done to them; from one thread at a time. An input
/// behind all of the graph, inputs.size(), is that of the head.
using input_observer = std::function<void(std::size_t input, matrix_view<const float> x)>;

/// An input point of the float model and of a rounded one: `see` is called with the rows that enter it, for the same
/// tokens, from one thread at a time.
struct paired_look {
    std::size_t input = 0;
    std::function<void(matrix_view<const float> exact, matrix_view<const float> x)> see = {};
};

/// Other values for the weight of a linear, for a trial.
///
/// Shapes   w [out, in], as the graph says.
struct trial_weight {
    std::size_t site = 0;  ///< sites.size(): the head, and the embedding where they are tied
    matrix_view<const float> w = {};
    /// What becomes of the rows [tokens, in] in front of it, the same for all readers of an input; empty: nothing.
    std::function<void(matrix_view<float>)> round_input = {};
    /// Not nullptr: the linear that both stand for, which may run in their place, for it takes less time.
    const quant::linear* quantized = nullptr;
};

struct engine {
    quell::graph graph;
    std::function<result<matrix<float>>(const site&)> weight;      ///< a copy of the weight [out, in]
    std::function<std::span<const float>(const site&)> bias = {};  ///< empty, or its result may be: no bias
    std::function<result<buffer<float>>(const std::string& gain_name)> gain = {};  ///< a copy of a norm gain
    std::function<result<matrix<float>>(const std::string& name)> table = {};  ///< a copy of the embedding or the head
    std::function<result<void>(const input_observer&)> calibrate = {};         ///< one pass over the calibration data
    std::vector<std::int32_t> prefix = {};  ///< the tokens behind which calibrate() and loss() run their data
    /// Runs `ids` in float as a text of their own behind the tokens of `prefix`, and shows the rows of `ids`, those of
    /// an input in one call.
    std::function<result<void>(token_ids prefix, token_ids ids, const input_observer&)> probe = {};
    /// Mean loss of a model, in nats a token, on some of the calibration data; only comparisons matter.
    std::function<result<double>(quantized_model&&)> loss = {};
    /// Runs one layer on some of the calibration data as it enters that layer of the float model, with other weights
    /// for some of its linears, and shows what enters its inputs.
    std::function<result<void>(std::size_t layer, std::span<const trial_weight>, const input_observer&)> replay = {};
    /// The mean KL divergence, in nats a token, of the float model from itself with other weights for some linears of
    /// one layer, on some of the calibration data.
    std::function<result<double>(std::span<const trial_weight>)> divergence = {};
    /// The calibration data on its way through the float model and a copy of it with other weights. Shows what enters
    /// one input of this layer in both, the copy's behind these weights of the layer, which it keeps: those of another
    /// look at the layer are among those of the next. A layer's inputs are looked at in their order, each at most once.
    /// Without `see` the data moves on behind the layer, to the next; layer 0 starts anew.
    std::function<result<void>(std::size_t layer, std::span<const trial_weight>, const paired_look&)> propagate = {};
};

/// Both ends of a rotated residual stream; they are no longer tied. The gain of the final norm is among the gains.
struct stream_tables {
    matrix<float> embedding;
    matrix<float> head;
};

/// The weight of a site, of the shape that the graph says, finite.
///
/// Errors   errc::bad_shape, errc::bad_value with the name of the site; the engine's own.
[[nodiscard]] inline result<matrix<float>> fetch_weight(const engine& source, const site& s) {
    auto w = source.weight(s);
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

/// The embedding or the head by its name, as wide as the residual stream, finite.
///
/// Errors   errc::not_found where the engine lends none; errc::bad_shape, errc::bad_value with its name.
[[nodiscard]] inline result<matrix<float>> fetch_table(const engine& source, const std::string& name) {
    if (!source.table) {
        return error{errc::not_found, name + ": the engine gives no tables"};
    }
    QUELL_TRY(matrix<float> table, source.table(name));
    if (table.cols() != source.graph.stream.width) {
        return error{errc::bad_shape, name + ": the table is " + std::to_string(table.cols()) +
                                          " wide, the residual stream " + std::to_string(source.graph.stream.width)};
    }
    if (const auto finite = stats::check_finite(std::as_const(table).view()); !finite) {
        return finite.error().in(name);
    }
    return table;
}

/// The better message for activations that are not finite: a weight that is not, where there is one.
[[nodiscard]] inline error cause_of(const error& problem, const engine& source) {
    for (const site& s : source.graph.sites) {
        if (const auto w = problem.code == errc::bad_value ? fetch_weight(source, s) : matrix<float>(); !w) {
            return w.error();
        }
    }
    return problem;
}

/// Embedding and head as linears; the same one where they are tied.
struct rounded_tables {
    std::shared_ptr<const quant::linear> embedding;
    std::shared_ptr<const quant::linear> head;
};

/// What the engine runs from now on.
struct quantized_model {
    plan decided;                                              ///< with static scales filled in
    std::vector<quant::linear> linears;                        ///< by site index
    std::map<std::string, buffer<float>> gains;                ///< the norm gains that changed
    std::optional<stream_tables> tables = {};                  ///< where the residual stream was rotated
    std::optional<model::rounded_tables> rounded_tables = {};  ///< where the plan rounds them
    report::model_report report;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::model
