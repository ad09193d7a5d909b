// SPDX-License-Identifier: MIT
/// @file
/// `split_linear`: packed integer weights of two forms, such as 4 bits for some input columns and 1 bit for the others.
/// The input is brought into the order of the columns in one pass; then each part is a product of its own, the second
/// added to the first.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/split_quantized.hpp"
#include "quell/core/target.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/packing/unpack.hpp"
#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/check_vector.hpp"
#include "quell/quant/online_input.hpp"
#include "quell/quant/quantized_linear.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// The two packed parts of a weight; column p of both together reads input order[p].
struct split_weight {
    std::span<const std::uint16_t> order;
    packing::packed_matrix high;
    packing::packed_matrix low;
};

namespace detail {

/// Errors   errc::bad_shape, errc::bad_value: an input that is named twice or that does not exist.
[[nodiscard]] inline result<void> check_order(std::span<const std::uint16_t> order, std::size_t in_features) {
    if (order.size() != in_features) {
        return error{errc::bad_shape, "an order of " + std::to_string(order.size()) + " columns, the weight has " +
                                          std::to_string(in_features)};
    }
    std::vector<bool> seen(in_features, false);
    for (const std::uint16_t column : order) {
        if (column >= in_features || seen[column]) {
            return error{errc::bad_value, "an order of " + std::to_string(in_features) + " columns names column " +
                                              std::to_string(column) + (column < in_features ? " twice" : "")};
        }
        seen[column] = true;
    }
    return {};
}

}  // namespace detail

/// y = Q(v[high]) Wh^T + Q(v[low]) Wl^T + b with v = H (x * scale) in the order of the columns. Each part quantizes its
/// inputs with a scale of its own. Moved, never copied.
class split_linear {
public:
    /// Shapes   bias [out] or empty; online of in channels.
    /// Errors   those of quantized_linear::make; errc::bad_shape and errc::bad_value for parts or an order that do not
    /// fit.
    [[nodiscard]] static result<split_linear> make(split_weight weight, activation_scheme activations,
                                                   std::span<const float> bias = {}, online_input online = {}) {
        const std::size_t in_features = weight.high.in_features() + weight.low.in_features();
        if (weight.high.out_features() != weight.low.out_features()) {
            return error{errc::bad_shape, "parts of " + std::to_string(weight.high.out_features()) + " and " +
                                              std::to_string(weight.low.out_features()) + " output features"};
        }
        QUELL_TRY_VOID(detail::check_order(weight.order, in_features));
        QUELL_TRY_VOID(check(online, in_features));
        auto order = buffer<std::uint16_t>::copy_of(weight.order);
        QUELL_TRY(quantized_linear high, quantized_linear::make(std::move(weight.high), activations, bias));
        QUELL_TRY(quantized_linear low, quantized_linear::make(std::move(weight.low), activations));
        return split_linear(std::move(order), std::move(high), std::move(low), std::move(online));
    }

    [[nodiscard]] std::size_t out_features() const { return high_.out_features(); }
    [[nodiscard]] std::size_t in_features() const { return order_.size(); }
    [[nodiscard]] std::size_t bytes() const {
        return high_.bytes() + low_.bytes() + order_.size_bytes() + online_.stored_bytes();
    }
    [[nodiscard]] std::span<const std::uint16_t> order() const { return order_; }
    /// The parts, as linears of their own inputs; the bias is the first one's.
    [[nodiscard]] const quantized_linear& high() const { return high_; }
    [[nodiscard]] const quantized_linear& low() const { return low_; }
    [[nodiscard]] const activation_scheme& activations() const { return high_.activations(); }
    [[nodiscard]] std::span<const float> bias() const { return high_.bias(); }
    [[nodiscard]] const online_input& online() const { return online_; }

    /// The matrix that this layer stands for: dequantized, with what happens online taken back.
    [[nodiscard]] matrix<float> weight() const {
        matrix<float> w(out_features(), in_features());
        for (std::size_t r = 0; r < w.rows(); ++r) {
            copy_row(r, w.row(r));
        }
        return w;
    }

    /// Row `row` of weight() into `out` [in].
    void copy_row(std::size_t row, std::span<float> out) const {
        std::vector<float> by_position(out.size());
        high_.copy_row(row, std::span(by_position).first(high_.in_features()));
        low_.copy_row(row, std::span(by_position).subspan(high_.in_features()));
        const matrix_view<float> restored(out.data(), 1, out.size());
        restore_order(matrix_view<const float>(by_position.data(), 1, out.size()), order_, restored);
        online_.undo(restored);
    }

private:
    split_linear(buffer<std::uint16_t> order, quantized_linear high, quantized_linear low, online_input online)
        : order_(std::move(order)), high_(std::move(high)), low_(std::move(low)), online_(std::move(online)) {}

    buffer<std::uint16_t> order_;
    quantized_linear high_;
    quantized_linear low_;
    online_input online_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
