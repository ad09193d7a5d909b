// SPDX-License-Identifier: MIT
/// @file
/// The Gram matrix X^T X of the inputs of a linear: the Hessian of GPTQ, the basis of QUAD, the column importance of a
/// clip search (its diagonal). In float at the speed of the kernels, apart from the few rows that would spoil that.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/views.hpp"
#include "quell/kernels/dispatch.hpp"
#include "quell/kernels/panels.hpp"
#include "quell/stats/absmax.hpp"
#include "quell/stats/collector.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace quell::stats {
inline namespace QUELL_BASELINE {

/// Room for the operands of one product; one serves any number of collectors, one after the other.
struct gram_workspace {
    buffer<float> panels;   ///< X in panels of 16 channels
    buffer<float> columns;  ///< X^T

    void reserve(std::size_t rows, std::size_t channels) {
        const std::size_t padded = kernels::round_up(channels, kernels::panel_rows);
        if (panels.size() < rows * padded || columns.size() < stride(rows) * padded) {
            panels = buffer<float>(rows * padded);
            columns = buffer<float>(stride(rows) * padded);
        }
    }
    /// Between columns of X: no power of two, which would put them all into the same corner of the cache.
    [[nodiscard]] static std::size_t stride(std::size_t rows) { return rows + kernels::panel_rows; }
};

namespace detail {

inline constexpr std::size_t gram_chunk = 512;  ///< rows that are multiplied at once
inline constexpr std::size_t gram_band = 48;    ///< rows of the sum that one task makes

/// The upper triangle of a symmetric matrix in bands of rows, each from its first diagonal element to the right.
struct triangle_bands {
    std::size_t channels = 0;

    [[nodiscard]] std::size_t bands() const { return (channels + gram_band - 1) / gram_band; }
    [[nodiscard]] std::size_t first(std::size_t band) const { return band * gram_band; }
    [[nodiscard]] std::size_t rows(std::size_t band) const { return std::min(gram_band, channels - first(band)); }
    [[nodiscard]] std::size_t first_column(std::size_t band) const { return first(band); }
    [[nodiscard]] std::size_t width(std::size_t band) const { return channels - first_column(band); }
    [[nodiscard]] std::size_t offset(std::size_t band) const {
        return gram_band * (band * channels - gram_band * (band * (band - std::min<std::size_t>(band, 1)) / 2));
    }
    [[nodiscard]] std::size_t size() const {
        return channels == 0 ? 0 : offset(bands() - 1) + rows(bands() - 1) * width(bands() - 1);
    }
};

/// A whole square matrix in bands of rows.
struct square_bands {
    std::size_t channels = 0;

    [[nodiscard]] std::size_t bands() const { return (channels + gram_band - 1) / gram_band; }
    [[nodiscard]] std::size_t first(std::size_t band) const { return band * gram_band; }
    [[nodiscard]] std::size_t rows(std::size_t band) const { return std::min(gram_band, channels - first(band)); }
    [[nodiscard]] std::size_t first_column(std::size_t) const { return 0; }
    [[nodiscard]] std::size_t width(std::size_t) const { return channels; }
    [[nodiscard]] std::size_t offset(std::size_t band) const { return first(band) * channels; }
};

/// Rows whose largest magnitude exceeds 16 times the median row's, the first 16 of them: in a sum in float the rest of
/// their chunk would drown.
[[nodiscard]] inline std::vector<std::size_t> massive_rows(matrix_view<const float> x, const executor& threads) {
    std::vector<std::uint32_t> largest(x.rows());  // bits of magnitudes order as the magnitudes, NaN above all
    constexpr std::size_t rows_per_task = 32;
    threads.parallel_for((x.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
        for (std::size_t t = task * rows_per_task; t < std::min(x.rows(), (task + 1) * rows_per_task); ++t) {
            largest[t] = largest_magnitude(x.row(t));
        }
    });
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

/// Adds X^T Y of at most gram_chunk rows, some of them left out, to the bands of a sum.
template <typename Bands>
class gram_product {
public:
    gram_product(matrix_view<const float> x, matrix_view<const float> y, std::span<const std::size_t> left_out,
                 float* sum, gram_workspace& room)
        : x_(x), y_(y), left_out_(left_out), sum_(sum), room_(room) {
        room_.reserve(x.rows(), x.cols());
    }

    void run(const executor& threads) {
        threads.parallel_for((y_.cols() + kernels::panel_rows - 1) / kernels::panel_rows,
                             [&](std::size_t panel) { fill_panel(panel); });
        threads.parallel_for(Bands{x_.cols()}.bands(), [&](std::size_t band) { add_band(band); });
    }

private:
    [[nodiscard]] std::size_t panel_stride() const { return kernels::panel_rows * y_.rows(); }

    void fill_panel(std::size_t panel) {
        const std::size_t first = panel * kernels::panel_rows;
        const std::size_t count = std::min(kernels::panel_rows, y_.cols() - first);
        float* to = room_.panels.data() + panel * panel_stride();
        for (std::size_t t = 0; t < y_.rows(); ++t) {
            const float* from = y_.data() + t * y_.stride() + first;
            std::fill(std::copy_n(from, count, to + t * kernels::panel_rows), to + (t + 1) * kernels::panel_rows, 0.0F);
        }
        for (const std::size_t t : left_out_) {
            std::fill_n(to + t * kernels::panel_rows, kernels::panel_rows, 0.0F);
        }
    }

    void add_band(std::size_t band) {
        const Bands bands{x_.cols()};
        const std::size_t first = bands.first(band);
        const std::size_t stride = gram_workspace::stride(x_.rows());
        const matrix_view<float> columns(room_.columns.data() + first * stride, bands.rows(band), x_.rows(), stride);
        transpose<float>(x_.block(0, first, x_.rows(), bands.rows(band)), columns);
        for (const std::size_t t : left_out_) {
            for (std::size_t k = 0; k < columns.rows(); ++k) {
                columns(k, t) = 0.0F;
            }
        }
        const std::size_t first_panel = bands.first_column(band) / kernels::panel_rows;
        const kernels::gemm_f32_args args{.x = columns.data(),
                                          .ldx = stride,
                                          .m = columns.rows(),
                                          .panels = room_.panels.data() + first_panel * panel_stride(),
                                          .panel_stride = panel_stride(),
                                          .n = bands.width(band),
                                          .k = x_.rows(),
                                          .y = sum_ + bands.offset(band),
                                          .ldy = bands.width(band),
                                          .accumulate = true};
        kernels::best().gemm_f32(args, 0, (args.n + kernels::panel_rows - 1) / kernels::panel_rows);
    }

    matrix_view<const float> x_;
    matrix_view<const float> y_;
    std::span<const std::size_t> left_out_;
    float* sum_;
    gram_workspace& room_;
};

}  // namespace detail

/// Sum over tokens of x x^T.
///
/// Shapes   x [tokens, C]; sum() [C, C], symmetric.
/// Cost     tokens * C^2 / 2 multiply-adds in float; 2 C (C + 48) bytes, at most 2048 C for rows that wait, and 4 C for
///          every massive row.
///
/// Rows are multiplied 512 at a time, counted from the first; a batch that ends between waits in a copy. Rows far above
/// the others of their 512 (massive tokens) are kept and multiplied in double, so that the others do not drown. The
/// bits depend on the rows alone: not on batches, threads, instruction set or contraction. Of n rows an element differs
/// from the exact sum by at most (512 + n / 512) 2^-24 sum_t |x_ti x_tj|, in practice by a hundredth of that. A merge
/// closes the left side's last 512 rows early, and adds two sums.
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
                multiply(rows, threads, room);
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
        flush({}, room);
        for (std::size_t i = 0; i < sum_.size(); ++i) {
            sum_[i] += other.sum_[i];
        }
        waiting_ = other.waiting_;
        massive_.insert(massive_.end(), other.massive_.begin(), other.massive_.end());
        count_ += other.count_;
    }

    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::size_t channels() const { return channels_; }
    [[nodiscard]] matrix<double> sum(const executor& threads = {}) const {
        if (!waiting_.empty()) {
            gram all = *this;
            gram_workspace room;
            all.flush(threads, room);
            return all.sum(threads);
        }
        matrix<double> full(channels_, channels_);
        threads.parallel_for(detail::triangle_bands{channels_}.bands(), [&](std::size_t b) { write_band(b, full); });
        return full;
    }

private:
    void widen(std::size_t channels) {
        QUELL_EXPECTS(count_ == 0 || channels_ == channels, "rows of another width");
        channels_ = channels;
        sum_.resize(detail::triangle_bands{channels}.size(), 0.0F);
    }
    [[nodiscard]] std::size_t waiting_rows() const { return channels_ == 0 ? 0 : waiting_.size() / channels_; }

    void wait(matrix_view<const float> rows, const executor& threads, gram_workspace& room) {
        for (std::size_t t = 0; t < rows.rows(); ++t) {
            waiting_.insert(waiting_.end(), rows.row(t).begin(), rows.row(t).end());
        }
        if (waiting_rows() == detail::gram_chunk) {
            flush(threads, room);
        }
    }

    void flush(const executor& threads, gram_workspace& room) {
        const std::vector<float> rows = std::exchange(waiting_, {});
        if (!rows.empty()) {
            multiply({rows.data(), rows.size() / channels_, channels_}, threads, room);
        }
    }

    void multiply(matrix_view<const float> rows, const executor& threads, gram_workspace& room) {
        const std::vector<std::size_t> massive = detail::massive_rows(rows, threads);
        for (const std::size_t t : massive) {
            massive_.insert(massive_.end(), rows.row(t).begin(), rows.row(t).end());
        }
        detail::gram_product<detail::triangle_bands>(rows, rows, massive, sum_.data(), room).run(threads);
    }

    /// A band and its mirror image.
    void write_band(std::size_t band, matrix<double>& full) const {
        const detail::triangle_bands bands{channels_};
        const matrix_view<const float> sums(sum_.data() + bands.offset(band), bands.rows(band), bands.width(band));
        const std::size_t first = bands.first(band);
        for (std::size_t r = 0; r < sums.rows(); ++r) {
            double* row = &full(first + r, first);
            std::copy_n(&sums(r, r), sums.cols() - r, row + r);
            for (std::size_t t = 0; t < massive_.size(); t += channels_) {
                const float* x = &massive_[t + first];
                for (std::size_t j = r; j < sums.cols(); ++j) {  // a product of two floats is exact in double
                    row[j] += static_cast<double>(x[r]) * static_cast<double>(x[j]);
                }
            }
            for (std::size_t j = r; j < sums.cols(); ++j) {
                full(first + j, first + r) = row[j];
            }
        }
    }

    std::vector<float> sum_;      ///< detail::triangle_bands, without the massive rows
    std::vector<float> massive_;  ///< rows
    std::vector<float> waiting_;  ///< rows since the last multiple of 512
    std::size_t channels_ = 0;
    std::uint64_t count_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
