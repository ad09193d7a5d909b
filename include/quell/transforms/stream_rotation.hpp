// SPDX-License-Identifier: MIT
/// @file
/// The rotation of a residual stream, folded into everything that reads or writes the stream: a Hadamard matrix behind
/// random signs, or any orthogonal basis. A norm without a gain does not notice it, since the length of a row stays
/// what it is.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/linalg/ordered_product.hpp"
#include "quell/transforms/folding.hpp"
#include "quell/transforms/hadamard.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace quell::transforms {
inline namespace QUELL_BASELINE {

/// A stream x becomes x D H^T with the signs D, or x B. The signs keep what all channels have in common from meeting
/// one row of H.
///
/// Cost     a row of C channels: C log C additions with H, C^2 multiply-adds with B; in double.
/// Source   QuaRot, arXiv 2404.00456, its rotation R1.
class stream_rotation {
public:
    stream_rotation() = default;
    stream_rotation(std::size_t width, std::uint64_t seed) : hadamard_(width), signs_(width) {
        rng random(seed);
        for (float& sign : signs_) {
            sign = random.below(2) == 0 ? 1.0F : -1.0F;
        }
    }
    /// Shapes   basis [C, C], orthogonal, a direction a column.
    explicit stream_rotation(const matrix<double>& basis) : basis_(matrix<double>::copy_of(basis.view())) {
        QUELL_EXPECTS(basis.rows() == basis.cols(), "as many directions as channels");
        for (double& v : basis_.elements()) {
            v = -v;
        }
        transposed_ = transposed<double>(basis_.view());
    }

    [[nodiscard]] bool empty() const { return hadamard_.empty() && basis_.rows() == 0; }

    /// Rows of the stream itself, such as an embedding, or a weight [out, C] that reads it.
    template <std::floating_point T>
    void apply(matrix_view<T> rows, const executor& threads = {}) const {
        if (hadamard_.empty()) {
            multiply(rows, basis_.view(), threads);
            return;
        }
        scale_columns(rows, signs_);
        hadamard_.apply(rows, threads);
    }
    template <std::floating_point T>
    void undo(matrix_view<T> rows, const executor& threads = {}) const {
        if (hadamard_.empty()) {
            multiply(rows, transposed_.view(), threads);
            return;
        }
        hadamard_.undo(rows, threads);
        scale_columns(rows, signs_);
    }

    /// A weight [C, in] that writes the stream.
    template <std::floating_point T>
    void apply_to_output(matrix_view<T> weight, const executor& threads = {}) const {
        on_columns(weight, [&](matrix_view<T> columns) { apply(columns, threads); });
    }
    template <std::floating_point T>
    void undo_on_output(matrix_view<T> weight) const {
        on_columns(weight, [&](matrix_view<T> columns) { undo(columns); });
    }

private:
    template <typename T, typename Turn>
    static void on_columns(matrix_view<T> weight, const Turn& turn) {
        matrix<T> columns = transposed(matrix_view<const T>(weight));
        turn(columns.view());
        transpose<T>(columns.view(), weight);
    }

    /// rows := -rows m.
    template <std::floating_point T>
    static void multiply(matrix_view<T> rows, matrix_view<const double> m, const executor& threads) {
        constexpr std::size_t rows_per_task = 96;
        QUELL_EXPECTS(rows.cols() == m.rows() || rows.rows() == 0, "rows as wide as the stream");
        threads.parallel_for((rows.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
            const std::size_t first = task * rows_per_task;
            const matrix_view<T> some = rows.block(first, 0, std::min(rows_per_task, rows.rows() - first), m.rows());
            matrix<double> before(some.rows(), some.cols());
            matrix<double> after(some.rows(), some.cols());
            for (std::size_t r = 0; r < some.rows(); ++r) {
                std::copy(some.row(r).begin(), some.row(r).end(), before.row(r).begin());
            }
            linalg::subtract_product(after.view(), before.view(), m);
            for (std::size_t r = 0; r < some.rows(); ++r) {
                std::transform(after.row(r).begin(), after.row(r).end(), some.row(r).begin(),
                               [](double v) { return static_cast<T>(v); });
            }
        });
    }

    hadamard hadamard_;
    buffer<float> signs_;
    matrix<double> basis_;       ///< -B, which subtract_product takes away
    matrix<double> transposed_;  ///< -B^T
};

}  // namespace QUELL_BASELINE
}  // namespace quell::transforms
