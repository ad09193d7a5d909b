// SPDX-License-Identifier: MIT
/// @file
/// The plan: what a recipe decided for every shared input and every linear of a model, before any work starts. It is
/// made by make_plan.hpp, can be read, edited and stored (plan_json.hpp), checked (plan_check.hpp), and it is all that
/// apply() goes by.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"
#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/recipe.hpp"
#include "quell/quant/tuning_rule.hpp"
#include "quell/rounding/propagated_target.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// Where the division in the activations' half of a transform goes. The rotation behind it is online, but in a residual
/// stream that is rotated as a whole.
enum class scale_target : std::uint8_t {
    none,      ///< there is nothing to place
    gain,      ///< into the norm gain in front of the input: free at run time
    producer,  ///< into the rows of the linear whose output is a factor of the input: free
    stream,    ///< the stream in front of the norm is rotated, and the norm gain moved into the readers: free
    online,    ///< into the quantized linears, which multiply their input by it
};

/// The basis in which the residual stream runs.
enum class stream_basis : std::uint8_t {
    original,
    rotated,  ///< by a Hadamard matrix folded into embedding, head and every linear that reads or writes the stream
    split,    ///< its leading directions first, which stay in float, the rest rotated; folded in the same way
};

struct input_plan {
    std::string name;
    quant::any_transform transform = {};
    std::vector<quant::any_transform> candidates = {};  ///< apply() takes the best for `transform`; empty: no choice
    scale_target target = scale_target::none;
    std::string folded_into = {};  ///< the norm gain or the linear, where that is the target
    std::string reason = {};       ///< why it is not folded
};

struct site_plan {
    std::string name;
    scheme weights = quant::float_weights;
    quant::activation_scheme activations = {.bits = 32};
    quant::any_solver solver = {};
    std::string fallback = {};  ///< why this is not what the recipe asked for; empty: it is
    std::string reason = {};    ///< why the recipe treats this site unlike others; empty: it does not
    double score = 0.0;         ///< by which it was compared with others; 0: it was not
    bool flagged = false;       ///< it stands out

    [[nodiscard]] bool is_float() const { return weights.bits == 32; }
};

/// Embedding and head, which are no sites. In float unless a plan says otherwise.
struct table_plan {
    scheme weights = quant::float_weights;
    quant::activation_scheme activations = {.bits = 32};  ///< of the head
    quant::any_transform transform = {};                  ///< of the head's input; online, and taken back on lookup
    quant::any_solver solver = {};
    std::string reason = {};

    [[nodiscard]] bool is_float() const { return weights.bits == 32; }
};

/// Inputs and sites in the order of the graph, matched by name.
struct plan {
    std::string recipe;
    stream_basis stream = stream_basis::original;
    std::size_t split_rank = 0;             ///< leading directions of a split stream
    quant::tuning_rule tuning = {};         ///< of what stays in float; the engine's to carry out, not apply()'s
    std::vector<std::int32_t> prefix = {};  ///< tokens in front of every text, their keys and values kept in float
    rounding::calibration_rule calibration = {};
    std::vector<input_plan> inputs = {};
    std::vector<site_plan> sites = {};
    table_plan tables = {};
};

/// Takes back the place of scales where the transform has none.
inline void settle(input_plan& decided) {
    if (!decided.candidates.empty() || decided.transform.scales()) {
        return;
    }
    decided.target = decided.transform.rotates() ? scale_target::online : scale_target::none;
    decided.folded_into.clear();
    decided.reason.clear();
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
