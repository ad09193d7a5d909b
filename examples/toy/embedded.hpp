// SPDX-License-Identifier: MIT
/// @file
/// The trained toys that the program carries: whole safetensors files with configuration and tokenizer.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace toy {

/// The file of "toy" (SwiGLU) or "toy-gelu"; empty for any other name.
[[nodiscard]] std::span<const std::byte> weights(std::string_view name);

}  // namespace toy
