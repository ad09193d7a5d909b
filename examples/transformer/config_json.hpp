// SPDX-License-Identifier: MIT
/// @file
/// A configuration from the text of a Hugging Face config.json: model types llama, mistral and qwen2. What quell cannot
/// compute (other activations, other scalings of the rotations) is refused by name.
#pragma once

#include "quell/core/result.hpp"
#include "quell/io/json.hpp"
#include "quell/io/message.hpp"
#include "transformer/config.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace transformer {

namespace detail {

/// Reads fields of one JSON object and keeps the first error, so that a dozen reads need one check.
class field_reader {
public:
    field_reader(const nlohmann::json& object, std::string name) : object_(object), name_(std::move(name)) {}

    /// A missing or null field is `otherwise`; an error where that is nothing.
    std::size_t count(const char* key, std::optional<std::size_t> otherwise = {}) {
        const nlohmann::json* value = find(key, otherwise.has_value());
        if (value != nullptr && !value->is_number_unsigned()) {
            fail(quell::errc::bad_value,
                 std::string(key) + " is " + quell::io::quoted(value->dump()) + ", not a whole number");
            return 0;
        }
        return value == nullptr ? otherwise.value_or(0) : value->get<std::size_t>();
    }

    double number(const char* key, std::optional<double> otherwise = {}) {
        const nlohmann::json* value = find(key, otherwise.has_value());
        if (value != nullptr && !value->is_number()) {
            fail(quell::errc::bad_value,
                 std::string(key) + " is " + quell::io::quoted(value->dump()) + ", not a number");
            return 0;
        }
        return value == nullptr ? otherwise.value_or(0.0) : value->get<double>();
    }

    bool flag(const char* key) {
        const nlohmann::json* value = find(key, true);
        if (value != nullptr && !value->is_boolean()) {
            fail(quell::errc::bad_value,
                 std::string(key) + " is " + quell::io::quoted(value->dump()) + ", not true or false");
            return false;
        }
        return value != nullptr && value->get<bool>();
    }

    std::string text(const char* key, const std::optional<std::string>& otherwise = {}) {
        const nlohmann::json* value = find(key, otherwise.has_value());
        if (value != nullptr && !value->is_string()) {
            fail(quell::errc::bad_value, std::string(key) + " is " + quell::io::quoted(value->dump()) + ", not a text");
            return {};
        }
        return value == nullptr ? otherwise.value_or("") : value->get<std::string>();
    }

    /// The object under `key`, or nullptr where there is none.
    const nlohmann::json* object(const char* key) {
        const nlohmann::json* value = find(key, true);
        return value != nullptr && value->is_object() ? value : nullptr;
    }

    void fail(quell::errc code, const std::string& what) {
        if (!error_) {
            error_ = quell::error{code, name_ + ": " + what};
        }
    }

    [[nodiscard]] const std::optional<quell::error>& error() const { return error_; }

private:
    const nlohmann::json* find(const char* key, bool optional) {
        const auto at = object_.find(key);
        if (at != object_.end() && !at->is_null()) {
            return &*at;
        }
        if (!optional) {
            fail(quell::errc::not_found, std::string(key) + " is missing");
        }
        return nullptr;
    }

    const nlohmann::json& object_;
    std::string name_;
    std::optional<quell::error> error_;
};

inline void read_activation(field_reader& fields, config& c) {
    const std::string name = fields.text("hidden_act");
    if (name == "silu") {
        c.act = activation::swiglu;
    } else if (name == "gelu" || name == "gelu_new" || name == "gelu_pytorch_tanh") {
        c.act = activation::gelu;
        c.gelu = name == "gelu" ? gelu_form::erf : gelu_form::tanh;
    } else {
        fields.fail(quell::errc::unsupported, "hidden_act " + quell::io::quoted(name) + " is not supported");
    }
}

/// rope_scaling, or rope_parameters as newer files call it, which then holds rope_theta too.
inline void read_rope(field_reader& fields, const std::string& name, config& c) {
    c.rope_base = fields.number("rope_theta", 10000.0);
    const nlohmann::json* newer = fields.object("rope_parameters");
    const nlohmann::json* object = newer != nullptr ? newer : fields.object("rope_scaling");
    if (object == nullptr) {
        return;
    }
    field_reader scaling(*object, name + ": rope scaling");
    c.rope_base = scaling.number("rope_theta", c.rope_base);
    const std::string kind = scaling.text("rope_type", scaling.text("type", "default"));
    if (kind == "linear") {
        c.scaling = {.kind = rope_scaling::linear, .factor = scaling.number("factor")};
    } else if (kind == "llama3") {
        c.scaling = {.kind = rope_scaling::llama3,
                     .factor = scaling.number("factor"),
                     .low_frequency_factor = scaling.number("low_freq_factor"),
                     .high_frequency_factor = scaling.number("high_freq_factor"),
                     .original_context = scaling.number("original_max_position_embeddings")};
    } else if (kind != "default") {
        scaling.fail(quell::errc::unsupported, "the type " + quell::io::quoted(kind) + " is not supported");
    }
    if (scaling.error()) {
        fields.fail(scaling.error()->code, scaling.error()->message.substr(name.size() + 2));
    }
}

inline void read_architecture(field_reader& fields, config& c) {
    const std::string type = fields.text("model_type");
    if (type != "llama" && type != "mistral" && type != "qwen2") {
        fields.fail(quell::errc::unsupported,
                    "model_type " + quell::io::quoted(type) + " is not one of llama, mistral, qwen2");
    }
    c.architecture = type == "qwen2" ? "qwen2" : "llama";
    c.qkv_bias = type == "qwen2" || fields.flag("attention_bias");
    if (fields.number("partial_rotary_factor", 1.0) != 1.0) {
        fields.fail(quell::errc::unsupported, "partial_rotary_factor other than 1 is not supported");
    }
}

}  // namespace detail

/// `name` stands in front of messages. tied_head is what the text says, false where it says nothing.
/// Errors   errc::bad_format: no JSON object; bad_value, not_found, unsupported: naming the field.
inline quell::result<config> config_from_json(std::string_view text, const std::string& name) {
    QUELL_TRY(const nlohmann::json document, quell::io::parse_json(text, name));
    if (!document.is_object()) {
        return quell::error{quell::errc::bad_format, name + ": the configuration is no JSON object"};
    }
    detail::field_reader fields(document, name);
    config c;
    c.vocab = fields.count("vocab_size");
    c.width = fields.count("hidden_size");
    c.layers = fields.count("num_hidden_layers");
    c.heads = fields.count("num_attention_heads");
    c.kv_heads = fields.count("num_key_value_heads", c.heads);
    c.ff_width = fields.count("intermediate_size");
    c.context = fields.count("max_position_embeddings", 2048);
    c.norm_eps = static_cast<float>(fields.number("rms_norm_eps", 1e-6));
    c.tied_head = fields.flag("tie_word_embeddings");
    c.rope = rope_order::halves;
    c.head_size = fields.count("head_dim", c.heads == 0 ? 0 : c.width / c.heads);
    if (!document.contains("use_sliding_window") || fields.flag("use_sliding_window")) {
        c.context = std::min(c.context, fields.count("sliding_window", c.context));  // within it attention is whole
    }
    detail::read_architecture(fields, c);
    detail::read_activation(fields, c);
    detail::read_rope(fields, name, c);
    if (fields.error()) {
        return *fields.error();
    }
    if (auto valid = validate(c); !valid) {
        return valid.error().in(name);
    }
    return c;
}

}  // namespace transformer
