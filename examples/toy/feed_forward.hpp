// SPDX-License-Identifier: MIT
/// @file
/// The elementwise halves of the two feed-forward forms, with their derivatives. Sources: Shazeer, arXiv 2002.05202
/// (SwiGLU); Hendrycks and Gimpel, arXiv 1606.08415 (GELU, the exact form with erf).
#pragma once

#include "toy/product.hpp"

#include <cmath>
#include <numbers>

namespace toy {

template <typename T>
[[nodiscard]] T sigmoid(T x) {
    return T{1} / (T{1} + std::exp(-x));
}

/// The distribution function of the standard normal.
template <typename T>
[[nodiscard]] T normal_cdf(T x) {
    return T{0.5} * (T{1} + std::erf(x * (std::numbers::sqrt2_v<T> / T{2})));
}

/// out = silu(gate) * up. All are [tokens, ff_width].
template <typename T>
void swiglu(quell::matrix_view<const T> gate, quell::matrix_view<const T> up, quell::matrix_view<T> out,
            const quell::executor& threads) {
    for_row_blocks(out.rows(), 32, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin * out.cols(); i < end * out.cols(); ++i) {
            const T g = gate.data()[i];
            out.data()[i] = g * sigmoid(g) * up.data()[i];
        }
    });
}

/// Writes dL/dgate and dL/dup over gate and up.
template <typename T>
void swiglu_backward(quell::matrix_view<const T> dout, quell::matrix_view<T> gate, quell::matrix_view<T> up,
                     const quell::executor& threads) {
    for_row_blocks(dout.rows(), 32, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin * dout.cols(); i < end * dout.cols(); ++i) {
            const T d = dout.data()[i];
            const T g = gate.data()[i];
            const T s = sigmoid(g);
            gate.data()[i] = d * up.data()[i] * s * (T{1} + g * (T{1} - s));
            up.data()[i] = d * g * s;
        }
    });
}

/// out = up * Phi(up).
template <typename T>
void gelu(quell::matrix_view<const T> up, quell::matrix_view<T> out, const quell::executor& threads) {
    for_row_blocks(out.rows(), 32, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin * out.cols(); i < end * out.cols(); ++i) {
            out.data()[i] = up.data()[i] * normal_cdf(up.data()[i]);
        }
    });
}

/// Writes dL/dup over up. d/du (u Phi(u)) = Phi(u) + u phi(u).
template <typename T>
void gelu_backward(quell::matrix_view<const T> dout, quell::matrix_view<T> up, const quell::executor& threads) {
    constexpr T peak = T{0.5} * std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>;
    for_row_blocks(dout.rows(), 32, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin * dout.cols(); i < end * dout.cols(); ++i) {
            const T u = up.data()[i];
            up.data()[i] = dout.data()[i] * (normal_cdf(u) + u * peak * std::exp(T{-0.5} * u * u));
        }
    });
}

}  // namespace toy
