// SPDX-License-Identifier: MIT
/// @file
/// Memory for the backward pass of one linear at a time, and the two products of it.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/target.hpp"
#include "quell/tuning/product.hpp"

#include <cstddef>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

/// All linears of a network share it.
struct linear_scratch {
    buffer<std::byte> workspace;
    matrix<float> weight;   ///< dequantized, with all changes; or its gradient
    matrix<float> swapped;  ///< dL/dy, transposed
    matrix<float> ordered;  ///< the input of a split linear in the order of its parts
    matrix<float> part;     ///< the output of one of them, or dL of that input
    packed<float> operand;

    void reserve(std::size_t bytes) {
        if (workspace.size() < bytes) {
            workspace = buffer<std::byte>(bytes);
        }
    }
    static void resize(matrix<float>& m, std::size_t rows, std::size_t cols) {
        if (m.rows() != rows || m.cols() != cols) {
            m = matrix<float>(rows, cols);
        }
    }

    /// dw [out, in] = or += dy^T x.
    void weight_gradient(matrix_view<const float> x, matrix_view<const float> dy, matrix_view<float> dw, into mode,
                         const executor& threads) {
        resize(swapped, dy.cols(), dy.rows());
        transpose(dy, swapped.view(), threads);
        operand.pack(x);
        multiply<float>(swapped.view(), operand, dw, mode, threads);
    }

    /// dx [tokens, in] += dy weight.
    void add_input_gradient(matrix_view<const float> dy, matrix_view<float> dx, const executor& threads) {
        operand.pack(weight.view());
        multiply(dy, operand, dx, into::add, threads);
    }
};

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
