// SPDX-License-Identifier: MIT
/// @file
/// The configuration and the vocabulary as JSON of quell's own, for packed files: unlike a config.json and a
/// tokenizer.json it can say everything that the structs can, so that what a GGUF file said survives.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/utf8.hpp"
#include "quell/io/json.hpp"
#include "quell/report/json_fields.hpp"
#include "quell/report/names.hpp"
#include "transformer/config.hpp"
#include "transformer/vocabulary.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace quell::report {
inline namespace QUELL_BASELINE {

template <>
inline constexpr std::array words_of<transformer::activation>{
    named<transformer::activation>{transformer::activation::swiglu, "swiglu"},
    named<transformer::activation>{transformer::activation::gelu, "gelu"}};

template <>
inline constexpr std::array words_of<transformer::gelu_form>{
    named<transformer::gelu_form>{transformer::gelu_form::erf, "erf"},
    named<transformer::gelu_form>{transformer::gelu_form::tanh, "tanh"}};

template <>
inline constexpr std::array words_of<transformer::rope_order>{
    named<transformer::rope_order>{transformer::rope_order::interleaved, "interleaved"},
    named<transformer::rope_order>{transformer::rope_order::halves, "halves"}};

template <>
inline constexpr std::array words_of<transformer::rope_scaling>{
    named<transformer::rope_scaling>{transformer::rope_scaling::none, "none"},
    named<transformer::rope_scaling>{transformer::rope_scaling::linear, "linear"},
    named<transformer::rope_scaling>{transformer::rope_scaling::llama3, "llama3"}};

template <>
inline constexpr std::array words_of<transformer::split_pattern>{
    named<transformer::split_pattern>{transformer::split_pattern::none, "none"},
    named<transformer::split_pattern>{transformer::split_pattern::gpt2, "gpt2"},
    named<transformer::split_pattern>{transformer::split_pattern::smollm, "smollm"},
    named<transformer::split_pattern>{transformer::split_pattern::llama3, "llama3"},
    named<transformer::split_pattern>{transformer::split_pattern::qwen2, "qwen2"}};

}  // namespace QUELL_BASELINE
}  // namespace quell::report

namespace transformer {

template <typename Visit, typename Options>
requires(std::same_as<std::remove_const_t<Options>, rope_scaling_options>) void fields(Visit& visit, Options& s) {
    visit("kind", s.kind);
    visit("factor", s.factor);
    visit("low_frequency_factor", s.low_frequency_factor);
    visit("high_frequency_factor", s.high_frequency_factor);
    visit("original_context", s.original_context);
}

template <typename Visit, typename Config>
requires(std::same_as<std::remove_const_t<Config>, config>) void fields(Visit& visit, Config& c) {
    visit("architecture", c.architecture);
    visit("vocab", c.vocab);
    visit("width", c.width);
    visit("layers", c.layers);
    visit("heads", c.heads);
    visit("kv_heads", c.kv_heads);
    visit("head_size", c.head_size);
    visit("ff_width", c.ff_width);
    visit("context", c.context);
    visit("norm_eps", c.norm_eps);
    visit("rope_base", c.rope_base);
    visit("rope", c.rope);
    visit("rope_scaling", c.scaling);
    visit("activation", c.act);
    visit("gelu", c.gelu);
    visit("tied_head", c.tied_head);
    visit("qkv_bias", c.qkv_bias);
    visit("kv_bits", c.kv_bits);
}

namespace detail {

/// A vocabulary as its JSON has it: kinds other than normal as lists of ids, merges as "left right".
struct vocabulary_file {
    split_pattern split = split_pattern::gpt2;
    bool whole_pieces = false;
    bool add_bos = false;
    std::optional<std::uint64_t> bos = {};
    std::optional<std::uint64_t> eos = {};
    std::optional<std::uint64_t> unknown = {};
    std::vector<std::uint64_t> control = {};
    std::vector<std::uint64_t> user_defined = {};
    std::vector<std::uint64_t> unused = {};
    std::vector<std::string> tokens = {};
    std::vector<std::string> merges = {};

    [[nodiscard]] std::vector<std::uint64_t>* ids_of(token_kind kind) {
        return kind == token_kind::control        ? &control
               : kind == token_kind::user_defined ? &user_defined
               : kind == token_kind::unused       ? &unused
                                                  : nullptr;
    }
};

template <typename Visit, typename File>
requires(std::same_as<std::remove_const_t<File>, vocabulary_file>) void fields(Visit& visit, File& file) {
    visit("split", file.split);
    visit("whole_pieces", file.whole_pieces);
    visit("add_bos", file.add_bos);
    visit("bos", file.bos);
    visit("eos", file.eos);
    visit("unknown", file.unknown);
    visit("control", file.control);
    visit("user_defined", file.user_defined);
    visit("unused", file.unused);
    visit("tokens", file.tokens);
    visit("merges", file.merges);
}

/// Reads one JSON object into a struct with fields(); `name` stands in front of messages.
template <typename Struct>
quell::result<Struct> from_fields(std::string_view text, const std::string& name) {
    QUELL_TRY(const nlohmann::json document, quell::io::parse_json(text, name));
    Struct read;
    quell::report::json_reader visit(document, name);
    fields(visit, read);
    QUELL_TRY_VOID(visit.finish());
    return read;
}

}  // namespace detail

[[nodiscard]] inline std::string to_text(const config& c) {
    return quell::report::json_writer::to_value(c).dump();
}

/// Errors   errc::bad_format for what is no such text; those of validate(). `name` stands in front.
[[nodiscard]] inline quell::result<config> config_from_text(std::string_view text, const std::string& name) {
    QUELL_TRY(config c, detail::from_fields<config>(text, name));
    if (const auto valid = validate(c); !valid) {
        return valid.error().in(name);
    }
    return c;
}

/// Errors   errc::unsupported for a token that is not UTF-8, which JSON cannot hold.
[[nodiscard]] inline quell::result<std::string> to_text(const vocabulary& v) {
    detail::vocabulary_file file{.split = v.split,
                                 .whole_pieces = v.whole_pieces,
                                 .add_bos = v.add_bos,
                                 .bos = v.bos,
                                 .eos = v.eos,
                                 .unknown = v.unknown};
    for (std::size_t id = 0; id < v.tokens.size(); ++id) {
        if (!quell::is_utf8(v.tokens[id].text)) {
            return quell::error{quell::errc::unsupported,
                                "token " + std::to_string(id) + " is not UTF-8 and cannot be written"};
        }
        file.tokens.push_back(v.tokens[id].text);
        if (auto* ids = file.ids_of(v.tokens[id].kind); ids != nullptr) {
            ids->push_back(id);
        }
    }
    for (const merge_rule& rule : v.merges) {
        file.merges.push_back(rule.left + " " + rule.right);
    }
    return quell::report::json_writer::to_value(file).dump();
}

/// Whether it makes a tokenizer, tokenizer::make says.
/// Errors   errc::bad_format and errc::bad_value, with `name` in front.
[[nodiscard]] inline quell::result<vocabulary> vocabulary_from_text(std::string_view text, const std::string& name) {
    QUELL_TRY(detail::vocabulary_file file, detail::from_fields<detail::vocabulary_file>(text, name));
    vocabulary v{.split = file.split,
                 .whole_pieces = file.whole_pieces,
                 .bos = file.bos,
                 .eos = file.eos,
                 .unknown = file.unknown,
                 .add_bos = file.add_bos};
    for (std::string& token_text : file.tokens) {
        v.tokens.push_back({std::move(token_text)});
    }
    for (const token_kind kind : {token_kind::control, token_kind::user_defined, token_kind::unused}) {
        for (const std::uint64_t id : *file.ids_of(kind)) {
            if (id >= v.tokens.size()) {
                return quell::io::failure(quell::errc::bad_value, name, "token ", id, " of a vocabulary of ",
                                          v.tokens.size());
            }
            v.tokens[id].kind = kind;
        }
    }
    for (std::size_t rank = 0; rank < file.merges.size(); ++rank) {
        auto rule = parse_merge(file.merges[rank], rank);
        if (!rule) {
            return rule.error().in(name);
        }
        v.merges.push_back(*std::move(rule));
    }
    return v;
}

}  // namespace transformer
