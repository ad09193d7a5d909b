// SPDX-License-Identifier: MIT
/// @file
/// The elementwise halves of the two feed-forward forms, with their derivatives. Sources: Shazeer, arXiv 2002.05202
/// (SwiGLU); Hendrycks and Gimpel, arXiv 1606.08415 (GELU, the exact form with erf).
#pragma once

#include "toy/elementary.hpp"
#include "toy/product.hpp"

#include <numbers>

namespace toy {

/// out = silu(gate) * up. All are [tokens, ff_width].
template <typename T>
void swiglu(quell::matrix_view<const T> gate, quell::matrix_view<const T> up, quell::matrix_view<T> out,
            const quell::executor& threads) {
    for_row_blocks(out.rows(), 32, threads, [&](std::size_t begin, std::size_t end) {
        const T* from_gate = gate.data();
        const T* from_up = up.data();
        T* to = out.data();
        for (std::size_t i = begin * out.cols(); i < end * out.cols(); ++i) {
            to[i] = from_gate[i] * sigmoid(from_gate[i]) * from_up[i];
        }
    });
}

/// Writes dL/dgate and dL/dup over gate and up.
template <typename T>
void swiglu_backward(quell::matrix_view<const T> dout, quell::matrix_view<T> gate, quell::matrix_view<T> up,
                     const quell::executor& threads) {
    for_row_blocks(dout.rows(), 32, threads, [&](std::size_t begin, std::size_t end) {
        const T* d = dout.data();
        T* g = gate.data();
        T* u = up.data();
        for (std::size_t i = begin * dout.cols(); i < end * dout.cols(); ++i) {
            const T s = sigmoid(g[i]);
            const T dgate = d[i] * u[i] * s * (T{1} + g[i] * (T{1} - s));
            u[i] = d[i] * g[i] * s;
            g[i] = dgate;
        }
    });
}

/// out = up * Phi(up).
template <typename T>
void gelu(quell::matrix_view<const T> up, quell::matrix_view<T> out, const quell::executor& threads) {
    for_row_blocks(out.rows(), 32, threads, [&](std::size_t begin, std::size_t end) {
        const T* from = up.data();
        T* to = out.data();
        for (std::size_t i = begin * out.cols(); i < end * out.cols(); ++i) {
            to[i] = from[i] * normal_cdf(from[i]);
        }
    });
}

/// Writes dL/dup over up. d/du (u Phi(u)) = Phi(u) + u phi(u).
template <typename T>
void gelu_backward(quell::matrix_view<const T> dout, quell::matrix_view<T> up, const quell::executor& threads) {
    constexpr T peak = T{0.5} * std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;
    for_row_blocks(dout.rows(), 32, threads, [&](std::size_t begin, std::size_t end) {
        const T* d = dout.data();
        T* u = up.data();
        for (std::size_t i = begin * dout.cols(); i < end * dout.cols(); ++i) {
            u[i] = d[i] * (normal_cdf(u[i]) + u[i] * peak * exponential(T{-0.5} * u[i] * u[i]));
        }
    });
}

}  // namespace toy
