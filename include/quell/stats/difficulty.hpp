// SPDX-License-Identifier: MIT
/// @file
/// How hard a tensor is to quantize, from the magnitudes of its channels: the flatter they are, the easier.
#pragma once

#include "quell/core/target.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace quell::stats {
inline namespace QUELL_BASELINE {

/// The spread of the channel magnitudes.
///
/// Source   Czako et al., "Turning LLM Activations Quantization-Friendly". Differs: computed in double, and `relative`
///          is ours: the paper's metric scales with the tensor and with the root of the number of tokens.
/// Oracle   reference::difficulty.
struct difficulty {
    double deviation = 0.0;  ///< sample standard deviation, the paper's metric; 0 for fewer than two channels
    double mean = 0.0;

    /// The deviation in units of the mean, comparable between tensors; 0 where all channels are dead.
    [[nodiscard]] double relative() const { return mean > 0.0 ? deviation / mean : 0.0; }
};

/// Shapes   norms [channels]: the L2 norm of every channel over the tokens (or over the rows of a weight).
[[nodiscard]] inline difficulty difficulty_of(std::span<const double> norms) {
    difficulty d;
    const auto channels = static_cast<double>(norms.size());
    for (const double norm : norms) {
        d.mean += norm / channels;
    }
    double squares = 0.0;
    for (const double norm : norms) {
        squares += (norm - d.mean) * (norm - d.mean);
    }
    d.deviation = norms.size() > 1 ? std::sqrt(squares / (channels - 1.0)) : 0.0;
    return d;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
