// SPDX-License-Identifier: MIT
/// @file
/// NEON with the dot product of Armv8.2 (sdot): four products of signed bytes added in 32 bits. Codes of fewer than 8
/// bits are below 128, so that they are signed bytes too.
#pragma once

#include "quell/core/types.hpp"
#include "quell/kernels/neon.hpp"
#include "quell/kernels/table.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if QUELL_HAS_NEON_DOTPROD
QUELL_TARGET_BEGIN(QUELL_TARGET_DOTPROD)
namespace quell::kernels {
inline namespace QUELL_BASELINE {
namespace neon_dotprod {

inline constexpr isa level = isa::neon_dotprod;
inline constexpr std::size_t lanes = 4;
inline constexpr int gemm_rows = 4;
inline constexpr int group_rows = 4;
inline constexpr std::size_t block_rows = 96;
inline constexpr std::size_t tile_columns = 2;
inline constexpr int direct_rows = 4;
inline constexpr std::size_t direct_columns = 2;
inline constexpr int added_to_w8 = 0;
inline constexpr int chains = 4;  ///< sums that must be under way at once to hide the latency of a dot product

// clang-format off
#include "quell/kernels/detail/neon_vectors.inc"
#include "quell/kernels/detail/neon_lane_codes.inc"
// clang-format on

QUELL_ALWAYS_INLINE vec_i32 dot_unsigned(vec_i32 sum, code_bytes codes, code_quad a) {
    return {vdotq_lane_s32(sum.v, vreinterpretq_s8_u8(codes.v), a.v, 0)};
}
QUELL_ALWAYS_INLINE vec_i32 dot_unsigned(vec_i32 sum, code_bytes codes, const quad_of_four& a) {
    const int8x16_t w = vreinterpretq_s8_u8(codes.v);
    return a.with_step([&](auto step) { return vdotq_laneq_s32(sum.v, w, a.v, decltype(step)::value); });
}

#define QUELL_DETAIL_UNROLL QUELL_UNROLL
#include "quell/kernels/detail/int_kernels.inc"
#undef QUELL_DETAIL_UNROLL

inline constexpr kernel_table table = with_gemm(neon::table, level, &gemm, gemm_rows);

}  // namespace neon_dotprod
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
QUELL_TARGET_END
#endif
