// SPDX-License-Identifier: MIT
/// @file
/// `panel_packer`: packs a weight from its rows as they come, so that the whole of it is never needed unpacked.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/result.hpp"
#include "quell/core/scheme.hpp"
#include "quell/packing/codes.hpp"
#include "quell/packing/factors.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/packing/rows.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <span>
#include <string>
#include <utility>

namespace quell::packing {
inline namespace QUELL_BASELINE {
namespace detail {

[[nodiscard]] inline std::int32_t sum_of(std::span<const std::int8_t> row) {
    std::int32_t sum = 0;
    while (row.size() >= k_chunk) {
        const std::size_t length = std::min<std::size_t>(row.size() / k_chunk * k_chunk, 256);
        sum += sum_of_block(row.first(length));
        row = row.subspan(length);
    }
    return std::accumulate(row.begin(), row.end(), sum);
}

inline void put_sums(std::span<const std::int8_t> row, const panel_shape& shape, std::byte* panel, std::size_t j) {
    const std::size_t group = shape.group == 0 ? row.size() : shape.group;
    for (std::size_t k = 0; k < row.size(); k += group) {
        const std::int32_t sum = sum_of(row.subspan(k, std::min(group, row.size() - k)));
        std::memcpy(panel + shape.sums_at(k / group) + j * sizeof(sum), &sum, sizeof(sum));
    }
}

/// Writes rows, whose numbers all fit, to a panel's columns from j on; the codes `next` come after them.
inline void put_rows(const row_block& rows, matrix_view<const std::int8_t> next, unsigned offset,
                     const panel_shape& shape, std::byte* panel, std::size_t j) {
    with_format(shape.format, [&](auto format) { put_codes<format>(rows.codes, next, offset, shape, panel + 4 * j); });
    for (std::size_t r = 0; r < rows.rows(); ++r) {
        put_factors(scales_run(shape), rows.scales.row(r), panel, j + r);
        if (shape.zeros != zero_type::none) {
            put_factors(zeros_run(shape), rows.zeros.row(r), panel, j + r);
        }
        if (shape.format == panel_format::w8) {
            put_sums(rows.codes.row(r), shape, panel, j + r);
        }
    }
}

}  // namespace detail

/// The rows of a weight [out, in] in order, any number at a time, become the same bytes as pack() makes of all. Moved,
/// never copied.
class panel_packer {
public:
    /// Errors   those of panel_shape_of(); errc::unsupported for weights in float.
    [[nodiscard]] static result<panel_packer> make(const scheme& form, std::size_t out_features,
                                                   std::size_t in_features) {
        QUELL_TRY(const kernels::panel_shape shape, panel_shape_of(form, out_features, in_features));
        if (shape.format == kernels::panel_format::f32) {
            return error{errc::unsupported, "weights in float have no codes to pack"};
        }
        return panel_packer(form, shape);
    }

    /// How many rows it has.
    [[nodiscard]] std::size_t rows() const { return rows_; }

    /// Packs the next rows; the caller may drop them afterwards.
    /// Shapes   as `row_block` says, for the `in` and the groups of the weight.
    /// Errors   errc::bad_shape for other shapes or more rows than the weight has. errc::bad_value, with row and column
    ///          or group, for a code outside its range, a scale or real zero that is not finite or that the scheme's
    ///          scale type cannot hold, an integer zero that is no code. Then none of these rows counts.
    /// Cost     reads the codes twice, the second time from a cache; parallel over panels of 16 rows. The bytes depend
    ///          neither on the executor nor on how the rows are cut.
    result<void> add(const row_block& rows, const executor& threads = {}) {
        QUELL_TRY_VOID(check_shapes(rows));
        const std::size_t end = rows_ + rows.rows();
        const std::size_t first_panel = rows_ / kernels::panel_rows;
        const std::size_t panels = (end + kernels::panel_rows - 1) / kernels::panel_rows - first_panel;
        std::atomic<bool> all_fit = true;
        threads.parallel_for(panels, [&](std::size_t i) {
            const std::size_t begin = (first_panel + i) * kernels::panel_rows;
            const std::size_t from = std::max(begin, rows_);
            const std::size_t stop = std::min(begin + kernels::panel_rows, end);
            const row_block part = rows.block(from - rows_, stop - from);
            const std::size_t after = std::min(kernels::panel_rows, end - stop);
            if (detail::fits(part, form_)) {
                const auto next = rows.codes.block(stop - rows_, 0, after, shape_.k);
                detail::put_rows(part, next, offset_, shape_, blob_.panel(first_panel + i), from - begin);
                if (from - begin + part.rows() == kernels::panel_rows) {
                    blob_.close(first_panel + i);
                }
            } else {
                all_fit = false;
            }
        });
        if (!all_fit) {
            return detail::fault_of(rows, form_, rows_);
        }
        rows_ = end;
        return {};
    }

    /// Errors   errc::bad_shape while rows are missing.
    [[nodiscard]] result<packed_matrix> finish() && {
        if (rows_ != shape_.n) {
            return error{errc::bad_shape,
                         "a weight of " + std::to_string(shape_.n) + " rows got " + std::to_string(rows_)};
        }
        if (const std::size_t last = rows_ % kernels::panel_rows; last != 0) {
            const matrix_view<const std::int8_t> padding(nullptr, kernels::panel_rows - last, 0);
            detail::with_format(shape_.format, [&](auto format) {
                detail::put_codes<format>(padding, {}, offset_, shape_, blob_.panel(shape_.panels() - 1) + 4 * last);
            });
            blob_.close(shape_.panels() - 1);
        }
        return std::move(blob_).finish();
    }

private:
    panel_packer(const scheme& form, const kernels::panel_shape& shape)
        : form_(form), shape_(shape), offset_(detail::field_offset(form)), blob_(form, shape) {}

    [[nodiscard]] result<void> check_shapes(const row_block& rows) const {
        const std::size_t groups = groups_per_row(form_, shape_.k);
        const std::size_t zeros = form_.zeros == zero_type::none ? 0 : groups;
        QUELL_TRY_VOID(check_shape("codes", rows.codes, rows.rows(), shape_.k));
        QUELL_TRY_VOID(check_shape("scales", rows.scales, rows.rows(), groups));
        QUELL_TRY_VOID(check_shape("zeros", rows.zeros, zeros == 0 ? rows.zeros.rows() : rows.rows(), zeros));
        if (rows.rows() > shape_.n - rows_) {
            return error{errc::bad_shape, "rows " + std::to_string(rows_) + " to " +
                                              std::to_string(rows_ + rows.rows()) + " of a weight of " +
                                              std::to_string(shape_.n)};
        }
        return {};
    }

    template <typename T>
    [[nodiscard]] static result<void> check_shape(const char* what, matrix_view<const T> m, std::size_t rows,
                                                  std::size_t cols) {
        if (m.rows() != rows || m.cols() != cols) {
            return error{errc::bad_shape, what + (" of " + std::to_string(m.rows())) + " x " +
                                              std::to_string(m.cols()) + " where the weight needs " +
                                              std::to_string(rows) + " x " + std::to_string(cols)};
        }
        return {};
    }

    scheme form_;
    kernels::panel_shape shape_;
    unsigned offset_;
    std::size_t rows_ = 0;
    blob_builder blob_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::packing
