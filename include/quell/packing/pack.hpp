// SPDX-License-Identifier: MIT
/// @file
/// A whole weight to panels. Each panel is packed on its own, so it runs in parallel.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/views.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/packing/panel_packer.hpp"
#include "quell/packing/rows.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace quell::packing {
inline namespace QUELL_BASELINE {

/// Shapes   as `quantized` says; the codes lie in codes_of(q.form).
/// Errors   those of panel_packer.
/// Cost     that of panel_packer; the same bytes for any executor.
[[nodiscard]] inline result<packed_matrix> pack(const quantized& q, const executor& threads = {}) {
    QUELL_TRY(panel_packer packer, panel_packer::make(q.form, q.out_features(), q.in_features()));
    QUELL_TRY_VOID(packer.add(all_rows(q), threads));
    return std::move(packer).finish();
}

/// A float weight [out, in] in panels.
[[nodiscard]] inline packed_matrix pack_f32(matrix_view<const float> w, const executor& threads = {}) {
    const kernels::panel_shape shape = detail::float_shape(w.rows(), w.cols());
    blob_builder blob(float_form, shape);
    threads.parallel_for(shape.panels(), [&](std::size_t p) {
        auto* panel = reinterpret_cast<float*>(blob.panel(p));
        const std::size_t first = p * kernels::panel_rows;
        const std::size_t rows = std::min(kernels::panel_rows, shape.n - first);
        for (std::size_t begin = 0; begin < shape.k; begin += kernels::k_step) {
            const std::size_t end = std::min(begin + kernels::k_step, shape.k);
            for (std::size_t j = 0; j < rows; ++j) {
                const float* row = w.row(first + j).data();
                for (std::size_t k = begin; k < end; ++k) {
                    panel[k * kernels::panel_rows + j] = row[k];
                }
            }
        }
        blob.close(p);
    });
    return std::move(blob).finish();
}

}  // namespace QUELL_BASELINE
}  // namespace quell::packing
