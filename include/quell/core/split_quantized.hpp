// SPDX-License-Identifier: MIT
/// @file
/// `split_quantized`: a weight whose columns have codes of two forms, a few of them more bits than the rest. The
/// columns of a form stand side by side, so that no mask is stored and no kernel looks an index up.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/target.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quell {
inline namespace QUELL_BASELINE {

inline constexpr std::size_t most_split_columns = 65536;  ///< which an order of 16 bits can name

/// Shapes   order [in], position -> column of the weight, each once; `high` holds the first positions, `low` the rest.
struct split_quantized {
    std::vector<std::uint16_t> order;
    quantized high;
    quantized low;

    [[nodiscard]] std::size_t out_features() const { return low.out_features(); }
    [[nodiscard]] std::size_t in_features() const { return high.in_features() + low.in_features(); }
};

/// Columns by position to columns of the weight: to(r, order[p]) = from(r, p).
inline void restore_order(matrix_view<const float> from, std::span<const std::uint16_t> order, matrix_view<float> to) {
    QUELL_EXPECTS(order.size() == from.cols() && from.cols() == to.cols(), "an order of all columns");
    for (std::size_t r = 0; r < from.rows(); ++r) {
        for (std::size_t p = 0; p < order.size(); ++p) {
            to(r, order[p]) = from(r, p);
        }
    }
}

/// W^ [out, in] in float, its columns in their old places.
[[nodiscard]] inline matrix<float> dequantize(const split_quantized& q) {
    const matrix<float> by_position = side_by_side(dequantize(q.high), dequantize(q.low));
    matrix<float> w(q.out_features(), q.in_features());
    restore_order(by_position.view(), q.order, w.view());
    return w;
}

}  // namespace QUELL_BASELINE
}  // namespace quell
