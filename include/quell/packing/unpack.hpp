// SPDX-License-Identifier: MIT
/// @file
/// Panels back to what was packed, exactly: the codes, the float weight, or one row dequantized.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/packing/codes.hpp"
#include "quell/packing/factors.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/packing/rows.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace quell::packing {
inline namespace QUELL_BASELINE {
namespace detail {

/// The panel of a row, and the row's place in it.
struct panel_column {
    const std::byte* panel;
    std::size_t j;

    panel_column(const kernels::panel_view& view, std::size_t row)
        : panel(view.data + row / panel_rows * view.shape.panel_bytes()), j(row % panel_rows) {}
};

/// Calls f(k, codes) for the chunks of a row, whose last may be short.
template <typename F>
void for_each_chunk(const panel_shape& shape, unsigned offset, const panel_column& column, const F& f) {
    with_format(shape.format, [&](auto format) {
        for (std::size_t k = 0; k < shape.k; k += k_chunk) {
            const chunk_codes codes = get_codes<format>(shape, column.panel + 4 * column.j, k, offset);
            f(k, std::span(codes).first(std::min(k_chunk, shape.k - k)));
        }
    });
}

inline void unpack_f32_row(const kernels::panel_view& view, std::size_t row, std::span<float> out) {
    const panel_column from(view, row);
    for (std::size_t k = 0; k < out.size(); ++k) {
        std::memcpy(&out[k], from.panel + (k * panel_rows + from.j) * sizeof(float), sizeof(float));
    }
}

}  // namespace detail

/// The codes, scales and zeros that were packed, exactly.
/// Errors   errc::unsupported for a weight in float; errc::bad_value, with its place, for a number that pack() never
///          writes.
[[nodiscard]] inline result<quantized> unpack(const packed_matrix& packed) {
    const kernels::panel_view view = packed.panels();
    const kernels::panel_shape& shape = view.shape;
    if (shape.format == kernels::panel_format::f32) {
        return error{errc::unsupported, "a packed weight in float has no codes"};
    }
    quantized q = make_quantized(packed.form(), shape.n, shape.k);
    for (std::size_t r = 0; r < shape.n && shape.k != 0; ++r) {
        const detail::panel_column column(view, r);
        detail::for_each_chunk(shape, detail::field_offset(q.form), column, [&](std::size_t k, auto codes) {
            std::copy(codes.begin(), codes.end(), q.codes.row(r).data() + k);
        });
        detail::get_factors(detail::scales_run(shape), column.panel, column.j, q.scales.row(r));
        if (shape.zeros != zero_type::none) {
            detail::get_factors(detail::zeros_run(shape), column.panel, column.j, q.zeros.row(r));
        }
    }
    if (shape.k != 0 && !detail::fits(all_rows(q), q.form)) {
        return detail::fault_of(all_rows(q), q.form, 0);
    }
    return q;
}

/// Requires panels in float.
[[nodiscard]] inline matrix<float> unpack_f32(const packed_matrix& packed) {
    const kernels::panel_view view = packed.panels();
    QUELL_EXPECTS(view.shape.format == kernels::panel_format::f32, "unpack_f32 of codes");
    matrix<float> w(view.shape.n, view.shape.k);
    for (std::size_t r = 0; r < w.rows() && w.cols() != 0; ++r) {
        detail::unpack_f32_row(view, r, w.row(r));
    }
    return w;
}

/// Row `row` of any packed weight into `out` [in], dequantized as value_of() does: the lookup of an embedding.
inline void unpack_row(const packed_matrix& packed, std::size_t row, std::span<float> out) {
    const kernels::panel_view view = packed.panels();
    const kernels::panel_shape& shape = view.shape;
    QUELL_EXPECTS(row < shape.n && out.size() == shape.k, "a row of the weight");
    if (shape.format == kernels::panel_format::f32) {
        return detail::unpack_f32_row(view, row, out);
    }
    const scheme form = packed.form();
    const detail::panel_column column(view, row);
    const auto factor = [&](const detail::factor_run& run, std::size_t k) {
        return detail::get_factor(run, column.panel, k / group_length(form, shape.k), column.j);
    };
    detail::for_each_chunk(shape, detail::field_offset(form), column, [&](std::size_t k, auto codes) {
        const float scale = factor(detail::scales_run(shape), k);  // a chunk lies in one group
        const float zero = shape.zeros == zero_type::none ? 0.0F : factor(detail::zeros_run(shape), k);
        for (std::size_t i = 0; i < codes.size(); ++i) {
            out[k + i] = value_of(form.codes, scale, zero, static_cast<float>(codes[i]));
        }
    });
}

}  // namespace QUELL_BASELINE
}  // namespace quell::packing
