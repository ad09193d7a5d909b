// SPDX-License-Identifier: MIT
/// @file
/// `tunable_codes`: a quantized linear of which everything that is stored is trained, the codes too: quantization-aware
/// training that starts from what a solver found. Every code has a position in float behind it, which the gradient
/// moves as if nothing were rounded; the code is the one nearest to it.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/packing/pack.hpp"
#include "quell/packing/unpack.hpp"
#include "quell/quant/forward.hpp"
#include "quell/quant/quantized_linear.hpp"
#include "quell/rounding/binary.hpp"
#include "quell/rounding/real_zero.hpp"
#include "quell/rounding/scale.hpp"
#include "quell/transforms/folding.hpp"
#include "quell/tuning/float_columns.hpp"
#include "quell/tuning/linear_scratch.hpp"
#include "quell/tuning/parameter.hpp"
#include "quell/tuning/product.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

/// y = x_r C^T + Q(x_i) W^T + b with the columns C, and of W the scale and the real zero or mean of every group and the
/// position of every code trained. Forward runs the packed kernels on what is stored now.
///
/// Source   Straight-through estimation, arXiv 1308.3432; positions that outlive their codes, BinaryConnect, arXiv
///          1511.00363. Differs: positions count in codes, start in the middle of theirs, and never leave the range by
///          more than half a code.
/// Oracle   differences of the loss (tests/tuning/tunable_codes_test.cpp).
class tunable_codes {
public:
    /// The linear must outlive this one. `name` names the parameters.
    /// Errors   those of quantized_linear::make.
    [[nodiscard]] static result<tunable_codes> make(const std::string& name, const quant::quantized_linear& layer,
                                                    const executor& threads = {}) {
        QUELL_TRY(quantized q, packing::unpack(layer.packed()));
        tunable_codes made(name, layer, std::move(q));
        QUELL_TRY_VOID(made.update(threads));
        return made;
    }

    [[nodiscard]] std::size_t out_features() const { return layer_->out_features(); }
    [[nodiscard]] std::size_t in_features() const { return layer_->in_features(); }
    [[nodiscard]] static constexpr std::size_t kept_features() { return 0; }

    /// Shapes   as tunable_linear::forward; z [tokens, 0].
    void forward(matrix_view<const float> x, matrix_view<float>, matrix_view<float> y, linear_scratch& scratch,
                 const executor& threads) const {
        scratch.reserve(quant::workspace_bytes(*stored_, x.rows()));
        quant::forward(*stored_, x, y, scratch.workspace, threads);
    }

    /// As tunable_linear::backward.
    ///
    /// Cost     4 tokens * in * out flops, and taking the weight apart once.
    void backward(matrix_view<const float> x, matrix_view<const float>, matrix_view<const float> dy,
                  matrix_view<float> dx, linear_scratch& scratch, const executor& threads) {
        linear_scratch::resize(scratch.weight, out_features(), in_features());
        scratch.weight_gradient(x, dy, scratch.weight.view(), into::overwrite, threads);
        add_gradients(scratch.weight, threads);
        const auto& now = *std::get_if<quant::quantized_linear>(&*stored_);
        for_row_blocks(out_features(), rows_per_task, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t o = begin; o < end; ++o) {
                now.copy_row(o, scratch.weight.row(o));
            }
        });
        scratch.add_input_gradient(dy, dx, threads);
    }

    template <typename F>
    void for_each_parameter(F f) {
        if (layer_->float_features() > 0) {
            f(columns_);
        }
        f(factors_);
        if (has_real_zeros()) {
            f(shifts_);
        }
        f(positions_);
    }

    /// What the parameters stand for now is what runs from now on.
    /// Errors   those of quantized_linear::make and pack, for parameters that are no longer finite.
    result<void> update(const executor& threads) {
        for_row_blocks(out_features(), rows_per_task, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t o = begin; o < end; ++o) {
                update_row(o);
            }
        });
        QUELL_TRY(quant::quantized_linear now, finish(threads));
        stored_.emplace(std::move(now));
        return {};
    }

    [[nodiscard]] result<packing::packed_matrix> finished_weight(const executor& threads) const {
        return packing::pack(now_, threads);
    }

    /// The linear as it is now.
    [[nodiscard]] result<quant::quantized_linear> finish(const executor& threads) const {
        QUELL_TRY(packing::packed_matrix weight, finished_weight(threads));
        return with_tuned(*layer_, std::move(weight), columns_, threads);
    }

private:
    static constexpr std::size_t rows_per_task = 32;
    static constexpr float smallest_factor = 0.05F;
    /// In codes, what a factor moves by one: with 4 codes stay behind, with 16 they overshoot (the SwiGLU toy at 1, 2
    /// and 4 bits, 100 steps of 512 tokens).
    static constexpr float code_unit = 8.0F;

    tunable_codes(const std::string& name, const quant::quantized_linear& layer, quantized q)
        : layer_(&layer),
          start_scales_(matrix<float>::copy_of(q.scales.view())),
          start_zeros_(matrix<float>::copy_of(q.zeros.view())),
          now_(std::move(q)),
          columns_(columns_of(name, layer)),
          factors_(name + ".scales", start_scales_.rows(), start_scales_.cols()),
          shifts_(name + ".zeros", has_real_zeros() ? start_zeros_.rows() : 0,
                  has_real_zeros() ? start_zeros_.cols() : 0),
          positions_(name + ".codes", now_.out_features(), now_.in_features()) {
        factors_.is_gain = true;
        std::ranges::fill(factors_.value.elements(), 1.0F);
        std::ranges::transform(now_.codes.elements(), positions_.value.elements().begin(),
                               [](std::int8_t code) { return static_cast<float>(code); });
        positions_.unit = code_unit;
    }

    [[nodiscard]] bool has_real_zeros() const { return now_.form.zeros == zero_type::real; }
    [[nodiscard]] bool has_means() const { return now_.form.codes == code_set::sign_mean; }
    [[nodiscard]] bool is_binary() const { return has_means() || now_.form.codes == code_set::sign; }

    void update_row(std::size_t o) {
        const code_range range = codes_of(now_.form);
        const auto low = static_cast<float>(range.low);
        const auto high = static_cast<float>(range.high);
        for (std::size_t c = 0; c < now_.in_features(); ++c) {
            float& position = positions_.value(o, c);
            position = std::min(std::max(low - 0.5F, position), high + 0.5F);  // NaN becomes the lowest
            now_.codes(o, c) = static_cast<std::int8_t>(std::clamp(std::nearbyint(position), low, high));
        }
        std::vector<double> wanted;
        for (std::size_t g = 0; g < factors_.value.cols(); ++g) {
            float& factor = factors_.value(o, g);
            factor = std::max(smallest_factor, factor);
            wanted.push_back(static_cast<double>(start_scales_(o, g)) * static_cast<double>(factor));
        }
        has_means() ? store_levels(o, wanted) : store_scales(o, wanted);
    }

    void store_levels(std::size_t o, std::span<const double> wanted) {
        for (std::size_t g = 0; g < wanted.size(); ++g) {
            const double shift = static_cast<double>(start_scales_(o, g)) * static_cast<double>(shifts_.value(o, g));
            const rounding::binary_levels levels =
                rounding::stored_levels(now_.form, wanted[g], static_cast<double>(start_zeros_(o, g)) + shift);
            now_.scales(o, g) = levels.scale;
            now_.zeros(o, g) = levels.mean;
        }
    }

    void store_scales(std::size_t o, std::span<const double> wanted) {
        if (!has_real_zeros()) {
            std::ranges::transform(wanted, now_.scales.row(o).begin(),
                                   [&](double scale) { return rounding::stored_scale(now_.form, scale); });
            return;
        }
        rounding::store_scales(now_.form, wanted, now_.scales.row(o));
        for (std::size_t g = 0; g < wanted.size(); ++g) {
            now_.zeros(o, g) = rounding::stored_zero(
                now_.form, static_cast<double>(start_zeros_(o, g)) - static_cast<double>(shifts_.value(o, g)));
        }
    }

    /// Of dL/dW [out, in], which this changes.
    void add_gradients(matrix<float>& dw, const executor& threads) {
        const std::size_t r = layer_->float_features();
        const quant::online_input& online = layer_->online();
        for_row_blocks(dw.rows(), rows_per_task, threads, [&](std::size_t begin, std::size_t end) {
            const matrix_view<float> integers = dw.view().block(begin, r, end - begin, dw.cols() - r);
            if (!online.scale.empty()) {
                transforms::scale_columns(integers, online.scale);
            }
            if (!online.rotation.empty()) {
                online.rotation.apply(integers);
            }
            for (std::size_t o = begin; o < end; ++o) {
                std::transform(dw.row(o).begin(), dw.row(o).begin() + static_cast<std::ptrdiff_t>(r),
                               columns_.gradient.row(o).begin(), columns_.gradient.row(o).begin(), std::plus<>());
                add_row_gradient(o, dw.row(o).subspan(r));
            }
        });
    }

    void add_row_gradient(std::size_t o, std::span<const float> dw) {
        const std::size_t length = group_length(now_.form, now_.in_features());
        for (std::size_t g = 0; g < factors_.value.cols(); ++g) {
            const float start = start_scales_(o, g);
            const float step = now_.scales(o, g) * (is_binary() ? 2.0F : 1.0F);
            const float zero = has_means() || now_.form.zeros == zero_type::none ? 0.0F : now_.zeros(o, g);
            const float by = has_means() ? start : now_.scales(o, g);  // what the values gain where a shift gains one
            float by_factor = 0.0F;
            float by_shift = 0.0F;
            for (std::size_t c = g * length; c < std::min(dw.size(), (g + 1) * length); ++c) {
                const auto code = static_cast<float>(now_.codes(o, c));
                by_factor += dw[c] * value_of(now_.form.codes, start, zero, code);
                by_shift += dw[c] * by;
                positions_.gradient(o, c) += dw[c] * step;
            }
            factors_.gradient(o, g) += by_factor;
            if (has_real_zeros()) {
                shifts_.gradient(o, g) += by_shift;
            }
        }
    }

    const quant::quantized_linear* layer_;
    matrix<float> start_scales_;
    matrix<float> start_zeros_;
    quantized now_;
    parameter<float> columns_;
    parameter<float> factors_;    ///< of start_scales_
    parameter<float> shifts_;     ///< of all values of a group, in scales; where zeros are real numbers
    parameter<float> positions_;  ///< of the codes
    std::optional<quant::linear> stored_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
