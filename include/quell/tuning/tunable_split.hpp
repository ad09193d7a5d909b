// SPDX-License-Identifier: MIT
/// @file
/// `tunable_split`: a linear whose columns have two forms, each of whose parts is tuned as a `tunable_linear`.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/packing/blob.hpp"
#include "quell/quant/split_linear.hpp"
#include "quell/tuning/tunable_linear.hpp"

#include <cstddef>
#include <string>
#include <utility>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

/// y = g_h * (Q(v[high]) Wh^T) + g_l * (Q(v[low]) Wl^T) + b, with a factor a row for each part.
///
/// Source   as tunable_linear; the forms of Squeeze10-LLM, arXiv 2507.18073.
/// Oracle   a tunable_linear for each part (tests/tuning/tunable_split_test.cpp).
class tunable_split {
public:
    /// The linear must outlive this one.
    /// Errors   those of tunable_linear::make; errc::unsupported where the input is changed online.
    [[nodiscard]] static result<tunable_split> make(const std::string& name, const quant::split_linear& layer) {
        if (!layer.online().empty()) {
            return error{errc::unsupported, name + ": columns of two forms behind an online change are not tuned"};
        }
        QUELL_TRY(tunable_linear high, tunable_linear::make(name + ".high", layer.high()));
        QUELL_TRY(tunable_linear low, tunable_linear::make(name + ".low", layer.low()));
        return tunable_split(layer, std::move(high), std::move(low));
    }

    [[nodiscard]] std::size_t out_features() const { return high_.out_features(); }
    [[nodiscard]] std::size_t in_features() const { return layer_->in_features(); }

    /// Shapes   x [tokens, in]; y [tokens, out]; z [tokens, 2 out]: what backward() wants to see again.
    void forward(matrix_view<const float> x, matrix_view<float> z, matrix_view<float> y, linear_scratch& scratch,
                 const executor& threads) {
        gather(x);
        linear_scratch::resize(part_, y.rows(), y.cols());
        high_.forward(high_of<const float>(ordered_.view()), half(z, 0), y, scratch, threads);
        low_.forward(low_of<const float>(ordered_.view()), half(z, 1), part_.view(), scratch, threads);
        for (std::size_t t = 0; t < y.rows(); ++t) {
            for (std::size_t o = 0; o < y.cols(); ++o) {
                y(t, o) += part_(t, o);
            }
        }
    }

    /// Adds dL/dx to dx and the gradients of the parameters to theirs; as tunable_linear::backward.
    void backward(matrix_view<const float> x, matrix_view<const float> z, matrix_view<const float> dy,
                  matrix_view<float> dx, linear_scratch& scratch, const executor& threads) {
        gather(x);
        matrix<float> back(x.rows(), x.cols());
        high_.backward(high_of<const float>(ordered_.view()), half(z, 0), dy, high_of<float>(back.view()), scratch,
                       threads);
        low_.backward(low_of<const float>(ordered_.view()), half(z, 1), dy, low_of<float>(back.view()), scratch,
                      threads);
        for (std::size_t t = 0; t < dx.rows(); ++t) {
            for (std::size_t p = 0; p < dx.cols(); ++p) {
                dx(t, layer_->order()[p]) += back(t, p);
            }
        }
    }

    template <typename F>
    void for_each_parameter(F f) {
        high_.for_each_parameter(f);
        low_.for_each_parameter(f);
    }

    /// The same codes with what was trained.
    /// Errors   those of tunable_linear::finish.
    [[nodiscard]] result<quant::split_linear> finish(const executor& threads) const {
        QUELL_TRY(packing::packed_matrix high, high_.finished_weight(threads));
        QUELL_TRY(packing::packed_matrix low, low_.finished_weight(threads));
        return quant::split_linear::make({layer_->order(), std::move(high), std::move(low)}, layer_->activations(),
                                         layer_->bias());
    }

private:
    tunable_split(const quant::split_linear& layer, tunable_linear high, tunable_linear low)
        : layer_(&layer), high_(std::move(high)), low_(std::move(low)) {}

    /// The columns of x in the order of the parts.
    void gather(matrix_view<const float> x) {
        linear_scratch::resize(ordered_, x.rows(), x.cols());
        for (std::size_t t = 0; t < x.rows(); ++t) {
            for (std::size_t p = 0; p < x.cols(); ++p) {
                ordered_(t, p) = x(t, layer_->order()[p]);
            }
        }
    }

    template <typename T>
    [[nodiscard]] matrix_view<T> high_of(matrix_view<T> columns) const {
        return columns.block(0, 0, columns.rows(), high_.in_features());
    }
    template <typename T>
    [[nodiscard]] matrix_view<T> low_of(matrix_view<T> columns) const {
        return columns.block(0, high_.in_features(), columns.rows(), low_.in_features());
    }
    template <typename T>
    [[nodiscard]] static matrix_view<T> half(matrix_view<T> z, std::size_t which) {
        return z.block(0, which * (z.cols() / 2), z.rows(), z.cols() / 2);
    }

    const quant::split_linear* layer_;
    tunable_linear high_;
    tunable_linear low_;
    matrix<float> ordered_;  ///< the input of the last call
    matrix<float> part_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
