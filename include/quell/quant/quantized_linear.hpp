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
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// y = Q(H (x * scale)) Wq^T + b in integers, with the scale and the rotation H of `online_input`. Moved, never copied.
///
/// The first input channels may have columns of their own that stay in float, W_r; x is the other channels then:
/// y = x_r W_r^T + Q(H (x * scale)) Wq^T + b, in this order. Source: QUAD, arXiv 2503.19353.
class quantized_linear {
public:
    /// Shapes   bias [out] or empty; online of the channels that meet integers; float_columns [out, r] in float, if
    /// any. Errors   errc::bad_shape, errc::bad_value, errc::unsupported; the caller adds the name of the site.
    [[nodiscard]] static result<quantized_linear> make(packing::packed_matrix weight, activation_scheme activations,
                                                       std::span<const float> bias = {}, online_input online = {},
                                                       std::optional<packing::packed_matrix> float_columns = {}) {
        QUELL_TRY_VOID(check(activations));
        if (activations.is_float() || activations.needs_calibration()) {
            return error{errc::unsupported, activations.is_float()
                                                ? "integer weights need activations of 4, 8 or 16 bits"
                                                : "the scale or the clip of the activations was never calibrated"};
        }
        if (weight.panels().shape.format == kernels::panel_format::f32) {
            return error{errc::unsupported, "the packed weight is in float"};
        }
        QUELL_TRY_VOID(check_pair(activations, weight.form()));
        QUELL_TRY_VOID(check_vector(bias, weight.out_features(), "bias"));
        QUELL_TRY_VOID(check(online, weight.in_features()));
        if (float_columns) {
            QUELL_TRY_VOID(check_float_columns(*float_columns, weight.out_features()));
        }
        return quantized_linear(std::move(weight), activations, buffer<float>::copy_of(bias), std::move(online),
                                std::move(float_columns));
    }

    [[nodiscard]] std::size_t out_features() const { return weight_.out_features(); }
    [[nodiscard]] std::size_t in_features() const { return float_features() + weight_.in_features(); }
    /// Input channels whose columns stay in float.
    [[nodiscard]] std::size_t float_features() const { return float_columns_ ? float_columns_->in_features() : 0; }
    [[nodiscard]] std::size_t bytes() const {
        return weight_.blob().size() + bias_.size_bytes() + online_.stored_bytes() +
               (float_columns_ ? float_columns_->blob().size() : 0);
    }
    [[nodiscard]] const packing::packed_matrix& packed() const { return weight_; }
    [[nodiscard]] const std::optional<packing::packed_matrix>& float_columns() const { return float_columns_; }
    [[nodiscard]] const activation_scheme& activations() const { return activations_; }
    [[nodiscard]] std::span<const float> bias() const { return bias_; }
    [[nodiscard]] const online_input& online() const { return online_; }

    /// The matrix that this layer stands for: dequantized, with what happens online taken back.
    [[nodiscard]] matrix<float> weight() const {
        auto codes = packing::unpack(weight_);
        QUELL_ENSURES(codes.has_value(), "what was packed unpacks");
        matrix<float> integer_part = dequantize(*codes);
        online_.undo(integer_part.view());
        return float_columns_ ? side_by_side(packing::unpack_f32(*float_columns_), integer_part)
                              : std::move(integer_part);
    }

    /// Row `row` of weight() into `out` [in].
    void copy_row(std::size_t row, std::span<float> out) const {
        if (float_columns_) {
            packing::unpack_row(*float_columns_, row, out.first(float_features()));
        }
        const std::span<float> integers = out.subspan(float_features());
        packing::unpack_row(weight_, row, integers);
        online_.undo({integers.data(), 1, integers.size()});
    }

private:
    [[nodiscard]] static result<void> check_float_columns(const packing::packed_matrix& columns, std::size_t rows) {
        if (columns.form() != packing::float_form || columns.in_features() == 0) {
            return error{errc::unsupported, "the columns in float are in integers, or there are none"};
        }
        if (columns.out_features() != rows) {
            return error{errc::bad_shape, "the columns in float have " + std::to_string(columns.out_features()) +
                                              " rows, the integer weight has " + std::to_string(rows)};
        }
        return {};
    }

    quantized_linear(packing::packed_matrix weight, activation_scheme activations, buffer<float> bias,
                     online_input online, std::optional<packing::packed_matrix> float_columns)
        : weight_(std::move(weight)),
          activations_(activations),
          bias_(std::move(bias)),
          online_(std::move(online)),
          float_columns_(std::move(float_columns)) {}

    packing::packed_matrix weight_;
    activation_scheme activations_;
    buffer<float> bias_;
    online_input online_;
    std::optional<packing::packed_matrix> float_columns_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
