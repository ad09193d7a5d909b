// SPDX-License-Identifier: MIT
/// @file
/// The keys and values of a prefix: tokens that stand in front of every text, run once in float and kept. Behind them
/// positions go on; they themselves are never seen again.
/// Source: QFeP in "Mitigating Quantization Errors Due to Activation Spikes in GLU-Based LLMs", arXiv 2405.14428.
#pragma once

#include "quell/core/matrix.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace transformer {

/// Row layer * tokens() + token of both matrices belongs to that token, all heads of it; keys are rotated already.
struct prefix_cache {
    std::vector<std::int32_t> ids;
    quell::matrix<float> keys;    ///< [layers * tokens, kv_width]
    quell::matrix<float> values;  ///< [layers * tokens, kv_width]

    [[nodiscard]] std::size_t tokens() const { return ids.size(); }
    [[nodiscard]] std::size_t bytes() const { return keys.elements().size_bytes() + values.elements().size_bytes(); }
};

/// None, or one that many sessions and models share.
using prefix_ptr = std::shared_ptr<const prefix_cache>;

}  // namespace transformer
