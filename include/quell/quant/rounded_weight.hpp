// SPDX-License-Identifier: MIT
/// @file
/// `rounded_weight`: what the solvers make of a weight (codes of one form, codes of two forms, or a form that no kernel
/// has), and the linear that runs it.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/split_quantized.hpp"
#include "quell/core/storage.hpp"
#include "quell/core/target.hpp"
#include "quell/packing/layout.hpp"
#include "quell/packing/pack.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/quant/forward.hpp"
#include "quell/rounding/solver.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <variant>

namespace quell::quant {
inline namespace QUELL_BASELINE {

using rounded_weight = std::variant<quantized, split_quantized, rounding::simulated>;

/// What a linear is made of besides.
struct linear_parts {
    activation_scheme activations = {};  ///< of a simulated weight: not read
    std::span<const float> bias = {};
    online_input online = {};
    std::optional<packing::packed_matrix> float_columns = {};
};

[[nodiscard]] inline matrix<float> dequantized(const rounded_weight& w) {
    if (const auto* s = std::get_if<rounding::simulated>(&w)) {
        return matrix<float>::copy_of(s->values.view());
    }
    const auto* split = std::get_if<split_quantized>(&w);
    return split != nullptr ? dequantize(*split) : dequantize(*std::get_if<quantized>(&w));
}

namespace detail {

[[nodiscard]] inline storage_bits storage_of(const scheme& form, std::size_t out_features, std::size_t in_features) {
    scheme without_zeros = form;
    without_zeros.zeros = zero_type::none;
    const std::size_t codes = out_features * in_features * static_cast<std::size_t>(form.bits);
    const std::size_t unshifted = packing::stored_bits(without_zeros, out_features, in_features);
    return {.codes = codes,
            .scales = unshifted - codes,
            .zeros = packing::stored_bits(form, out_features, in_features) - unshifted};
}
[[nodiscard]] inline result<linear> linear_of(const quantized& q, linear_parts parts, const executor& threads) {
    QUELL_TRY(packing::packed_matrix packed, packing::pack(q, threads));
    QUELL_TRY(quantized_linear layer, quantized_linear::make(std::move(packed), parts.activations, parts.bias,
                                                             std::move(parts.online), std::move(parts.float_columns)));
    return linear(std::move(layer));
}
[[nodiscard]] inline result<linear> linear_of(const split_quantized& q, linear_parts parts, const executor& threads) {
    if (parts.float_columns) {
        return error{errc::unsupported, "columns in float beside codes of two forms"};
    }
    QUELL_TRY(packing::packed_matrix high, packing::pack(q.high, threads));
    QUELL_TRY(packing::packed_matrix low, packing::pack(q.low, threads));
    QUELL_TRY(split_linear layer, split_linear::make({q.order, std::move(high), std::move(low)}, parts.activations,
                                                     parts.bias, std::move(parts.online)));
    return linear(std::move(layer));
}
[[nodiscard]] inline result<linear> linear_of(const rounding::simulated& s, linear_parts parts,
                                              const executor& threads) {
    if (parts.float_columns) {
        return error{errc::unsupported, "columns in float beside a simulated weight"};
    }
    return linear(float_linear(s.values.view(), parts.bias, threads, std::move(parts.online)));
}

}  // namespace detail

/// What a file stores of a linear, but for its bias.
[[nodiscard]] inline storage_bits storage_of(const linear& layer) {
    storage_bits stored;
    if (const auto* split = std::get_if<split_linear>(&layer)) {
        stored = detail::storage_of(split->high().packed().form(), split->out_features(), split->high().in_features());
        stored.add(detail::storage_of(split->low().packed().form(), split->out_features(), split->low().in_features()));
        stored.order = 16 * split->in_features();
        stored.online = 8 * split->online().stored_bytes();
    } else if (const auto* q = std::get_if<quantized_linear>(&layer)) {
        stored = detail::storage_of(q->packed().form(), q->out_features(), q->packed().in_features());
        stored.online = 8 * q->online().stored_bytes();
        stored.side = 32 * q->out_features() * q->float_features();
    } else {
        stored.codes = 32 * out_features(layer) * in_features(layer);
    }
    return stored;
}

/// Errors   those of the layouts and of the linears; the caller adds the name of the site.
[[nodiscard]] inline result<linear> linear_of(const rounded_weight& w, linear_parts parts,
                                              const executor& threads = {}) {
    return std::visit([&](const auto& codes) { return detail::linear_of(codes, std::move(parts), threads); }, w);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
