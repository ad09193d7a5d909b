// SPDX-License-Identifier: MIT
/// @file
/// What a caller of apply() may ask for.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/rounding/solver.hpp"

#include <cstddef>
#include <functional>

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

}  // namespace QUELL_BASELINE
}  // namespace quell::model
