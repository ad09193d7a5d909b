// SPDX-License-Identifier: MIT
/// @file
/// `tunable_split`: a linear whose columns have two forms, each of whose parts is tuned as a `tunable_linear`.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/quant/split_linear.hpp"
#include "quell/tuning/tunable_codes.hpp"
#include "quell/tuning/tunable_linear.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

/// y = g_h * (Q(v[high]) Wh^T) + g_l * (Q(v[low]) Wl^T) + b, with a factor a row for each part.
///
/// Source   as tunable_linear; the forms of Squeeze10-LLM, arXiv 2507.18073.
/// Oracle   a tunable_linear for each part (tests/tuning/tunable_split_test.cpp).
template <typename Part>
class basic_tunable_split {
public:
    /// The linear must outlive this one.
    /// Errors   those of tunable_linear::make; errc::unsupported where the input is changed online.
    [[nodiscard]] static result<basic_tunable_split> make(const std::string& name, const quant::split_linear& layer) {
        if (!layer.online().empty()) {
            return error{errc::unsupported, name + ": columns of two forms behind an online change are not tuned"};
        }
        QUELL_TRY(Part high, Part::make(name + ".high", layer.high()));
        QUELL_TRY(Part low, Part::make(name + ".low", layer.low()));
        return basic_tunable_split(layer, std::move(high), std::move(low));
    }

    [[nodiscard]] std::size_t out_features() const { return high_.out_features(); }
    [[nodiscard]] std::size_t in_features() const { return layer_->in_features(); }

    /// As tunable_linear::kept_features: the products of both parts.
    [[nodiscard]] std::size_t kept_features() const { return 2 * high_.kept_features(); }

    /// Shapes   x [tokens, in]; y [tokens, out]; z [tokens, kept_features()], for backward().
    void forward(matrix_view<const float> x, matrix_view<float> z, matrix_view<float> y, linear_scratch& scratch,
                 const executor& threads) {
        const matrix_view<const float> ordered = gather(x, scratch.ordered, threads);
        linear_scratch::resize(scratch.part, y.rows(), y.cols());
        high_.forward(high_of(ordered), half(z, 0), y, scratch, threads);
        low_.forward(low_of(ordered), half(z, 1), scratch.part.view(), scratch, threads);
        for_row_blocks(y.rows(), rows_per_task, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t t = begin; t < end; ++t) {
                const auto other = std::as_const(scratch.part).row(t);
                std::transform(other.begin(), other.end(), y.row(t).begin(), y.row(t).begin(), std::plus<>());
            }
        });
    }

    /// Adds dL/dx to dx and the gradients of the parameters to theirs; as tunable_linear::backward.
    void backward(matrix_view<const float> x, matrix_view<const float> z, matrix_view<const float> dy,
                  matrix_view<float> dx, linear_scratch& scratch, const executor& threads) {
        const matrix_view<const float> ordered = gather(x, scratch.ordered, threads);
        linear_scratch::resize(scratch.part, x.rows(), x.cols());
        std::ranges::fill(scratch.part.elements(), 0.0F);
        const matrix_view<float> back = scratch.part.view();
        high_.backward(high_of(ordered), half(z, 0), dy, high_of(back), scratch, threads);
        low_.backward(low_of(ordered), half(z, 1), dy, low_of(back), scratch, threads);
        for_row_blocks(dx.rows(), rows_per_task, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t t = begin; t < end; ++t) {
                for (std::size_t p = 0; p < dx.cols(); ++p) {
                    dx(t, layer_->order()[p]) += back(t, p);
                }
            }
        });
    }

    template <typename F>
    void for_each_parameter(F f) {
        high_.for_each_parameter(f);
        low_.for_each_parameter(f);
    }

    /// What the parameters stand for now is what runs from now on.
    /// Errors   those of tunable_codes::update.
    result<void> update(const executor& threads) requires requires(Part part) { part.update(threads); }
    {
        QUELL_TRY_VOID(high_.update(threads));
        return low_.update(threads);
    }

    /// The same linear with what was trained.
    /// Errors   those of tunable_linear::finish.
    [[nodiscard]] result<quant::split_linear> finish(const executor& threads) const {
        QUELL_TRY(packing::packed_matrix high, high_.finished_weight(threads));
        QUELL_TRY(packing::packed_matrix low, low_.finished_weight(threads));
        return quant::split_linear::make({layer_->order(), std::move(high), std::move(low)}, layer_->activations(),
                                         layer_->bias());
    }

private:
    static constexpr std::size_t rows_per_task = 32;

    basic_tunable_split(const quant::split_linear& layer, Part high, Part low)
        : layer_(&layer), high_(std::move(high)), low_(std::move(low)) {}

    /// The columns of x in the order of the parts.
    [[nodiscard]] matrix_view<const float> gather(matrix_view<const float> x, matrix<float>& ordered,
                                                  const executor& threads) const {
        linear_scratch::resize(ordered, x.rows(), x.cols());
        for_row_blocks(x.rows(), rows_per_task, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t t = begin; t < end; ++t) {
                for (std::size_t p = 0; p < x.cols(); ++p) {
                    ordered(t, p) = x(t, layer_->order()[p]);
                }
            }
        });
        return ordered.view();
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
    Part high_;
    Part low_;
};

using tunable_split = basic_tunable_split<tunable_linear>;
using tunable_split_codes = basic_tunable_split<tunable_codes>;

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
