// SPDX-License-Identifier: MIT
/// @file
/// `scheme`: in which form numbers are quantized. Bits, the set of codes, how far one scale reaches, and the types in
/// which scales and zeros are stored. It says what HQQ, GPTQ, ggml's formats and the 1-bit formats store.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/target.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace quell {
inline namespace QUELL_BASELINE {

/// Which codes exist and what they mean, with s the scale, z the zero and m the mean of a group.
enum class code_set : std::uint8_t {
    symmetric,   ///< v = s q, q in -2^(b-1) ... 2^(b-1) - 1 (8 bits: -127 ... 127)
    zero_point,  ///< v = s (q - z), q in 0 ... 2^b - 1 (8 bits: -127 ... 127)
    sign,        ///< v = s (2 q - 1), q in 0, 1
    sign_mean,   ///< v = s (2 q - 1) + m
};

/// How far one scale reaches. A group never crosses a row; the last group of a row may be short.
enum class granularity : std::uint8_t {
    tensor,   ///< one scale for all
    channel,  ///< one per output row of a weight
    token,    ///< one per row of the activations, taken at run time
    group,    ///< one per `group` elements along in_features
};

enum class scale_type : std::uint8_t { f32, f16, bf16, codes8 };
enum class zero_type : std::uint8_t { none, integer, real };

struct scheme {
    int bits = 8;
    code_set codes = code_set::symmetric;
    granularity reach = granularity::channel;
    std::size_t group = 0;  ///< only with granularity::group
    scale_type scales = scale_type::f32;
    zero_type zeros = zero_type::none;

    friend bool operator==(const scheme&, const scheme&) = default;
};

struct code_range {
    int low;
    int high;
};

/// The smallest and the largest code. 8-bit codes leave out -128 so that the AVX2 sign trick stays exact.
[[nodiscard]] constexpr code_range codes_of(const scheme& s) {
    if (s.codes == code_set::sign || s.codes == code_set::sign_mean) {
        return {0, 1};
    }
    if (s.bits == 8) {
        return {-127, 127};
    }
    return s.codes == code_set::symmetric ? code_range{-(1 << (s.bits - 1)), (1 << (s.bits - 1)) - 1}
                                          : code_range{0, (1 << s.bits) - 1};
}

/// How many elements of a row share a scale; `cols` = in_features.
[[nodiscard]] constexpr std::size_t group_length(const scheme& s, std::size_t cols) {
    QUELL_EXPECTS(s.reach != granularity::group || s.group > 0, "a group without elements");
    return s.reach == granularity::group ? s.group : std::max<std::size_t>(cols, 1);
}

[[nodiscard]] constexpr std::size_t groups_per_row(const scheme& s, std::size_t cols) {
    const std::size_t length = group_length(s, cols);
    return (cols + length - 1) / length;
}

[[nodiscard]] constexpr int bits_of(scale_type type) {
    return type == scale_type::f32 ? 32 : type == scale_type::codes8 ? 8 : 16;
}

}  // namespace QUELL_BASELINE
}  // namespace quell
