// SPDX-License-Identifier: MIT
/// @file
/// Quantized and float linears as tensors of a safetensors file, ready to be mapped and used without a copy:
///
///   NAME.packed         U8, the blob of the weight (packing/blob.hpp)
///   NAME.compact        U8, instead: a weight of 5 to 7 bits (packing/compact.hpp), which is expanded when it is read
///   NAME.packed_high    U8, a second blob, of the columns of more bits; where the weight has two forms
///   NAME.order          U16 [in], with it: the inputs in the order of the columns, those of more bits first
///   NAME.bias           F32 [out], where there is one
///   NAME.channel_scale  F32 [in], where the input is multiplied by it
///   NAME.float_columns  U8, the blob of the first columns, where they stay in float
///   NAME.activations    U8, JSON of the activation scheme; only with integer weights
///
/// What else a model needs is the engine's: it adds its own tensors to the same set.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/io/json.hpp"
#include "quell/io/message.hpp"
#include "quell/io/safetensors_writer.hpp"
#include "quell/io/tensor_view.hpp"
#include "quell/model/names.hpp"
#include "quell/model/plan.hpp"
#include "quell/packing/compact.hpp"
#include "quell/quant/linear_arrays.hpp"
#include "quell/report/json_fields.hpp"
#include "quell/report/names.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// The tensors of a file in the making: views of weights and vectors, which must outlive it, and texts, which it keeps.
class tensor_set {
public:
    void add_vector(std::string name, std::span<const float> values) {
        tensors_.push_back(
            {.name = std::move(name), .type = dtype::f32, .shape = {values.size()}, .bytes = std::as_bytes(values)});
    }

    void add_text(std::string name, std::string text) {
        texts_.push_back(std::move(text));
        add_bytes(std::move(name), std::as_bytes(std::span(texts_.back())));
    }

    /// The tensors of a linear under `name`.
    void add_linear(const std::string& name, const quant::linear& layer) {
        const quant::linear_arrays arrays = quant::arrays_of(layer);
        if (const auto* q = std::get_if<quant::quantized_linear>(&layer);
            q != nullptr && packing::is_compact(q->packed().form())) {
            auto bytes = packing::compact(q->packed());
            QUELL_ENSURES(bytes.has_value(), "what was packed unpacks");
            compacts_.push_back(*std::move(bytes));
            add_bytes(name + ".compact", compacts_.back());
        } else {
            add_bytes(name + ".packed", arrays.weight);
        }
        if (!arrays.float_columns.empty()) {
            add_bytes(name + ".float_columns", arrays.float_columns);
        }
        if (!arrays.order.empty()) {
            add_bytes(name + ".packed_high", arrays.high_weight);
            tensors_.push_back({.name = name + ".order",
                                .type = dtype::u16,
                                .shape = {arrays.order.size()},
                                .bytes = std::as_bytes(arrays.order)});
        }
        if (!arrays.bias.empty()) {
            add_vector(name + ".bias", arrays.bias);
        }
        if (!arrays.channel_scale.empty()) {
            add_vector(name + ".channel_scale", arrays.channel_scale);
        }
        if (arrays.rotation != transforms::rotation::none) {
            add_text(name + ".rotation", std::string(report::word_for(arrays.rotation)));
        }
        if (!arrays.activations.is_float()) {
            add_text(name + ".activations", report::json_writer::to_value(arrays.activations).dump());
        }
    }

    [[nodiscard]] std::span<const io::tensor_to_write> tensors() const { return tensors_; }

private:
    void add_bytes(std::string name, std::span<const std::byte> bytes) {
        tensors_.push_back({.name = std::move(name), .type = dtype::u8, .shape = {bytes.size()}, .bytes = bytes});
    }

    std::vector<io::tensor_to_write> tensors_;
    std::deque<std::string> texts_;  ///< a deque, so that none moves when another comes
    std::deque<buffer<std::byte>> compacts_;
};

/// Where tensors are looked up: gives nullptr where there is none.
using tensor_finder = std::function<const io::tensor_view*(const std::string& name)>;

namespace detail {

[[nodiscard]] inline error tensor_error(errc code, const std::string& name, const std::string& what) {
    return {code, "tensor " + io::quoted(name) + " " + what};
}

[[nodiscard]] inline result<std::span<const std::byte>> read_bytes(const tensor_finder& find, const std::string& name) {
    const io::tensor_view* found = find(name);
    if (found == nullptr) {
        return tensor_error(errc::not_found, name, "is missing");
    }
    if (found->type != dtype::u8 || found->shape.size() != 1) {
        return tensor_error(errc::bad_format, name,
                            "is " + std::string(traits(found->type).name) + " " + io::to_text(found->shape) +
                                ", not U8 of one dimension");
    }
    return found->bytes;
}

/// Of values of this type; empty where there is no such tensor. Copied, since nothing says that it is aligned.
template <typename T>
[[nodiscard]] result<buffer<T>> read_optional_vector(const tensor_finder& find, const std::string& name, dtype type) {
    const io::tensor_view* found = find(name);
    if (found == nullptr) {
        return buffer<T>();
    }
    if (found->type != type || found->shape.size() != 1 || found->bytes.empty()) {
        return tensor_error(errc::bad_format, name,
                            "is " + std::string(traits(found->type).name) + " " + io::to_text(found->shape) + ", not " +
                                std::string(traits(type).name) + " of one dimension");
    }
    buffer<T> values(found->bytes.size() / sizeof(T));
    std::memcpy(values.data(), found->bytes.data(), values.size_bytes());
    return values;
}

}  // namespace detail

/// The text that tensor_set::add_text wrote, in place.
///
/// Errors   errc::not_found, errc::bad_format, naming the tensor; the caller adds the file.
[[nodiscard]] inline result<std::string_view> read_text(const tensor_finder& find, const std::string& name) {
    QUELL_TRY(const auto bytes, detail::read_bytes(find, name));
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

namespace detail {

[[nodiscard]] inline result<quant::activation_scheme> read_activations(const tensor_finder& find,
                                                                       const std::string& name) {
    if (find(name) == nullptr) {
        return quant::activation_scheme{.bits = 32};
    }
    QUELL_TRY(const std::string_view text, read_text(find, name));
    const std::string label = "tensor " + io::quoted(name);
    QUELL_TRY(const nlohmann::json document, io::parse_json(text, label));
    quant::activation_scheme form;
    report::json_reader visit(document, label);
    fields(visit, form);
    QUELL_TRY_VOID(visit.finish());
    return form;
}

[[nodiscard]] inline result<transforms::rotation> read_rotation(const tensor_finder& find, const std::string& name) {
    if (find(name) == nullptr) {
        return transforms::rotation::none;
    }
    QUELL_TRY(const std::string_view word, read_text(find, name));
    const auto known = report::from_word<transforms::rotation>(word);
    return known ? result<transforms::rotation>(*known)
                 : tensor_error(errc::bad_format, name, "says " + io::quoted(word) + ", no rotation");
}

}  // namespace detail

/// The linear that tensor_set::add_linear wrote. Its weight stays in the file's bytes, which must outlive it, but that
/// of a compact one.
///
/// Errors   errc::not_found, errc::bad_format and those of quant::map_linear, naming the tensor; the caller adds the
///          file, and compares the shape with what it expects.
[[nodiscard]] inline result<quant::linear> read_linear(const tensor_finder& find, const std::string& name) {
    const bool is_compact = find(name + ".compact") != nullptr;
    const std::string weight_name = name + (is_compact ? ".compact" : ".packed");
    QUELL_TRY(const auto weight, detail::read_bytes(find, weight_name));
    std::span<const std::byte> float_columns;
    if (find(name + ".float_columns") != nullptr) {
        QUELL_TRY(float_columns, detail::read_bytes(find, name + ".float_columns"));
    }
    QUELL_TRY(const auto bias, detail::read_optional_vector<float>(find, name + ".bias", dtype::f32));
    QUELL_TRY(const auto channel_scale, detail::read_optional_vector<float>(find, name + ".channel_scale", dtype::f32));
    QUELL_TRY(const quant::activation_scheme activations, detail::read_activations(find, name + ".activations"));
    QUELL_TRY(const transforms::rotation rotation, detail::read_rotation(find, name + ".rotation"));
    QUELL_TRY(const auto order, detail::read_optional_vector<std::uint16_t>(find, name + ".order", dtype::u16));
    std::span<const std::byte> high_weight;
    if (!order.empty()) {
        QUELL_TRY(high_weight, detail::read_bytes(find, name + ".packed_high"));
    }
    const quant::linear_arrays arrays{.weight = weight,
                                      .high_weight = high_weight,
                                      .order = order,
                                      .bias = bias,
                                      .channel_scale = channel_scale,
                                      .rotation = rotation,
                                      .float_columns = float_columns,
                                      .activations = activations};
    const auto join = [&]() -> result<quant::linear> {
        if (!is_compact) {
            return quant::map_linear(arrays);
        }
        QUELL_TRY(packing::packed_matrix expanded, packing::expand(weight));
        return quant::join_linear(std::move(expanded), arrays);
    };
    auto layer = join();
    return layer ? std::move(layer) : layer.error().in("tensor " + io::quoted(weight_name));
}

namespace detail {

[[nodiscard]] inline result<void> check_form(const site_plan& decided, const scheme& wanted, const scheme& found) {
    if (wanted != found) {
        return error{errc::bad_format, decided.name + ": the plan says " + report::describe(wanted) +
                                           ", the packed weight is " + report::describe(found)};
    }
    return {};
}

}  // namespace detail

/// Whether a linear of a file is the one that the plan in the same file decided.
///
/// Errors   errc::bad_format, saying what each of the two claims; the caller adds the file.
[[nodiscard]] inline result<void> check(const site_plan& decided, const quant::linear& layer) {
    const auto* staged = std::get_if<rounding::staged>(&decided.solver.policy);
    if ((staged != nullptr && !decided.is_float()) != std::holds_alternative<quant::split_linear>(layer)) {
        return error{errc::bad_format, decided.name + ": of plan and packed weight one has two forms, the other one"};
    }
    const quant::linear_forms found = quant::forms_of(layer);
    QUELL_TRY_VOID(detail::check_form(decided, decided.solver.simulates() ? quant::float_weights : decided.weights,
                                      found.weights));
    if (staged != nullptr && !decided.is_float()) {
        QUELL_TRY_VOID(detail::check_form(decided, staged->high, found.high));
    }
    const quant::activation_scheme activations = quant::arrays_of(layer).activations;
    if (activations != decided.activations) {
        return error{errc::bad_format, decided.name + ": the plan says activations of " +
                                           std::to_string(decided.activations.bits) + " bits, the file has others of " +
                                           std::to_string(activations.bits) +
                                           (activations.zero_point ? " with a zero point" : "")};
    }
    return {};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
