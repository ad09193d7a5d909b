// SPDX-License-Identifier: MIT
/// @file
/// `tunable_linear`: a quantized linear whose full-precision part is trained: its columns in float, and the scales of
/// its weight, those of a row together. The codes stay. It runs forward through the packed kernels, and backward as if
/// nothing were rounded (straight through).
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/packing/pack.hpp"
#include "quell/packing/unpack.hpp"
#include "quell/quant/forward.hpp"
#include "quell/quant/quantized_linear.hpp"
#include "quell/rounding/binary.hpp"
#include "quell/rounding/scale.hpp"
#include "quell/tuning/float_columns.hpp"
#include "quell/tuning/linear_scratch.hpp"
#include "quell/tuning/parameter.hpp"
#include "quell/tuning/product.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <variant>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

/// y = x_r C^T + g * z + b, with z the product in integers of the other channels, and C and g trained: C are the
/// columns in float, g [out] multiplies the scales and starts at one.
///
/// Source   QUAD, arXiv 2503.19353: with W = g s Q, dL/dC = dy^T x_r and dL/d(g s) = sum_c dW[o,c] Q[o,c]; activations
///          and codes pass gradients as if they were not rounded. Differs: scales are trained as factors of what they
///          were, so that one rate suits all of them, and their gradient is sum_t dy[t,o] z[t,o], which is the same sum
///          without dW.
/// Oracle   reference::linear_gradient (tests/reference/linear_gradient.hpp).
class tunable_linear {
public:
    /// The linear must outlive this one, which reads the codes where they are. `name` names the parameters.
    /// Errors   errc::unsupported for scales that are codes themselves.
    [[nodiscard]] static result<tunable_linear> make(const std::string& name, const quant::quantized_linear& layer) {
        if (layer.packed().form().scales == scale_type::codes8) {
            return error{errc::unsupported, name + ": scales of 8 bits are not tuned"};
        }
        QUELL_TRY(packing::packed_matrix codes, packing::view_blob(layer.packed().blob()));
        QUELL_TRY(quant::quantized_linear integers,
                  quant::quantized_linear::make(std::move(codes), layer.activations(), {},
                                                quant::online_input::copy_of(layer.online())));
        return tunable_linear(name, layer, std::move(integers));
    }

    [[nodiscard]] std::size_t out_features() const { return layer_->out_features(); }
    [[nodiscard]] std::size_t in_features() const { return layer_->in_features(); }
    /// Numbers a token that backward() wants to see again.
    [[nodiscard]] std::size_t kept_features() const { return out_features(); }

    /// Shapes   x [tokens, in]; y [tokens, out]; z [tokens, kept_features()], for backward().
    void forward(matrix_view<const float> x, matrix_view<float> z, matrix_view<float> y, linear_scratch& scratch,
                 const executor& threads) const {
        const std::size_t r = layer_->float_features();
        scratch.reserve(quant::workspace_bytes(integers_, x.rows()));
        quant::forward(integers_, x.block(0, r, x.rows(), x.cols() - r), z, scratch.workspace, threads);
        if (r > 0) {
            scratch.operand.pack_transposed(columns_.value.view());
            multiply(x.block(0, 0, x.rows(), r), scratch.operand, y, into::overwrite, threads);
        }
        const float* factor = factors_.value.elements().data();
        const std::span<const float> bias = layer_->bias();
        for_row_blocks(y.rows(), rows_per_task, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t t = begin; t < end; ++t) {
                const float* integer_part = z.row(t).data();
                float* out = y.row(t).data();
                for (std::size_t o = 0; o < y.cols(); ++o) {
                    const float before = r > 0 ? out[o] : 0.0F;
                    out[o] = before + factor[o] * integer_part[o] + (bias.empty() ? 0.0F : bias[o]);
                }
            }
        });
    }

    /// Adds dL/dx to dx and the gradients of the parameters to theirs.
    ///
    /// Shapes   x and dx [tokens, in]; z, as forward() left it, and dy [tokens, out].
    /// Cost     2 tokens * in * out flops, and taking the weight apart once.
    void backward(matrix_view<const float> x, matrix_view<const float> z, matrix_view<const float> dy,
                  matrix_view<float> dx, linear_scratch& scratch, const executor& threads) {
        const std::size_t r = layer_->float_features();
        if (r > 0) {
            scratch.weight_gradient(x.block(0, 0, x.rows(), r), dy, columns_.gradient.view(), into::add, threads);
        }
        add_factor_gradient(z, dy, threads);
        dequantize(scratch.weight, threads);
        scratch.add_input_gradient(dy, dx, threads);
    }

    /// The columns, where there are any, and the factors of the scales.
    template <typename F>
    void for_each_parameter(F f) {
        if (layer_->float_features() > 0) {
            f(columns_);
        }
        f(factors_);
    }

    /// The same codes with the factors in their scales.
    /// Errors   errc::bad_value for a factor that is not positive or not a finite number.
    [[nodiscard]] result<packing::packed_matrix> finished_weight(const executor& threads) const {
        QUELL_TRY(quantized q, packing::unpack(layer_->packed()));
        for (std::size_t o = 0; o < q.scales.rows(); ++o) {
            const float factor = factors_.value(0, o);
            if (!(factor > 0.0F && std::isfinite(factor))) {
                return error{errc::bad_value,
                             factors_.name + ": row " + std::to_string(o) + " was tuned to " + std::to_string(factor)};
            }
            for (std::size_t g = 0; g < q.scales.cols() && factor != 1.0F; ++g) {
                multiply_group(q, o, g, static_cast<double>(factor));
            }
        }
        return packing::pack(q, threads);
    }

    /// The same linear with what was trained.
    /// Errors   those of finished_weight(); errc::bad_value for a column that is not finite.
    [[nodiscard]] result<quant::quantized_linear> finish(const executor& threads) const {
        QUELL_TRY(packing::packed_matrix weight, finished_weight(threads));
        return with_tuned(*layer_, std::move(weight), columns_, threads);
    }

private:
    static constexpr std::size_t rows_per_task = 32;

    tunable_linear(const std::string& name, const quant::quantized_linear& layer, quant::quantized_linear integers)
        : layer_(&layer),
          integers_(std::move(integers)),
          columns_(columns_of(name, layer)),
          factors_(name + ".scales", 1, layer.out_features()) {
        factors_.is_gain = true;
        std::ranges::fill(factors_.value.elements(), 1.0F);
    }

    /// All values of a group times the factor, as far as its scale and mean can hold them.
    static void multiply_group(quantized& q, std::size_t o, std::size_t g, double factor) {
        const auto scale = static_cast<double>(q.scales(o, g));
        if (q.form.codes == code_set::sign_mean) {
            const auto mean = static_cast<double>(q.zeros(o, g));
            const rounding::binary_levels levels = rounding::stored_levels(q.form, scale * factor, mean * factor);
            q.scales(o, g) = levels.scale;
            q.zeros(o, g) = levels.mean;
        } else {
            q.scales(o, g) = rounding::stored_scale(q.form, scale * factor);
        }
    }

    /// Every task owns some outputs and adds the tokens in order.
    void add_factor_gradient(matrix_view<const float> z, matrix_view<const float> dy, const executor& threads) {
        for_row_blocks(dy.cols(), panel_width, threads, [&](std::size_t begin, std::size_t end) {
            double sums[panel_width] = {};
            for (std::size_t t = 0; t < dy.rows(); ++t) {
                const float* from = z.row(t).data();
                const float* by = dy.row(t).data();
                for (std::size_t o = begin; o < end; ++o) {
                    sums[o - begin] += static_cast<double>(from[o]) * static_cast<double>(by[o]);
                }
            }
            for (std::size_t o = begin; o < end; ++o) {
                factors_.gradient(0, o) += static_cast<float>(sums[o - begin]);
            }
        });
    }

    /// The matrix [out, in] that this linear stands for now, with what happens online taken back.
    void dequantize(matrix<float>& w, const executor& threads) const {
        linear_scratch::resize(w, out_features(), in_features());
        const std::size_t r = layer_->float_features();
        const auto& integers = *std::get_if<quant::quantized_linear>(&integers_);
        for_row_blocks(w.rows(), rows_per_task, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t o = begin; o < end; ++o) {
                const std::span<float> row = w.row(o);
                std::ranges::copy(columns_.value.row(o), row.begin());
                integers.copy_row(o, row.subspan(r));
                for (float& v : row.subspan(r)) {
                    v *= factors_.value(0, o);
                }
            }
        });
    }

    const quant::quantized_linear* layer_;
    quant::linear integers_;  ///< without the columns in float and the bias
    parameter<float> columns_;
    parameter<float> factors_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
