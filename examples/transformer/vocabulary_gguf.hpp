// SPDX-License-Identifier: MIT
/// @file
/// Reads the vocabulary of a byte-level BPE from the `tokenizer.ggml.` keys of a GGUF file.
#pragma once

#include "quell/io/gguf_metadata.hpp"
#include "transformer/vocabulary.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace transformer {
namespace detail {

/// GGUF names the pattern instead of spelling it. "default" is what converters wrote before there were names, for
/// models with GPT-2's pattern.
inline std::optional<split_pattern> pattern_named(std::string_view name) {
    struct named_pattern {
        std::string_view name;
        split_pattern split;
    };
    for (const named_pattern& known : {named_pattern{"smollm", split_pattern::smollm},
                                       {"gpt-2", split_pattern::gpt2},
                                       {"default", split_pattern::gpt2},
                                       {"llama-bpe", split_pattern::llama3},
                                       {"qwen2", split_pattern::qwen2}}) {
        if (known.name == name) {
            return known.split;
        }
    }
    return std::nullopt;
}

/// ggml's numbers: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte (of other kinds of tokenizer).
inline std::optional<token_kind> kind_numbered(std::int32_t number) {
    switch (number) {
        case 1: return token_kind::normal;
        case 2:
        case 3: return token_kind::control;
        case 4: return token_kind::user_defined;
        case 5:
        case 6: return token_kind::unused;
        default: return std::nullopt;
    }
}

inline quell::result<void> read_tokens(const quell::io::gguf_metadata& file, vocabulary& v) {
    QUELL_TRY(const auto texts, file.string_array("tokenizer.ggml.tokens"));
    std::vector<std::int32_t> kinds(texts.size(), 1);
    if (file.has("tokenizer.ggml.token_type")) {
        QUELL_TRY(kinds, file.int_array("tokenizer.ggml.token_type"));
    }
    if (kinds.size() != texts.size()) {
        return quell::io::failure(quell::errc::bad_format, file.path(), texts.size(), " tokens, but ", kinds.size(),
                                  " token types");
    }
    v.tokens.reserve(texts.size());
    for (std::size_t id = 0; id < texts.size(); ++id) {
        const std::optional<token_kind> kind = kind_numbered(kinds[id]);
        if (!kind) {
            return quell::io::failure(quell::errc::bad_value, file.path(), "token ", id, " has the unknown type ",
                                      kinds[id]);
        }
        v.tokens.push_back({std::string(texts[id]), *kind});
    }
    return {};
}

inline quell::result<void> read_merges(const quell::io::gguf_metadata& file, vocabulary& v) {
    QUELL_TRY(const auto lines, file.string_array("tokenizer.ggml.merges"));
    v.merges.reserve(lines.size());
    for (const std::string_view line : lines) {
        auto rule = parse_merge(line, v.merges.size());
        if (!rule) {
            return rule.error().in(file.path());
        }
        v.merges.push_back(*std::move(rule));
    }
    return {};
}

inline quell::result<void> read_special_ids(const quell::io::gguf_metadata& file, vocabulary& v) {
    struct role {
        std::string_view key;
        std::optional<std::uint64_t>& id;
    };
    for (const role& r : {role{"tokenizer.ggml.bos_token_id", v.bos}, role{"tokenizer.ggml.eos_token_id", v.eos},
                          role{"tokenizer.ggml.unknown_token_id", v.unknown}}) {
        if (file.has(r.key)) {
            QUELL_TRY(r.id, file.unsigned_value(r.key));
        }
    }
    v.add_bos = v.split == split_pattern::llama3;
    if (file.has("tokenizer.ggml.add_bos_token")) {
        QUELL_TRY(v.add_bos, file.bool_value("tokenizer.ggml.add_bos_token"));
    }
    v.add_bos = v.add_bos && v.bos;
    return {};
}

}  // namespace detail

/// Errors   not_found for a missing key, unsupported for another kind of tokenizer or an unknown way of splitting,
///          bad_format and bad_value for what contradicts itself. All name the file.
[[nodiscard]] inline quell::result<vocabulary> read_vocabulary(const quell::io::gguf_metadata& file) {
    QUELL_TRY(const std::string model, file.string_value("tokenizer.ggml.model"));
    if (model != "gpt2") {
        return quell::io::failure(quell::errc::unsupported, file.path(), "the tokenizer ", quell::io::quoted(model),
                                  " is not supported; byte-level BPE (\"gpt2\") is");
    }
    std::string pre = "default";
    if (file.has("tokenizer.ggml.pre")) {
        QUELL_TRY(pre, file.string_value("tokenizer.ggml.pre"));
    }
    const std::optional<split_pattern> split = detail::pattern_named(pre);
    if (!split) {
        return quell::io::failure(quell::errc::unsupported, file.path(), "tokenizer.ggml.pre ", quell::io::quoted(pre),
                                  " is not supported");
    }
    vocabulary v;
    v.split = *split;
    v.whole_pieces = *split == split_pattern::llama3;
    QUELL_TRY_VOID(detail::read_tokens(file, v));
    QUELL_TRY_VOID(detail::read_merges(file, v));
    QUELL_TRY_VOID(detail::read_special_ids(file, v));
    return v;
}

}  // namespace transformer
