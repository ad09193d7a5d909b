// SPDX-License-Identifier: MIT
/// @file
/// `float_linear`: a linear that stays in float, its weight kept once, in the panels that the f32 kernel reads.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/panels.hpp"
#include "quell/kernels/table.hpp"
#include "quell/packing/pack.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/packing/unpack.hpp"
#include "quell/quant/check_vector.hpp"
#include "quell/quant/online_input.hpp"
#include "quell/stats/finite.hpp"

#include <cstddef>
#include <span>
#include <utility>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// y = H (x * scale) W^T + b in float, with the scale and the rotation H of `online_input`. Moved, never copied.
///
/// Shapes   w [out, in]; bias [out] or empty.
/// Cost     one float a weight: the panels are the only copy.
class float_linear {
public:
    explicit float_linear(matrix_view<const float> w, std::span<const float> bias = {}, const executor& threads = {},
                          online_input online = {})
        : weight_(packing::pack_f32(w, threads)), bias_(buffer<float>::copy_of(bias)), online_(std::move(online)) {
        QUELL_EXPECTS(bias.empty() || bias.size() == w.rows(), "a bias has one entry an output");
        QUELL_EXPECTS(check(online_, w.cols()), "an online change of as many channels");
    }

    /// A weight that is packed already, such as one in a mapped file.
    /// Errors   errc::unsupported for integer panels; errc::bad_shape; errc::bad_value for NaN or infinity.
    [[nodiscard]] static result<float_linear> make(packing::packed_matrix weight, std::span<const float> bias,
                                                   online_input online = {}) {
        if (weight.form() != packing::float_form) {
            return error{errc::unsupported, "the packed weight is in integers"};
        }
        QUELL_TRY_VOID(check_vector(bias, weight.out_features(), "bias"));
        const std::span<const std::byte> panels = weight.blob().subspan(packing::header_bytes);
        if (!stats::all_finite({reinterpret_cast<const float*>(panels.data()), panels.size() / sizeof(float)})) {
            const matrix<float> w = packing::unpack_f32(weight);  // for the place in the weight, not in the panels
            QUELL_TRY_VOID(stats::check_finite(w.view()));
        }
        QUELL_TRY_VOID(check(online, weight.in_features()));
        return float_linear(std::move(weight), buffer<float>::copy_of(bias), std::move(online));
    }

    [[nodiscard]] std::size_t out_features() const { return weight_.out_features(); }
    [[nodiscard]] std::size_t in_features() const { return weight_.in_features(); }
    [[nodiscard]] std::size_t bytes() const {
        return weight_.blob().size() + bias_.size_bytes() + online_.stored_bytes();
    }
    [[nodiscard]] std::span<const float> bias() const { return bias_; }
    [[nodiscard]] const packing::packed_matrix& packed() const { return weight_; }
    [[nodiscard]] kernels::panel_view panels() const { return weight_.panels(); }
    [[nodiscard]] const online_input& online() const { return online_; }

    /// The matrix that this layer stands for, with what happens online taken back.
    [[nodiscard]] matrix<float> weight() const {
        matrix<float> w = packing::unpack_f32(weight_);
        online_.undo(w.view());
        return w;
    }

    /// Row `row` of weight() into `out` [in]: the lookup of an embedding.
    void copy_row(std::size_t row, std::span<float> out) const {
        packing::unpack_row(weight_, row, out);
        online_.undo({out.data(), 1, out.size()});
    }

private:
    float_linear(packing::packed_matrix weight, buffer<float> bias, online_input online)
        : weight_(std::move(weight)), bias_(std::move(bias)), online_(std::move(online)) {}

    packing::packed_matrix weight_;
    buffer<float> bias_;
    online_input online_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
