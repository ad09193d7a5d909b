// SPDX-License-Identifier: MIT
/// @file
/// `matrix_view`: a row-major matrix that somebody else owns. Vectors are std::span. Algorithms speak in these.
#pragma once

#include "quell/core/target.hpp"

#include <cstddef>
#include <span>
#include <type_traits>

namespace quell {
inline namespace QUELL_BASELINE {

/// Rows of `cols` elements, `stride` elements apart.
template <typename T>
class matrix_view {
public:
    matrix_view() = default;
    QUELL_ALWAYS_INLINE matrix_view(T* data, std::size_t rows, std::size_t cols)
        : matrix_view(data, rows, cols, cols) {}
    QUELL_ALWAYS_INLINE matrix_view(T* data, std::size_t rows, std::size_t cols, std::size_t stride)
        : data_(data), rows_(rows), cols_(cols), stride_(stride) {
        QUELL_EXPECTS(stride >= cols || rows <= 1, "rows overlap");
    }
    template <typename U>
    requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>) QUELL_ALWAYS_INLINE matrix_view(matrix_view<U> other)
        : matrix_view(other.data(), other.rows(), other.cols(), other.stride()) {}

    [[nodiscard]] QUELL_ALWAYS_INLINE T* data() const { return data_; }
    [[nodiscard]] QUELL_ALWAYS_INLINE std::size_t rows() const { return rows_; }
    [[nodiscard]] QUELL_ALWAYS_INLINE std::size_t cols() const { return cols_; }
    [[nodiscard]] QUELL_ALWAYS_INLINE std::size_t stride() const { return stride_; }
    [[nodiscard]] QUELL_ALWAYS_INLINE bool empty() const { return rows_ == 0 || cols_ == 0; }

    [[nodiscard]] QUELL_ALWAYS_INLINE T& operator()(std::size_t r, std::size_t c) const {
        QUELL_EXPECTS(r < rows_ && c < cols_, "an element outside the matrix");
        return data_[r * stride_ + c];
    }
    [[nodiscard]] QUELL_ALWAYS_INLINE std::span<T> row(std::size_t r) const {
        QUELL_EXPECTS(r < rows_, "a row outside the matrix");
        return {data_ + r * stride_, cols_};
    }
    [[nodiscard]] QUELL_ALWAYS_INLINE matrix_view block(std::size_t r, std::size_t c, std::size_t rows,
                                                        std::size_t cols) const {
        QUELL_EXPECTS(r + rows <= rows_ && c + cols <= cols_, "a block outside the matrix");
        return {data_ + r * stride_ + c, rows, cols, stride_};
    }

private:
    T* data_ = nullptr;
    std::size_t rows_ = 0;
    std::size_t cols_ = 0;
    std::size_t stride_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell
