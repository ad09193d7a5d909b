// SPDX-License-Identifier: MIT
/// @file
/// What the solvers are told of the inputs, one input after the other: which channels matter, and the Gram matrix as
/// the changed weights see it.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/model/calibrate.hpp"
#include "quell/model/propagation.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/concepts.hpp"
#include "quell/quant/make_linear.hpp"
#include "quell/rounding/hessian.hpp"
#include "quell/rounding/solver.hpp"

#include <cstddef>
#include <utility>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// Holds what one input's knowledge points into, until the next input is entered.
class solver_knowledge {
public:
    /// Another input is at work.
    void enter() {
        memo_.forget();
        gram_ = {};
    }

    /// What this solver wants to know of the channels behind the first `rank`, which stay in float. `seen` has what
    /// the solver selected; with propagation, which has looked at this input, its Gram matrix takes the place of that
    /// of the float model.
    [[nodiscard]] rounding::input_knowledge of(const quant::any_solver& solver, const input_record& seen,
                                               const quant::input_change& change, std::size_t rank,
                                               const propagation* propagated, const executor& threads) {
        if (solver.needs_importance()) {
            importance_ = quant::importance_of(seen.stats, change);
            return {.importance = importance_};
        }
        if (!solver.needs_gram()) {
            return {};
        }
        if (propagated == nullptr && gram_.rows() == 0) {
            gram_ = seen.gram->sum(threads);
            change.apply_to_gram(gram_, threads);
        }
        rounding::input_knowledge known =
            propagated != nullptr
                ? propagated->known()
                : rounding::input_knowledge{.gram = std::as_const(gram_).view(), .tokens = seen.gram->count()};
        known.gram = known.gram.block(rank, rank, known.gram.rows() - rank, known.gram.cols() - rank);
        known.memo = &memo_;
        return known;
    }

private:
    buffer<float> importance_;
    matrix<double> gram_;
    rounding::factor_memo memo_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::model
