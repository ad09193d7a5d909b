// SPDX-License-Identifier: MIT
/// @file
/// Matrix products of a backward pass, on panels of 16 columns as the float kernels read them. In float they run
/// through those kernels; the plain loop serves double, in which gradients are checked. An output is one sum over k in
/// a fixed order, so no split over threads changes a bit.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/target.hpp"
#include "quell/kernels/dispatch.hpp"
#include "quell/kernels/panels.hpp"

#include <algorithm>
#include <cstddef>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

inline constexpr std::size_t panel_width = kernels::panel_rows;

[[nodiscard]] inline std::size_t panel_count(std::size_t n) {
    return (n + panel_width - 1) / panel_width;
}

/// Calls f(begin, end) for blocks of `block` rows. The blocks depend on nothing but the sizes.
template <typename F>
void for_row_blocks(std::size_t rows, std::size_t block, const executor& threads, F f) {
    threads.parallel_for((rows + block - 1) / block,
                         [&](std::size_t b) { f(b * block, std::min(rows, (b + 1) * block)); });
}

/// The right operand B [k, n] of a product, in panels: element (kk, p * 16 + j) at data[(p * k + kk) * 16 + j].
template <typename T>
class packed {
public:
    /// B = w.
    void pack(matrix_view<const T> w) {
        reserve(w.cols(), w.rows());
        for (std::size_t p = 0; p < panel_count(n_); ++p) {
            const std::size_t first = p * panel_width;
            const std::size_t width = std::min(panel_width, n_ - first);
            for (std::size_t kk = 0; kk < k_; ++kk) {
                T* to = data_.data() + (p * k_ + kk) * panel_width;
                std::copy_n(w.data() + kk * w.stride() + first, width, to);
                std::fill(to + width, to + panel_width, T{0});
            }
        }
    }

    /// B = w^T.
    void pack_transposed(matrix_view<const T> w) {
        reserve(w.rows(), w.cols());
        for (std::size_t p = 0; p < panel_count(n_); ++p) {
            T* panel = data_.data() + p * k_ * panel_width;
            for (std::size_t j = 0; j < panel_width; ++j) {
                const std::size_t row = p * panel_width + j;
                for (std::size_t kk = 0; kk < k_; ++kk) {
                    panel[kk * panel_width + j] = row < n_ ? w.data()[row * w.stride() + kk] : T{0};
                }
            }
        }
    }

    [[nodiscard]] std::size_t n() const { return n_; }
    [[nodiscard]] std::size_t k() const { return k_; }
    [[nodiscard]] const T* data() const { return data_.data(); }

private:
    void reserve(std::size_t n, std::size_t k) {
        n_ = n;
        k_ = k;
        const std::size_t needed = panel_count(n) * panel_width * k;
        if (data_.size() < needed) {
            data_ = buffer<T>(needed);
        }
    }

    buffer<T> data_;
    std::size_t n_ = 0;
    std::size_t k_ = 0;
};

enum class into { overwrite, add };

/// The part of a product that one task computes: y [m, n] = or += x [m, k] B, B rows k_begin ... k_begin + k - 1.
template <typename T>
struct product_part {
    matrix_view<const T> x;  ///< [m, k]
    const packed<T>* b = nullptr;
    std::size_t k_begin = 0;
    matrix_view<T> y;  ///< [m, n], n at most b->n()
    into mode = into::overwrite;
};

inline void multiply_part(const product_part<float>& part) {
    const kernels::gemm_f32_args args{.x = part.x.data(),
                                      .ldx = part.x.stride(),
                                      .m = part.x.rows(),
                                      .panels = part.b->data() + part.k_begin * panel_width,
                                      .panel_stride = part.b->k() * panel_width,
                                      .n = part.y.cols(),
                                      .k = part.x.cols(),
                                      .bias = nullptr,
                                      .y = part.y.data(),
                                      .ldy = part.y.stride(),
                                      .accumulate = part.mode == into::add};
    kernels::best().gemm_f32(args, 0, panel_count(part.y.cols()));
}

inline void multiply_part(const product_part<double>& part) {
    for (std::size_t r = 0; r < part.y.rows(); ++r) {
        for (std::size_t c = 0; c < part.y.cols(); ++c) {
            const double* column = part.b->data() + (c / panel_width * part.b->k() + part.k_begin) * panel_width;
            double sum = part.mode == into::add ? part.y(r, c) : 0.0;
            for (std::size_t kk = 0; kk < part.x.cols(); ++kk) {
                sum += part.x(r, kk) * column[kk * panel_width + c % panel_width];
            }
            part.y(r, c) = sum;
        }
    }
}

/// y [m, n] = or += x [m, k] B [k, n], split over the threads by rows.
template <typename T>
void multiply(matrix_view<const T> x, const packed<T>& b, matrix_view<T> y, into mode, const executor& threads) {
    QUELL_EXPECTS(x.cols() == b.k() && y.cols() == b.n() && x.rows() == y.rows(), "sizes of a product");
    constexpr std::size_t block = 96;
    for_row_blocks(x.rows(), block, threads, [&](std::size_t begin, std::size_t end) {
        multiply_part(product_part<T>{.x = x.block(begin, 0, end - begin, x.cols()),
                                      .b = &b,
                                      .y = y.block(begin, 0, end - begin, y.cols()),
                                      .mode = mode});
    });
}

/// to = from^T, tile by tile.
template <typename T>
void transpose(matrix_view<const T> from, matrix_view<T> to, const executor& threads) {
    constexpr std::size_t tile = 32;
    for_row_blocks(from.rows(), tile, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t c0 = 0; c0 < from.cols(); c0 += tile) {
            for (std::size_t c = c0; c < std::min(from.cols(), c0 + tile); ++c) {
                T* row = to.data() + c * to.stride();
                for (std::size_t r = begin; r < end; ++r) {
                    row[r] = from.data()[r * from.stride() + c];
                }
            }
        }
    });
}

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
