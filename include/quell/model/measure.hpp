// SPDX-License-Identifier: MIT
/// @file
/// What rounding cost at one linear: the error of its weight, the share of clipped weights, the error of its output.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/quant/concepts.hpp"
#include "quell/quant/forward.hpp"
#include "quell/report/error_stats.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

struct rounding_cost {
    report::error_stats error;
    std::size_t clipped = 0;  ///< weights further from their value than half a step

    void merge(const rounding_cost& other) {
        error.merge(other.error);
        clipped += other.clipped;
    }
};

namespace detail {

/// Compares some rows with their codes: clipping where the codes are, errors in the basis before the change. The codes
/// are those of the last columns; those before stay as they are.
inline void measure_rows(matrix_view<const float> w, const quantized& q, std::size_t first,
                         const quant::input_change& change, rounding_cost& cost) {
    const std::size_t exact_columns = w.cols() - q.codes.cols();
    const std::size_t length = group_length(q.form, q.codes.cols());
    const code_range range = codes_of(q.form);
    matrix<float> exact = matrix<float>::copy_of(w);
    matrix<float> rounded = matrix<float>::copy_of(w);
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t c = 0; c < q.codes.cols(); ++c) {
            const int code = q.codes(first + r, c);
            const float half_step = 0.5001F * q.scales(first + r, c / length);  // a little more: v / s was rounded too
            const float v = w(r, exact_columns + c);
            float& rounded_to = rounded(r, exact_columns + c);
            rounded_to = value_of(q, first + r, c);
            const bool is_outermost = code == range.low || code == range.high;
            cost.clipped += is_outermost && std::abs(v - rounded_to) > half_step ? 1U : 0U;
        }
    }
    change.undo_on_weight(exact.view());
    change.undo_on_weight(rounded.view());
    cost.error.add(exact.elements(), rounded.elements());
}

}  // namespace detail

/// Compares a weight with its codes in the basis before the change, so that recipes with and without one compare.
///
/// Shapes   w [out, in], already changed; q of the same shape, or of its last columns.
/// Cost     one pass over the weight, and two rotations back; the same sums for any executor: rows are summed in fixed
/// blocks.
[[nodiscard]] inline rounding_cost measure_rounding(matrix_view<const float> w, const quantized& q,
                                                    const quant::input_change& change, const executor& threads) {
    constexpr std::size_t rows_per_block = 16;
    std::vector<rounding_cost> blocks((w.rows() + rows_per_block - 1) / rows_per_block);
    threads.parallel_for(blocks.size(), [&](std::size_t b) {
        const std::size_t first = b * rows_per_block;
        const std::size_t rows = std::min(w.rows() - first, rows_per_block);
        detail::measure_rows(w.block(first, 0, rows, w.cols()), q, first, change, blocks[b]);
    });
    rounding_cost sum;
    for (const rounding_cost& block : blocks) {
        sum.merge(block);
    }
    return sum;
}

/// The error alone, of a weight whose codes have no one form.
[[nodiscard]] inline rounding_cost measure_rounding(matrix_view<const float> w, matrix<float> rounded,
                                                    const quant::input_change& change) {
    matrix<float> exact = matrix<float>::copy_of(w);
    change.undo_on_weight(exact.view());
    change.undo_on_weight(rounded.view());
    rounding_cost cost;
    cost.error.add(exact.elements(), rounded.elements());
    return cost;
}

/// The outputs of two linears, each for its own form of the same rows.
struct compared_linear {
    const quant::linear& layer;
    matrix_view<const float> x;
};

[[nodiscard]] inline report::error_stats measure_outputs(const compared_linear& exact, const compared_linear& rounded,
                                                         const executor& threads) {
    const auto run = [&](const compared_linear& side) {
        matrix<float> y(side.x.rows(), quant::out_features(side.layer));
        buffer<std::byte> workspace(quant::workspace_bytes(side.layer, side.x.rows()));
        quant::forward(side.layer, side.x, y.view(), workspace, threads);
        return y;
    };
    const matrix<float> reference = run(exact);
    const matrix<float> outputs = run(rounded);
    report::error_stats stats;
    stats.add(reference.elements(), outputs.elements());
    return stats;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
