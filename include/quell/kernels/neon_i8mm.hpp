// SPDX-License-Identifier: MIT
/// @file
/// NEON with i8mm, the dot product of unsigned by signed bytes (usdot): what the codes of fewer than 8 bits and the
/// activations are. It is as fast as sdot; the matrix product of i8mm would want pairs of rows and its own panels.
#pragma once

#include "quell/core/types.hpp"
#include "quell/kernels/neon.hpp"
#include "quell/kernels/table.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if QUELL_HAS_NEON_I8MM
QUELL_TARGET_BEGIN(QUELL_TARGET_I8MM)
namespace quell::kernels {
inline namespace QUELL_BASELINE {
namespace neon_i8mm {

inline constexpr isa level = isa::neon_i8mm;
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
    return {vusdotq_lane_s32(sum.v, codes.v, a.v, 0)};
}
QUELL_ALWAYS_INLINE vec_i32 dot_unsigned(vec_i32 sum, code_bytes codes, const quad_of_four& a) {
    return a.with_step([&](auto step) { return vusdotq_laneq_s32(sum.v, codes.v, a.v, decltype(step)::value); });
}

#define QUELL_DETAIL_UNROLL QUELL_UNROLL
#include "quell/kernels/detail/int_kernels.inc"
#undef QUELL_DETAIL_UNROLL

inline constexpr kernel_table table = with_gemm(neon::table, level, &gemm, gemm_rows);

}  // namespace neon_i8mm
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
QUELL_TARGET_END
#endif
