// SPDX-License-Identifier: MIT
/// @file
/// A configuration from the metadata of a GGUF file: architectures llama (Mistral's files too) and qwen2.
#pragma once

#include "quell/core/result.hpp"
#include "quell/io/gguf.hpp"
#include "quell/io/message.hpp"
#include "transformer/config.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace transformer {

namespace detail {

/// Reads the keys "<architecture>.<key>".
class metadata_reader {
public:
    metadata_reader(const quell::io::gguf_file& file, const std::string& architecture)
        : file_(file), prefix_(architecture + ".") {}

    [[nodiscard]] bool has(const char* key) const { return file_.has(prefix_ + key); }

    /// A missing key is `otherwise`; an error where that is nothing.
    [[nodiscard]] quell::result<std::size_t> count(const char* key, std::optional<std::size_t> otherwise = {}) const {
        if (otherwise && !has(key)) {
            return *otherwise;
        }
        QUELL_TRY(const std::uint64_t value, file_.unsigned_value(prefix_ + key));
        return static_cast<std::size_t>(value);
    }

    [[nodiscard]] quell::result<double> number(const char* key, std::optional<double> otherwise = {}) const {
        return otherwise && !has(key) ? quell::result<double>(*otherwise) : file_.real_value(prefix_ + key);
    }

    [[nodiscard]] quell::result<std::string> text(const char* key, const std::string& otherwise) const {
        return has(key) ? file_.string_value(prefix_ + key) : quell::result<std::string>(otherwise);
    }

private:
    const quell::io::gguf_file& file_;
    std::string prefix_;
};

/// quell computes plain attention and feed-forward blocks with whole heads rotated; the rest is refused by name.
inline quell::result<void> refuse_variants(const metadata_reader& keys, const config& c, const std::string& file) {
    using quell::io::failure;
    QUELL_TRY(const std::size_t rotated, keys.count("rope.dimension_count", c.head_size));
    QUELL_TRY(const std::size_t value_size, keys.count("attention.value_length", c.head_size));
    QUELL_TRY(const std::size_t experts, keys.count("expert_count", 0));
    if (rotated != c.head_size || value_size != c.head_size) {
        return failure(quell::errc::unsupported, file, "heads of ", c.head_size, " elements with ", rotated,
                       " rotated and values of ", value_size, " are not supported");
    }
    if (experts != 0) {
        return failure(quell::errc::unsupported, file, "a mixture of ", experts, " experts is not supported");
    }
    return {};
}

inline quell::result<rope_scaling_options> scaling_from_gguf(const metadata_reader& keys, const std::string& file) {
    QUELL_TRY(const std::string kind, keys.text("rope.scaling.type", "none"));
    if (kind == "none") {
        return rope_scaling_options{};
    }
    if (kind != "linear") {
        return quell::io::failure(quell::errc::unsupported, file, "rope scaling ", quell::io::quoted(kind),
                                  " is not supported");
    }
    QUELL_TRY(const double factor, keys.number("rope.scaling.factor"));
    return rope_scaling_options{.kind = rope_scaling::linear, .factor = factor};
}

}  // namespace detail

/// The vocabulary's size is that of the embedding, and whether the head is tied is for the tensors to say.
/// Errors   errc::unsupported, bad_value, not_found; the message starts with the file's name.
inline quell::result<config> config_from_gguf(const quell::io::gguf_file& file) {
    config c;
    QUELL_TRY(c.architecture, file.string_value("general.architecture"));
    if (c.architecture != "llama" && c.architecture != "qwen2") {
        return quell::io::failure(quell::errc::unsupported, file.path(), "architecture ",
                                  quell::io::quoted(c.architecture), " is not one of llama, qwen2");
    }
    const detail::metadata_reader keys(file, c.architecture);
    const quell::io::tensor_view* embedding = file.find("token_embd.weight");
    const std::size_t rows = embedding == nullptr || embedding->shape.empty() ? 0 : embedding->shape.front();
    QUELL_TRY(c.vocab, keys.count("vocab_size", rows));
    QUELL_TRY(c.width, keys.count("embedding_length"));
    QUELL_TRY(c.layers, keys.count("block_count"));
    QUELL_TRY(c.heads, keys.count("attention.head_count"));
    QUELL_TRY(c.kv_heads, keys.count("attention.head_count_kv", c.heads));
    QUELL_TRY(c.head_size, keys.count("attention.key_length", c.heads == 0 ? 0 : c.width / c.heads));
    QUELL_TRY(c.ff_width, keys.count("feed_forward_length"));
    QUELL_TRY(c.context, keys.count("context_length"));
    QUELL_TRY(const std::size_t window, keys.count("attention.sliding_window", c.context));
    QUELL_TRY(const double eps, keys.number("attention.layer_norm_rms_epsilon"));
    QUELL_TRY(c.rope_base, keys.number("rope.freq_base", 10000.0));
    QUELL_TRY(c.scaling, detail::scaling_from_gguf(keys, file.path()));
    c.context = std::min(c.context, window);  // within it attention is whole
    c.norm_eps = static_cast<float>(eps);
    c.rope = c.architecture == "llama" ? rope_order::interleaved : rope_order::halves;
    c.qkv_bias = c.architecture == "qwen2";
    c.tied_head = file.find("output.weight") == nullptr;
    if (auto valid = validate(c); !valid) {
        return valid.error().in(file.path());
    }
    QUELL_TRY_VOID(detail::refuse_variants(keys, c, file.path()));
    return c;
}

}  // namespace transformer
