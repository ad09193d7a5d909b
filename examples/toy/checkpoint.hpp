// SPDX-License-Identifier: MIT
/// @file
/// Writes a trained toy as safetensors: Hugging Face tensor names, F16 weights, configuration and tokenizer in the
/// metadata, and beside them how it was trained and what loss it reached.
#pragma once

#include "quell/io/safetensors_writer.hpp"
#include "toy/network.hpp"

#include <bit>
#include <cstdio>
#include <string>
#include <vector>

namespace toy {

struct training_record {
    double loss = 0.0;  ///< nats a byte on the built-in text, after rounding to F16
    std::size_t steps = 0;
    std::uint64_t seed = 0;
};

/// Gives every parameter the value that its file will hold.
inline void round_to_f16(network<float>& net) {
    net.for_each_parameter([](parameter<float>& p) {
        for (float& v : p.value.elements()) {
            v = quell::to_f32(quell::to_f16(v));
        }
    });
}

namespace detail {

struct stored_tensor {
    std::string name;
    std::vector<std::size_t> shape;
    std::vector<quell::f16> values;
};

inline std::vector<stored_tensor> stored_tensors(network<float>& net) {
    std::vector<stored_tensor> stored;
    net.for_each_parameter([&](const parameter<float>& p) {
        stored_tensor t{.name = p.name, .shape = {p.value.rows(), p.value.cols()}, .values = {}};
        if (p.is_gain) {
            t.shape = {p.value.cols()};
        }
        for (const float v : p.value.elements()) {
            t.values.push_back(quell::to_f16(v));
        }
        stored.push_back(std::move(t));
    });
    return stored;
}

}  // namespace detail

[[nodiscard]] inline quell::result<void> write_checkpoint(const std::string& path, network<float>& net,
                                                          const training_record& record) {
    const std::vector<detail::stored_tensor> stored = detail::stored_tensors(net);
    std::vector<quell::io::tensor_to_write> tensors;
    for (const detail::stored_tensor& t : stored) {
        tensors.push_back(
            {.name = t.name, .type = quell::dtype::f16, .shape = t.shape, .bytes = std::as_bytes(std::span(t.values))});
    }
    char loss[32];
    std::snprintf(loss, sizeof loss, "%.6f", record.loss);
    return quell::io::write_safetensors(path, tensors,
                                        {{"config", config_json(net.sizes())},
                                         {"tokenizer", "bytes"},
                                         {"builtin_loss", loss},
                                         {"steps", std::to_string(record.steps)},
                                         {"seed", std::to_string(record.seed)}});
}

}  // namespace toy
