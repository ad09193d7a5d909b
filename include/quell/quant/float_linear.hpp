// SPDX-License-Identifier: MIT
/// @file
/// `float_linear`: a linear that stays in float, its weight kept once, in the panels that the f32 kernel reads.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/panels.hpp"
#include "quell/kernels/table.hpp"
#include "quell/packing/pack.hpp"
#include "quell/packing/unpack.hpp"

#include <cstddef>
#include <span>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// y = x W^T + b in float. Moved, never copied.
///
/// Shapes   w [out, in]; bias [out] or empty.
/// Cost     one float a weight: the panels are the only copy.
class float_linear {
public:
    explicit float_linear(matrix_view<const float> w, std::span<const float> bias = {}, const executor& threads = {})
        : weight_(packing::pack_f32(w, threads)), bias_(buffer<float>::copy_of(bias)) {
        QUELL_EXPECTS(bias.empty() || bias.size() == w.rows(), "a bias has one entry an output");
    }

    [[nodiscard]] std::size_t out_features() const { return weight_.out_features(); }
    [[nodiscard]] std::size_t in_features() const { return weight_.in_features(); }
    [[nodiscard]] std::size_t bytes() const { return weight_.blob().size() + bias_.size_bytes(); }
    [[nodiscard]] std::span<const float> bias() const { return bias_; }
    [[nodiscard]] kernels::panel_view panels() const { return weight_.panels(); }
    [[nodiscard]] matrix<float> weight() const { return packing::unpack_f32(weight_); }

    /// Row `row` of the weight into `out` [in]: the lookup of an embedding.
    void copy_row(std::size_t row, std::span<float> out) const { packing::unpack_row(weight_, row, out); }

private:
    packing::packed_matrix weight_;
    buffer<float> bias_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
