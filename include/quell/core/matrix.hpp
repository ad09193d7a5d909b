// SPDX-License-Identifier: MIT
/// @file
/// `matrix`: a dense row-major matrix that owns its memory; everything else about it is its `view()`.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>

namespace quell {
inline namespace QUELL_BASELINE {

template <typename T>
class matrix {
public:
    matrix() = default;
    matrix(std::size_t rows, std::size_t cols) : data_(product(rows, cols)), rows_(rows), cols_(cols) {}

    [[nodiscard]] static matrix copy_of(matrix_view<const T> source) {
        matrix copy;
        copy.assign(source);
        return copy;
    }

    /// Takes shape and values of `source`; allocates only where the shape is another.
    void assign(matrix_view<const T> source) {
        if (rows_ != source.rows() || cols_ != source.cols()) {
            *this = matrix(source.rows(), source.cols());
        }
        for (std::size_t r = 0; r < rows_ && cols_ > 0; ++r) {
            std::memcpy(view().row(r).data(), source.row(r).data(), cols_ * sizeof(T));
        }
    }

    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] std::size_t cols() const { return cols_; }
    [[nodiscard]] matrix_view<T> view() { return {data_.data(), rows_, cols_}; }
    [[nodiscard]] matrix_view<const T> view() const { return {data_.data(), rows_, cols_}; }
    [[nodiscard]] std::span<T> row(std::size_t r) { return view().row(r); }
    [[nodiscard]] std::span<const T> row(std::size_t r) const { return view().row(r); }
    [[nodiscard]] T& operator()(std::size_t r, std::size_t c) { return view()(r, c); }
    [[nodiscard]] const T& operator()(std::size_t r, std::size_t c) const { return view()(r, c); }
    [[nodiscard]] std::span<T> elements() { return data_; }
    [[nodiscard]] std::span<const T> elements() const { return data_; }

private:
    static std::size_t product(std::size_t rows, std::size_t cols) {
        QUELL_EXPECTS(cols == 0 || rows <= std::numeric_limits<std::size_t>::max() / cols,
                      "a matrix that does not fit in memory");
        return rows * cols;
    }

    buffer<T> data_;
    std::size_t rows_ = 0;
    std::size_t cols_ = 0;
};

/// target = source^T, in square blocks that stay in the first cache.
template <typename T>
void transpose(matrix_view<const T> source, matrix_view<T> target) {
    QUELL_EXPECTS(source.rows() == target.cols() && source.cols() == target.rows(), "a target of the other shape");
    constexpr std::size_t block = 32;
    for (std::size_t top = 0; top < source.rows(); top += block) {
        for (std::size_t left = 0; left < source.cols(); left += block) {
            for (std::size_t r = top; r < std::min(top + block, source.rows()); ++r) {
                for (std::size_t c = left; c < std::min(left + block, source.cols()); ++c) {
                    target(c, r) = source(r, c);
                }
            }
        }
    }
}

template <typename T>
[[nodiscard]] matrix<T> transposed(matrix_view<const T> source) {
    matrix<T> target(source.cols(), source.rows());
    transpose(source, target.view());
    return target;
}

/// The columns of both, those of `left` first.
template <typename T>
[[nodiscard]] matrix<T> side_by_side(const matrix<T>& left, const matrix<T>& right) {
    QUELL_EXPECTS(left.rows() == right.rows(), "as many rows in both");
    matrix<T> joined(left.rows(), left.cols() + right.cols());
    for (std::size_t r = 0; r < joined.rows(); ++r) {
        const auto rest = std::copy_n(left.row(r).begin(), left.cols(), joined.row(r).begin());
        std::copy_n(right.row(r).begin(), right.cols(), rest);
    }
    return joined;
}

}  // namespace QUELL_BASELINE
}  // namespace quell
