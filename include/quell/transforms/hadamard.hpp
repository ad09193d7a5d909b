// SPDX-License-Identifier: MIT
/// @file
/// The Hadamard transform of an input's channels, in double: spreads every outlier evenly over all of them. Weights are
/// folded with it once; online the kernel `hadamard_rows` applies the same H to the activations in float.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/hadamard.hpp"
#include "quell/transforms/transform.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quell::transforms {
inline namespace QUELL_BASELINE {

namespace detail {

/// The factor 2^m: butterflies inside every `block` elements.
inline void walsh(std::span<double> row, std::size_t block) {
    for (std::size_t stride = 1; stride < block; stride *= 2) {
        for (std::size_t base = 0; base < row.size(); base += 2 * stride) {
            for (std::size_t i = base; i < base + stride; ++i) {
                const double a = row[i];
                const double b = row[i + stride];
                row[i] = a + b;
                row[i + stride] = a - b;
            }
        }
    }
}

/// The sums of four inputs [4][block] with all 16 choices of signs; bit i of the choice: input i is subtracted.
inline void sign_sums(const double* in, std::size_t block, std::span<double> sums) {
    for (std::size_t signing = 0; signing < 16; ++signing) {
        const auto input = [&](std::size_t i, std::size_t k) {
            const double v = in[i * block + k];
            return (signing >> i & 1U) != 0 ? -v : v;
        };
        for (std::size_t k = 0; k < block; ++k) {
            sums[signing * block + k] = (input(0, k) + input(1, k)) + (input(2, k) + input(3, k));
        }
    }
}

/// The factor K: y = Had_K x for x, y [order][block]. The rows of Had_K share the sums of four inputs: a quarter of the
/// additions.
inline void mix(const kernels::hadamard_shape& shape, std::span<const std::uint64_t> signs, std::span<const double> x,
                std::span<double> y) {
    std::vector<double> sums(16 * shape.block);
    std::fill(y.begin(), y.end(), 0.0);
    for (std::size_t j = 0; j < shape.order; j += 4) {
        sign_sums(x.data() + j * shape.block, shape.block, sums);
        for (std::size_t i = 0; i < shape.order; ++i) {
            const std::uint64_t word = signs[i * shape.sign_words() + j / 64];
            const double* sum = sums.data() + (word >> j % 64 & 15U) * shape.block;
            double* out = y.data() + i * shape.block;
            for (std::size_t k = 0; k < shape.block; ++k) {
                out[k] += sum[k];
            }
        }
    }
}

template <std::floating_point T>
void rotate_rows(matrix_view<T> m, const kernels::hadamard_shape& shape, std::span<const std::uint64_t> signs) {
    QUELL_EXPECTS(m.cols() == shape.size(), "a matrix as wide as the transform");
    const double scale = shape.scale();
    std::vector<double> row(m.cols());
    std::vector<double> mixed(m.cols());
    for (std::size_t r = 0; r < m.rows(); ++r) {
        std::copy(m.row(r).begin(), m.row(r).end(), row.begin());
        walsh(row, shape.block);
        if (shape.order != 1) {
            mix(shape, signs, row, mixed);
            row.swap(mixed);
        }
        // The only product comes last: nothing that a compiler could contract, so the same bits everywhere.
        std::transform(row.begin(), row.end(), m.row(r).begin(), [&](double v) { return static_cast<T>(v * scale); });
    }
}

}  // namespace detail

/// How far an outlier is spread.
enum class rotation : std::uint8_t {
    none,
    full,    ///< over all channels, as far as a Hadamard matrix of their number is known
    blocks,  ///< over blocks of the largest power of two in their number: a few additions a channel
};

[[nodiscard]] constexpr kernels::hadamard_shape shape_of(rotation kind, std::size_t channels) {
    if (kind == rotation::none || channels == 0) {
        return {};
    }
    const std::size_t power = channels & (~channels + 1);
    return kind == rotation::full ? kernels::hadamard_shape_of(channels)
                                  : kernels::hadamard_shape{1, power, channels / power};
}

/// The transform T = H^T of rows of n channels: x H^T online, W H^T in the weight, whose rows become H w. Blocks of a
/// power of two, and is_full() false, where no Hadamard matrix of n is known. By default of no channels: empty.
///
/// Cost     n (m + K / 2) additions a row of n = K 2^m, in double; each element is rounded once.
/// Source   QuaRot, arXiv 2404.00456. Differs: the smallest K with n's odd part, made by kernels/hadamard.hpp.
/// Oracle   reference::hadamard_product (tests/reference/hadamard.hpp).
class hadamard {
public:
    hadamard() = default;
    explicit hadamard(std::size_t channels) : hadamard(rotation::full, channels) {}
    hadamard(rotation kind, std::size_t channels)
        : kind_(channels == 0 ? rotation::none : kind),
          shape_(shape_of(kind, channels)),
          signs_(shape_.sign_words() * shape_.order) {
        if (!signs_.empty()) {
            kernels::make_hadamard_signs(shape_, signs_.data());
        }
    }

    [[nodiscard]] rotation kind() const { return kind_; }
    [[nodiscard]] std::size_t size() const { return shape_.size(); }
    [[nodiscard]] bool empty() const { return size() == 0; }
    [[nodiscard]] const kernels::hadamard_shape& shape() const { return shape_; }
    /// Of Had_K, for the kernel.
    [[nodiscard]] std::span<const std::uint64_t> signs() const { return signs_; }
    [[nodiscard]] bool is_full() const { return shape_.is_full(); }

    template <std::floating_point T>
    void apply(matrix_view<T> weight, const executor& threads = {}) const {
        rotate(weight, signs_, threads);
    }
    template <std::floating_point T>
    void undo(matrix_view<T> weight, const executor& threads = {}) const {
        rotate(weight, transposed_signs(), threads);
    }
    template <std::floating_point T>
    void apply_to_input(matrix_view<T> x) const {
        detail::rotate_rows(x, shape_, signs_);
    }
    /// Of a weight [n, in] that writes these channels: its columns become H w, so that y H^T comes out.
    template <std::floating_point T>
    void apply_to_output(matrix_view<T> weight) const {
        matrix<T> columns = transposed(matrix_view<const T>(weight));
        detail::rotate_rows(columns.view(), shape_, signs_);
        transpose<T>(columns.view(), weight);
    }

private:
    template <std::floating_point T>
    void rotate(matrix_view<T> rows, std::span<const std::uint64_t> signs, const executor& threads) const {
        constexpr std::size_t rows_per_task = 16;
        threads.parallel_for((rows.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
            const std::size_t first = task * rows_per_task;
            const std::size_t n = std::min(rows_per_task, rows.rows() - first);
            detail::rotate_rows(rows.block(first, 0, n, rows.cols()), shape_, signs);
        });
    }

    /// H is orthogonal, so H^T undoes it; its power of two is symmetric.
    [[nodiscard]] std::vector<std::uint64_t> transposed_signs() const {
        std::vector<std::uint64_t> words(signs_.size());
        if (words.empty()) {
            return words;  // a power of two alone
        }
        kernels::detail::fill_signs(shape_, words.data(), [&](std::size_t i, std::size_t j) {
            return kernels::hadamard_is_negative(shape_, signs_.data(), j, i);
        });
        return words;
    }

    rotation kind_ = rotation::none;
    kernels::hadamard_shape shape_;
    std::vector<std::uint64_t> signs_;
};

static_assert(transform<hadamard>);

}  // namespace QUELL_BASELINE
}  // namespace quell::transforms
