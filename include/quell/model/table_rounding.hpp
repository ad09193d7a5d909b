// SPDX-License-Identifier: MIT
/// @file
/// Rounding of the embedding and the head. They are no sites: the embedding's rows are looked up and not multiplied,
/// and where both are one table an error in it counts twice. The transform of the head's input stays online; on lookup
/// it is taken back.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/model/calibrate.hpp"
#include "quell/model/engine.hpp"
#include "quell/model/plan.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/concepts.hpp"
#include "quell/quant/forward.hpp"
#include "quell/quant/rounded_weight.hpp"
#include "quell/rounding/rtn.hpp"

#include <cstdint>
#include <memory>
#include <utility>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// Switches on what the plan wants to know of the input of the head.
inline void select_table_statistics(const table_plan& decided, input_record& record) {
    decided.transform.select(record.stats);
    if (decided.solver.needs_gram()) {
        record.gram.emplace();
        record.stats.select<stats::absmax>();
    }
    record.wanted = record.stats.any_selected();
}

/// A head that is ready to be rounded.
struct table_problem {
    quant::input_change change = {};
    matrix<float> w = {};  ///< changed
    matrix<double> gram = {};
    std::uint64_t tokens = 0;

    [[nodiscard]] rounding::input_knowledge known() const { return {.gram = gram.view(), .tokens = tokens}; }
};

/// Shapes   table [vocabulary, width].
[[nodiscard]] inline result<table_problem> prepare_table(matrix_view<const float> table, const table_plan& decided,
                                                         const input_record& record, const executor& threads) {
    table_problem problem{.w = matrix<float>::copy_of(table)};
    problem.change = decided.transform.prepare(record.stats, {}, {&table, 1});
    problem.change.apply_to_weight(problem.w.view());
    if (record.gram) {
        problem.gram = record.gram->sum(threads);
        problem.tokens = record.gram->count();
        problem.change.apply_to_gram(problem.gram, threads);
    }
    return problem;
}

namespace detail {

[[nodiscard]] inline result<std::shared_ptr<const quant::linear>> table_linear(quantized&& codes,
                                                                               const table_plan& decided,
                                                                               const quant::input_change& change,
                                                                               const executor& threads) {
    QUELL_TRY(quant::linear layer,
              quant::linear_of(quant::rounded_weight(std::move(codes)),
                               {decided.activations, {}, quant::online_part(change), {}}, threads));
    return std::make_shared<const quant::linear>(std::move(layer));
}

}  // namespace detail

/// The head as its plan says, and the embedding: the same where they are tied, otherwise rounded to nearest in the same
/// form.
///
/// Errors   those of the solver and of packing; those of fetch_table.
[[nodiscard]] inline result<rounded_tables> round_tables(const engine& source, const table_plan& decided,
                                                         const table_problem& problem, const executor& threads) {
    const stream_ends& ends = source.graph.stream;
    auto codes = decided.solver.solve(problem.w.view(), decided.weights, problem.known(), threads);
    if (!codes) {
        return codes.error().in(ends.head);
    }
    rounded_tables tables;
    QUELL_TRY(tables.head, detail::table_linear(*std::move(codes), decided, problem.change, threads));
    tables.embedding = tables.head;
    if (ends.embedding != ends.head) {
        QUELL_TRY(const matrix<float> embedding, fetch_table(source, ends.embedding));
        auto nearest = rounding::rtn{}.solve(embedding.view(), decided.weights, {}, threads);
        if (!nearest) {
            return nearest.error().in(ends.embedding);
        }
        QUELL_TRY(tables.embedding, detail::table_linear(*std::move(nearest), decided, {}, threads));
    }
    return tables;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
