// SPDX-License-Identifier: MIT
/// @file
/// The Gram matrix X^T X of the inputs of a linear: the Hessian of GPTQ, the basis of QUAD, the column importance of a
/// clip search (its diagonal). Products of 512 rows at a time in float at the speed of the kernels, their sums in
/// double.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/dispatch.hpp"
#include "quell/kernels/panels.hpp"
#include "quell/stats/collector.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quell::stats {
inline namespace QUELL_BASELINE {

/// Room for the two operands of one product; one serves any number of collectors, one after the other.
struct gram_workspace {
    buffer<float> panels;   ///< X in panels of 16 channels
    buffer<float> columns;  ///< X^T

    void reserve(std::size_t rows, std::size_t channels) {
        const std::size_t size = rows * kernels::round_up(channels, kernels::panel_rows);
        if (panels.size() < size) {
            panels = buffer<float>(size);
            columns = buffer<float>(size);
        }
    }
};

namespace detail {

inline constexpr std::size_t gram_chunk = 512;  ///< rows that are multiplied in float
inline constexpr std::size_t gram_band = 96;    ///< rows of the matrix that one task makes

/// Rows whose largest magnitude exceeds 16 times the median row's, the first 16 of them. In a float sum the rest of
/// their chunk would drown.
[[nodiscard]] inline std::vector<std::size_t> massive_rows(matrix_view<const float> x) {
    std::vector<std::uint32_t> largest(x.rows(), 0);  // bits of magnitudes order as the magnitudes, NaN above all
    for (std::size_t t = 0; t < x.rows(); ++t) {
        for (const float v : x.row(t)) {
            largest[t] = std::max(largest[t], std::bit_cast<std::uint32_t>(v) & 0x7fffffffU);
        }
    }
    std::vector<std::uint32_t> sorted = largest;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    const float limit = 16.0F * std::bit_cast<float>(*middle);
    std::vector<std::size_t> rows;
    for (std::size_t t = 0; t < x.rows() && rows.size() < 16; ++t) {
        if (std::bit_cast<float>(largest[t]) > limit) {
            rows.push_back(t);
        }
    }
    return rows;
}

/// The upper triangle of a symmetric matrix, row after row without gaps.
struct packed_triangle {
    double* data;
    std::size_t channels;

    /// Element j >= i of row i stands at row(i)[j].
    [[nodiscard]] double* row(std::size_t i) const { return data + i * channels - i * (i + 1) / 2; }
};

/// Adds X^T X of at most gram_chunk rows to a triangle.
class gram_product {
public:
    gram_product(matrix_view<const float> x, packed_triangle sum, gram_workspace& room)
        : x_(x), sum_(sum), room_(room), massive_(massive_rows(x)), is_massive_(x.rows()) {
        room_.reserve(x.rows(), x.cols());
        for (const std::size_t t : massive_) {
            is_massive_[t] = true;
        }
    }

    void run(const executor& threads) {
        threads.parallel_for(panels(), [&](std::size_t p) { fill_panel(p); });
        threads.parallel_for((x_.cols() + gram_band - 1) / gram_band, [&](std::size_t b) {
            const std::size_t first = b * gram_band;
            add_band(first, std::min(gram_band, x_.cols() - first));
        });
    }

private:
    [[nodiscard]] std::size_t panels() const { return (x_.cols() + kernels::panel_rows - 1) / kernels::panel_rows; }
    [[nodiscard]] std::size_t panel_stride() const { return kernels::panel_rows * x_.rows(); }

    void fill_panel(std::size_t p) {
        const std::size_t first = p * kernels::panel_rows;
        const std::size_t count = std::min(kernels::panel_rows, x_.cols() - first);
        float* to = room_.panels.data() + p * panel_stride();
        for (std::size_t t = 0; t < x_.rows(); ++t, to += kernels::panel_rows) {
            const std::size_t kept = is_massive_[t] ? 0 : count;
            std::fill(std::copy_n(x_.data() + t * x_.stride() + first, kept, to), to + kernels::panel_rows, 0.0F);
        }
    }

    /// Some rows of the sum, from their diagonal to the right.
    void add_band(std::size_t first, std::size_t count) {
        const std::size_t rows = x_.rows();
        float* columns = room_.columns.data() + first * rows;
        transpose<float>(x_.block(0, first, rows, count), {columns, count, rows});
        for (std::size_t k = 0; k < count; ++k) {
            for (const std::size_t t : massive_) {
                columns[k * rows + t] = 0.0F;
            }
        }
        constexpr std::size_t strip = 4;  // panels
        float products[gram_band * strip * kernels::panel_rows];
        for (std::size_t p = first / kernels::panel_rows; p < panels(); p += strip) {
            const std::size_t column = p * kernels::panel_rows;
            const std::size_t width = std::min(strip * kernels::panel_rows, x_.cols() - column);
            const kernels::gemm_f32_args args{.x = columns,
                                              .ldx = rows,
                                              .m = count,
                                              .panels = room_.panels.data() + p * panel_stride(),
                                              .panel_stride = panel_stride(),
                                              .n = width,
                                              .k = rows,
                                              .y = products,
                                              .ldy = width};
            kernels::best().gemm_f32(args, 0, (width + kernels::panel_rows - 1) / kernels::panel_rows);
            add_products({products, count, width}, first, column);
        }
    }

    void add_products(matrix_view<const float> products, std::size_t first, std::size_t column) {
        for (std::size_t r = 0; r < products.rows(); ++r) {
            const std::size_t i = first + r;
            double* sums = sum_.row(i);
            for (std::size_t j = std::max(i, column); j < column + products.cols(); ++j) {
                sums[j] += static_cast<double>(products(r, j - column));
            }
            for (const std::size_t t : massive_) {  // a product of two floats is exact in double
                const auto factor = static_cast<double>(x_(t, i));
                for (std::size_t j = std::max(i, column); j < column + products.cols(); ++j) {
                    sums[j] += factor * static_cast<double>(x_(t, j));
                }
            }
        }
    }

    matrix_view<const float> x_;
    packed_triangle sum_;
    gram_workspace& room_;
    std::vector<std::size_t> massive_;
    std::vector<bool> is_massive_;
};

}  // namespace detail

/// Sum over tokens of x x^T.
///
/// Shapes   x [tokens, C]; sum() [C, C], symmetric.
/// Cost     tokens * C^2 / 2 multiply-adds in float; 4 C (C + 1) bytes, and up to 2048 C for rows that wait.
///
/// Rows are multiplied 512 at a time, counted from the first, in float; a batch that ends between waits in a copy. Rows
/// far above the others (massive tokens) are multiplied in double, so that the others do not drown. The bits depend on
/// the rows alone: not on batches, threads, instruction set or contraction. An element differs from the exact sum by at
/// most 2^-15 sum_t |x_ti x_tj|, and by about 2^-20 of it where errors are random. A merge closes the left side's last
/// 512 rows early: the same bits as the whole where the cut is at a multiple of 512, one more rounding elsewhere.
class gram {
public:
    void add(matrix_view<const float> x, const executor& threads = {}) {
        gram_workspace room;
        add(x, threads, room);
    }
    void add(matrix_view<const float> x, const executor& threads, gram_workspace& room) {
        widen(x.cols());
        count_ += x.rows();
        for (std::size_t first = 0; first < x.rows();) {
            const std::size_t n = std::min(detail::gram_chunk - waiting_rows(), x.rows() - first);
            const matrix_view<const float> rows = x.block(first, 0, n, channels_);
            if (n == detail::gram_chunk) {
                detail::gram_product(rows, triangle(sum_), room).run(threads);
            } else {
                wait(rows, threads, room);
            }
            first += n;
        }
    }

    void merge(const gram& other) {
        if (other.count_ == 0) {
            return;
        }
        widen(other.channels_);
        gram_workspace room;
        flush(sum_, {}, room);
        for (std::size_t i = 0; i < sum_.size(); ++i) {
            sum_[i] += other.sum_[i];
        }
        waiting_ = other.waiting_;
        count_ += other.count_;
    }

    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::size_t channels() const { return channels_; }
    [[nodiscard]] matrix<double> sum(const executor& threads = {}) const {
        std::vector<double> all = sum_;
        gram_workspace room;
        flush(all, threads, room);
        matrix<double> full(channels_, channels_);
        for (std::size_t i = 0; i < channels_; ++i) {
            for (std::size_t j = i; j < channels_; ++j) {
                full(i, j) = full(j, i) = triangle(all).row(i)[j];
            }
        }
        return full;
    }

private:
    void widen(std::size_t channels) {
        QUELL_EXPECTS(count_ == 0 || channels_ == channels, "rows of another width");
        channels_ = channels;
        sum_.resize(channels * (channels + 1) / 2, 0.0);
    }
    [[nodiscard]] detail::packed_triangle triangle(std::vector<double>& sum) const { return {sum.data(), channels_}; }
    [[nodiscard]] std::size_t waiting_rows() const { return channels_ == 0 ? 0 : waiting_.size() / channels_; }

    void wait(matrix_view<const float> rows, const executor& threads, gram_workspace& room) {
        for (std::size_t t = 0; t < rows.rows(); ++t) {
            waiting_.insert(waiting_.end(), rows.row(t).begin(), rows.row(t).end());
        }
        if (waiting_rows() == detail::gram_chunk) {
            flush(sum_, threads, room);
            waiting_ = {};
        }
    }

    void flush(std::vector<double>& sum, const executor& threads, gram_workspace& room) const {
        if (!waiting_.empty()) {
            detail::gram_product({waiting_.data(), waiting_rows(), channels_}, triangle(sum), room).run(threads);
        }
    }

    std::vector<double> sum_;     ///< the upper triangle
    std::vector<float> waiting_;  ///< rows since the last multiple of 512
    std::size_t channels_ = 0;
    std::uint64_t count_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
