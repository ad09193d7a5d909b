// SPDX-License-Identifier: MIT
/// @file
/// RMSNorm with its backward pass. Source: Zhang and Sennrich, arXiv 1910.07467.
#pragma once

#include "toy/elementary.hpp"
#include "toy/parameters.hpp"
#include "toy/product.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>

namespace toy {

/// y = g * x / sqrt(mean(x^2) + eps) for every row.
template <typename T>
class rms_norm {
public:
    rms_norm(std::string name, std::size_t width, double eps)
        : gain_(std::move(name), 1, width), eps_(static_cast<T>(eps)) {
        gain_.is_gain = true;
        std::ranges::fill(gain_.value.elements(), T{1});
    }

    void set_gain(std::span<const T> gain) { std::ranges::copy(gain, gain_.value.elements().begin()); }

    /// x and y are [tokens, width]; x may change afterwards.
    void forward(quell::matrix_view<const T> x, quell::matrix_view<T> y, const quell::executor& threads) {
        if (normalized_.rows() != x.rows()) {
            normalized_ = quell::matrix<T>(x.rows(), x.cols());
            inverse_ = quell::buffer<T>(x.rows());
        }
        for_row_blocks(x.rows(), block, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t t = begin; t < end; ++t) {
                normalize(t, x.row(t).data(), y.row(t).data());
            }
        });
    }

    /// Adds dL/dx to dx. The gain's gradient is summed block by block, in order.
    void backward(quell::matrix_view<const T> dy, quell::matrix_view<T> dx, const quell::executor& threads) {
        const std::size_t width = dy.cols();
        quell::matrix<T> partial((dy.rows() + block - 1) / block, width);
        for_row_blocks(dy.rows(), block, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t t = begin; t < end; ++t) {
                propagate(t, dy.row(t).data(), dx.row(t).data(), partial.row(begin / block).data());
            }
        });
        for (std::size_t b = 0; b < partial.rows(); ++b) {
            for (std::size_t c = 0; c < width; ++c) {
                gain_.gradient(0, c) += partial(b, c);
            }
        }
    }

    template <typename F>
    void for_each_parameter(F f) {
        f(gain_);
    }

private:
    static constexpr std::size_t block = 64;

    void normalize(std::size_t t, const T* x, T* y) {
        const std::size_t width = gain_.value.cols();
        const T* gain = gain_.value.elements().data();
        const T sum = interleaved_sum<T>(width, [&](std::size_t c) { return x[c] * x[c]; });
        const T inverse = T{1} / std::sqrt(sum / static_cast<T>(width) + eps_);
        inverse_[t] = inverse;
        T* normalized = normalized_.row(t).data();
        for (std::size_t c = 0; c < width; ++c) {
            normalized[c] = x[c] * inverse;
            y[c] = gain[c] * normalized[c];
        }
    }

    /// With n = x * inverse and e = g * dy: dx = inverse * (e - n * mean(e * n)).
    void propagate(std::size_t t, const T* dy, T* dx, T* gain_gradient) {
        const std::size_t width = gain_.value.cols();
        const T* gain = gain_.value.elements().data();
        const T* normalized = normalized_.row(t).data();
        for (std::size_t c = 0; c < width; ++c) {
            gain_gradient[c] += dy[c] * normalized[c];
        }
        const T sum = interleaved_sum<T>(width, [&](std::size_t c) { return gain[c] * dy[c] * normalized[c]; });
        const T mean = sum / static_cast<T>(width);
        for (std::size_t c = 0; c < width; ++c) {
            dx[c] += inverse_[t] * (gain[c] * dy[c] - mean * normalized[c]);
        }
    }

    parameter<T> gain_;
    T eps_;
    quell::matrix<T> normalized_;
    quell::buffer<T> inverse_;
};

}  // namespace toy
