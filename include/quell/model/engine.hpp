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
#include "quell/quant/forward.hpp"
#include "quell/report/layer_report.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// Called with the rows that enter an input point, before anything is done to them; from one thread at a time.
using input_observer = std::function<void(std::size_t input, matrix_view<const float> x)>;

struct engine {
    quell::graph graph;
    std::function<result<matrix<float>>(const site&)> weight;      ///< a copy of the weight [out, in]
    std::function<std::span<const float>(const site&)> bias = {};  ///< empty, or its result may be: no bias
    std::function<result<buffer<float>>(const std::string& gain_name)> gain = {};  ///< a copy of a norm gain
    std::function<result<matrix<float>>(const std::string& name)> table = {};  ///< a copy of the embedding or the head
    std::function<result<void>(const input_observer&)> calibrate = {};         ///< one pass over the calibration data
};

/// Both ends of a rotated residual stream; they are no longer tied. The gain of the final norm is among the gains.
struct stream_tables {
    matrix<float> embedding;
    matrix<float> head;
};

/// What the engine runs from now on.
struct quantized_model {
    plan decided;                                ///< with static scales filled in
    std::vector<quant::linear> linears;          ///< by site index
    std::map<std::string, buffer<float>> gains;  ///< the norm gains that changed
    std::optional<stream_tables> tables = {};    ///< where the residual stream was rotated
    report::model_report report;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::model
