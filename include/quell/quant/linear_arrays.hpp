// SPDX-License-Identifier: MIT
/// @file
/// Saving, loading and mapping one linear: it comes apart into plain arrays, which any container can hold, and is put
/// together from them again without copying the weight. model/linear_tensors.hpp keeps them in safetensors.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/float_linear.hpp"
#include "quell/quant/linear.hpp"
#include "quell/quant/quantized_linear.hpp"
#include "quell/quant/split_linear.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <variant>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// In which forms a linear keeps its weight; `high` is that of the columns of more bits, where there are two forms.
struct linear_forms {
    scheme weights;
    scheme high;
};

[[nodiscard]] inline linear_forms forms_of(const linear& layer) {
    if (const auto* s = std::get_if<split_linear>(&layer)) {
        return {s->low().packed().form(), s->high().packed().form()};
    }
    const auto* q = std::get_if<quantized_linear>(&layer);
    const scheme form = q == nullptr ? packing::float_form : q->packed().form();
    return {form, form};
}

/// All that a linear is made of; the arrays belong to somebody else.
struct linear_arrays {
    std::span<const std::byte> weight;            ///< a blob, as packing/blob.hpp describes it
    std::span<const std::byte> high_weight = {};  ///< of a weight of two forms: the blob of the columns of more bits
    std::span<const std::uint16_t> order = {};    ///< with it: [in], else empty
    std::span<const float> bias = {};             ///< [out], or empty
    std::span<const float> channel_scale = {};    ///< [in], or empty
    transforms::rotation rotation = transforms::rotation::none;
    std::span<const std::byte> float_columns = {};  ///< the blob of the first columns, where they are in float
    activation_scheme activations{.bits = 32};
};

/// The arrays live as long as the linear.
[[nodiscard]] inline linear_arrays arrays_of(const linear& layer) {
    if (const auto* q = std::get_if<quantized_linear>(&layer)) {
        return {.weight = q->packed().blob(),
                .bias = q->bias(),
                .channel_scale = q->online().scale,
                .rotation = q->online().rotation.kind(),
                .float_columns = q->float_columns() ? q->float_columns()->blob() : std::span<const std::byte>(),
                .activations = q->activations()};
    }
    if (const auto* s = std::get_if<split_linear>(&layer)) {
        return {.weight = s->low().packed().blob(),
                .high_weight = s->high().packed().blob(),
                .order = s->order(),
                .bias = s->bias(),
                .channel_scale = s->online().scale,
                .rotation = s->online().rotation.kind(),
                .activations = s->activations()};
    }
    const auto& f = *std::get_if<float_linear>(&layer);
    return {.weight = f.packed().blob(),
            .bias = f.bias(),
            .channel_scale = f.online().scale,
            .rotation = f.online().rotation.kind()};
}

/// The linear of a weight that is at hand and of the other arrays, which are copied, but for the float columns.
///
/// Errors   errc::bad_shape, errc::bad_value and errc::unsupported where the arrays contradict each other or hold a
///          number that is not finite.
[[nodiscard]] inline result<linear> join_linear(packing::packed_matrix weight, const linear_arrays& arrays) {
    const std::size_t in_features = arrays.order.empty() ? weight.in_features() : arrays.order.size();
    online_input online{.scale = buffer<float>::copy_of(arrays.channel_scale),
                        .rotation = {arrays.rotation, in_features}};
    if (!arrays.order.empty()) {
        QUELL_TRY(packing::packed_matrix high, packing::view_blob(arrays.high_weight));
        QUELL_TRY(split_linear layer, split_linear::make({arrays.order, std::move(high), std::move(weight)},
                                                         arrays.activations, arrays.bias, std::move(online)));
        return linear(std::move(layer));
    }
    if (weight.form() != packing::float_form) {
        std::optional<packing::packed_matrix> float_columns;
        if (!arrays.float_columns.empty()) {
            QUELL_TRY(packing::packed_matrix columns, packing::view_blob(arrays.float_columns));
            float_columns = std::move(columns);
        }
        QUELL_TRY(quantized_linear layer, quantized_linear::make(std::move(weight), arrays.activations, arrays.bias,
                                                                 std::move(online), std::move(float_columns)));
        return linear(std::move(layer));
    }
    if (!arrays.activations.is_float() || !arrays.float_columns.empty()) {
        return error{errc::unsupported, "a weight in float takes float activations"};
    }
    QUELL_TRY(float_linear layer, float_linear::make(std::move(weight), arrays.bias, std::move(online)));
    return linear(std::move(layer));
}

/// The linear behind the arrays. Its weight stays where it is and must outlive it, as in a mapped file; bias and scale
/// are copied. The bytes may be damaged or hostile.
///
/// Errors   those of packing::view_blob; errc::bad_shape, errc::bad_value and errc::unsupported where the arrays
///          contradict each other or hold a number that is not finite.
/// Cost     reads the weight once, for its checksum; float weights twice.
[[nodiscard]] inline result<linear> map_linear(const linear_arrays& arrays) {
    QUELL_TRY(packing::packed_matrix weight, packing::view_blob(arrays.weight));
    return join_linear(std::move(weight), arrays);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
