// SPDX-License-Identifier: MIT
/// @file
/// The sizes of a toy transformer and its two architectures, and the Hugging Face configuration that says so in a file.
#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>

namespace toy {

enum class architecture {
    swiglu,  ///< down(silu(gate(x)) * up(x))
    gelu,    ///< down(gelu(up(x))), gelu with erf
};

/// A LLaMA-like decoder over bytes: RMSNorm, RoPE in halves order, grouped-query attention, tied head, no biases.
struct shape {
    architecture form = architecture::swiglu;
    std::size_t vocab = 256;
    std::size_t width = 128;
    std::size_t layers = 4;
    std::size_t heads = 4;
    std::size_t kv_heads = 2;
    std::size_t head_width = 0;  ///< 0: width / heads
    std::size_t ff_width = 344;
    std::size_t context = 512;
    double norm_eps = 1e-5;
    double rope_base = 10000.0;

    [[nodiscard]] std::size_t head_size() const { return head_width > 0 ? head_width : width / heads; }
    [[nodiscard]] std::size_t query_width() const { return heads * head_size(); }
    [[nodiscard]] std::size_t kv_width() const { return kv_heads * head_size(); }
};

/// The two that the program carries; nearly the same number of parameters.
[[nodiscard]] inline shape standard_shape(architecture form) {
    return {.form = form, .ff_width = form == architecture::swiglu ? std::size_t{344} : std::size_t{512}};
}

/// The text of config.json.
[[nodiscard]] inline std::string config_json(const shape& s) {
    const nlohmann::ordered_json config{{"model_type", "llama"},
                                        {"hidden_size", s.width},
                                        {"intermediate_size", s.ff_width},
                                        {"num_hidden_layers", s.layers},
                                        {"num_attention_heads", s.heads},
                                        {"num_key_value_heads", s.kv_heads},
                                        {"head_dim", s.head_size()},
                                        {"rms_norm_eps", s.norm_eps},
                                        {"rope_theta", s.rope_base},
                                        {"max_position_embeddings", s.context},
                                        {"vocab_size", s.vocab},
                                        {"tie_word_embeddings", true},
                                        {"hidden_act", s.form == architecture::swiglu ? "silu" : "gelu"}};
    return config.dump();
}

}  // namespace toy
