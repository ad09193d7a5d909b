// SPDX-License-Identifier: MIT
/// @file
/// A linear layer of any form, and what all forms have.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/target.hpp"
#include "quell/quant/float_linear.hpp"
#include "quell/quant/quantized_linear.hpp"
#include "quell/quant/split_linear.hpp"

#include <cstddef>
#include <span>
#include <variant>

namespace quell::quant {
inline namespace QUELL_BASELINE {

using linear = std::variant<float_linear, quantized_linear, split_linear>;

[[nodiscard]] inline std::size_t out_features(const linear& layer) {
    return std::visit([](const auto& l) { return l.out_features(); }, layer);
}
[[nodiscard]] inline std::size_t in_features(const linear& layer) {
    return std::visit([](const auto& l) { return l.in_features(); }, layer);
}
[[nodiscard]] inline std::size_t bytes(const linear& layer) {
    return std::visit([](const auto& l) { return l.bytes(); }, layer);
}
[[nodiscard]] inline matrix<float> weight(const linear& layer) {
    return std::visit([](const auto& l) { return l.weight(); }, layer);
}
[[nodiscard]] inline std::span<const float> bias(const linear& layer) {
    return std::visit([](const auto& l) { return l.bias(); }, layer);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
