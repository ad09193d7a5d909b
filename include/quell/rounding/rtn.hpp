// SPDX-License-Identifier: MIT
/// @file
/// Round to nearest: every weight on its own, with the scale of its row or group. No data is needed; with importance
/// per input channel the clip search minds it.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/rounding/clip_search.hpp"
#include "quell/rounding/nearest.hpp"
#include "quell/rounding/solver.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// Shapes   w [out, in]. Of what is known of the inputs it uses the importance.
/// Requires symmetric codes without zero or codes with an integer zero, 2 to 8 bits, per channel or group.
/// Errors   errc::unsupported and errc::bad_shape for another form; errc::bad_value for a weight or an importance that
///          is not finite, named by row and column.
/// Cost     out * in * candidates, of which pruning leaves a tenth (8 bits, whole rows) to a half (4 bits).
/// Oracle   reference::rtn (tests/reference/rtn.hpp): without a search the same codes and scales.
struct rtn {
    static constexpr std::string_view name = "rtn";
    clip_search clip;

    [[nodiscard]] result<quantized> solve(matrix_view<const float> w, const scheme& form,
                                          const input_knowledge& known = {}, const executor& threads = {}) const {
        QUELL_TRY_VOID(check_integer_form(form));
        QUELL_TRY_VOID(check_importance(known.importance, w.cols()));
        QUELL_TRY_VOID(stats::check_finite(w));
        quantized q = make_quantized(form, w.rows(), w.cols());
        const buffer<float> relative = relative_importance(known.importance);
        constexpr std::size_t rows_per_task = 8;
        threads.parallel_for((w.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
            clip_workspace room(std::min(group_length(form, w.cols()), w.cols()));
            const std::size_t end = std::min(w.rows(), (task + 1) * rows_per_task);
            for (std::size_t r = task * rows_per_task; r < end; ++r) {
                round_row(w.row(r), r, relative, room, q);
            }
        });
        return q;
    }

private:
    /// Divided by the largest, so that no cost overflows.
    static buffer<float> relative_importance(column_weights importance) {
        buffer<float> relative = buffer<float>::copy_of(importance);
        const float largest = importance.empty() ? 0.0F : *std::max_element(importance.begin(), importance.end());
        for (float& weight : relative) {
            weight = largest > 0.0F ? weight / largest : 1.0F;
        }
        return relative;
    }

    void round_row(std::span<const float> row, std::size_t r, column_weights importance, clip_workspace& room,
                   quantized& q) const {
        const std::size_t length = group_length(q.form, row.size());
        for (std::size_t g = 0; g < q.scales.cols(); ++g) {
            const std::size_t begin = g * length;
            const std::size_t n = std::min(length, row.size() - begin);
            const std::span<const float> values = row.subspan(begin, n);
            const column_weights weights = importance.empty() ? importance : importance.subspan(begin, n);
            const affine a = find_clip(clip, q.form, values, weights, room);
            round_to_codes(values, q.form, a, q.codes.row(r).subspan(begin, n));
            q.scales(r, g) = a.scale;
            if (q.form.zeros != zero_type::none) {
                q.zeros(r, g) = a.zero;
            }
        }
    }
};

static_assert(solver<rtn>);

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
