// SPDX-License-Identifier: MIT
/// @file
/// `quantized_linear`: packed integer weights and how activations become codes before they meet them.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/kernels/panels.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/packing/unpack.hpp"
#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/check_vector.hpp"
#include "quell/quant/online_input.hpp"

#include <cstddef>
#include <span>
#include <utility>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// y = Q(H (x * scale)) Wq^T + b in integers, with the scale and the rotation H of `online_input`. Moved, never copied.
class quantized_linear {
public:
    /// Shapes   bias [out] or empty; online of in channels.
    /// Errors   errc::bad_shape, errc::bad_value, errc::unsupported; the caller adds the name of the site.
    [[nodiscard]] static result<quantized_linear> make(packing::packed_matrix weight, activation_scheme activations,
                                                       std::span<const float> bias = {}, online_input online = {}) {
        QUELL_TRY_VOID(check(activations));
        if (activations.is_float() || activations.needs_calibration()) {
            return error{errc::unsupported, activations.is_float()
                                                ? "integer weights need activations of 4, 8 or 16 bits"
                                                : "the scale or the clip of the activations was never calibrated"};
        }
        if (weight.panels().shape.format == kernels::panel_format::f32) {
            return error{errc::unsupported, "the packed weight is in float"};
        }
        QUELL_TRY_VOID(check_vector(bias, weight.out_features(), "bias"));
        QUELL_TRY_VOID(check(online, weight.in_features()));
        return quantized_linear(std::move(weight), activations, buffer<float>::copy_of(bias), std::move(online));
    }

    [[nodiscard]] std::size_t out_features() const { return weight_.out_features(); }
    [[nodiscard]] std::size_t in_features() const { return weight_.in_features(); }
    [[nodiscard]] std::size_t bytes() const {
        return weight_.blob().size() + bias_.size_bytes() + online_.stored_bytes();
    }
    [[nodiscard]] const packing::packed_matrix& packed() const { return weight_; }
    [[nodiscard]] const activation_scheme& activations() const { return activations_; }
    [[nodiscard]] std::span<const float> bias() const { return bias_; }
    [[nodiscard]] const online_input& online() const { return online_; }

    /// The matrix that this layer stands for: dequantized, with what happens online taken back.
    [[nodiscard]] matrix<float> weight() const {
        auto codes = packing::unpack(weight_);
        QUELL_ENSURES(codes.has_value(), "what was packed unpacks");
        matrix<float> w = dequantize(*codes);
        online_.undo(w.view());
        return w;
    }

    /// Row `row` of weight() into `out` [in].
    void copy_row(std::size_t row, std::span<float> out) const {
        packing::unpack_row(weight_, row, out);
        online_.undo({out.data(), 1, out.size()});
    }

private:
    quantized_linear(packing::packed_matrix weight, activation_scheme activations, buffer<float> bias,
                     online_input online)
        : weight_(std::move(weight)), activations_(activations), bias_(std::move(bias)), online_(std::move(online)) {}

    packing::packed_matrix weight_;
    activation_scheme activations_;
    buffer<float> bias_;
    online_input online_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
