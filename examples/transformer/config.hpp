// SPDX-License-Identifier: MIT
/// @file
/// `config`: the numbers that say what a LLaMA-family network looks like. Files claim them, so nothing is believed
/// before `validate` has seen it.
#pragma once

#include "quell/core/result.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

namespace transformer {

/// The feed-forward block: down(silu(gate x) * up x), or down(gelu(up x)).
enum class activation : std::uint8_t { swiglu, gelu };

/// Which of the two functions is called GELU.
enum class gelu_form : std::uint8_t { erf, tanh };

/// Which elements of a head rotate together: GGUF files of architecture llama say (2i, 2i + 1), Hugging Face and GGUF
/// files of the others say (i, i + head_size / 2). The same network, with the rows of q and k in another order.
enum class rope_order : std::uint8_t { interleaved, halves };

/// How a network that was trained on a short context reaches further: its rotations are slowed down.
enum class rope_scaling : std::uint8_t { none, linear, llama3 };

struct rope_scaling_options {
    rope_scaling kind = rope_scaling::none;
    double factor = 1.0;
    double low_frequency_factor = 1.0;
    double high_frequency_factor = 4.0;
    double original_context = 8192.0;
};

struct config {
    std::string architecture = "llama";  ///< llama or qwen2; Mistral is llama
    std::size_t vocab = 0;
    std::size_t width = 0;  ///< of the residual stream
    std::size_t layers = 0;
    std::size_t heads = 0;
    std::size_t kv_heads = 0;  ///< heads / kv_heads query heads share one head of keys and values
    std::size_t head_size = 0;
    std::size_t ff_width = 0;
    std::size_t context = 0;  ///< tokens the network was made for
    float norm_eps = 1e-5F;
    double rope_base = 10000.0;
    rope_order rope = rope_order::halves;
    rope_scaling_options scaling = {};
    activation act = activation::swiglu;
    gelu_form gelu = gelu_form::erf;
    bool tied_head = false;  ///< the head is the embedding
    bool qkv_bias = false;   ///< q, k and v must have biases
    int kv_bits = 32;        ///< of keys and values in the cache: 8, 4, or 32: float

    [[nodiscard]] std::size_t query_width() const { return heads * head_size; }
    [[nodiscard]] std::size_t kv_width() const { return kv_heads * head_size; }
    [[nodiscard]] std::size_t heads_per_kv_head() const { return heads / kv_heads; }
};

namespace detail {

struct counted_field {
    const char* name;
    std::size_t value;
    std::size_t limit;
};

inline quell::error bad_config(const std::string& what) {
    return {quell::errc::bad_value, "configuration: " + what};
}

}  // namespace detail

/// Refuses sizes that contradict each other or are too large to be meant.
inline quell::result<void> validate(const config& c) {
    constexpr std::size_t widest = std::size_t{1} << 20U;
    constexpr std::size_t most_tokens = std::size_t{1} << 27U;
    for (const detail::counted_field& f : {detail::counted_field{"vocabulary size", c.vocab, most_tokens},
                                           {"width", c.width, widest},
                                           {"layers", c.layers, 4096},
                                           {"heads", c.heads, 4096},
                                           {"key-value heads", c.kv_heads, 4096},
                                           {"head size", c.head_size, 4096},
                                           {"feed-forward width", c.ff_width, widest},
                                           {"context", c.context, most_tokens}}) {
        if (f.value == 0 || f.value > f.limit) {
            return detail::bad_config(std::string(f.name) + " is " + std::to_string(f.value) + ", not in 1 ... " +
                                      std::to_string(f.limit));
        }
    }
    if (c.heads % c.kv_heads != 0) {
        return detail::bad_config(std::to_string(c.heads) + " heads are no multiple of " + std::to_string(c.kv_heads) +
                                  " key-value heads");
    }
    if (c.kv_bits != 32 && c.kv_bits != 8 && c.kv_bits != 4) {
        return detail::bad_config("keys and values of " + std::to_string(c.kv_bits) +
                                  " bits; 32, 8 and 4 are possible");
    }
    if (c.head_size % 2 != 0) {
        return detail::bad_config("head size " + std::to_string(c.head_size) + " is odd and cannot rotate in pairs");
    }
    if (!(c.norm_eps > 0.0F && c.norm_eps < 1.0F)) {
        return detail::bad_config("the epsilon of the norm is " + std::to_string(c.norm_eps) + ", not in (0, 1)");
    }
    if (!(c.rope_base >= 1.0 && std::isfinite(c.rope_base))) {
        return detail::bad_config("the base of the rotations is " + std::to_string(c.rope_base));
    }
    const rope_scaling_options& s = c.scaling;
    const bool ordered = s.kind != rope_scaling::llama3 || s.low_frequency_factor < s.high_frequency_factor;
    if (!(s.factor > 0.0 && std::isfinite(s.factor) && s.low_frequency_factor > 0.0 && s.original_context > 0.0 &&
          std::isfinite(s.high_frequency_factor) && std::isfinite(s.original_context) && ordered)) {
        return detail::bad_config("the scaling of the rotations has a factor out of range");
    }
    return {};
}

}  // namespace transformer
