// SPDX-License-Identifier: MIT
/// @file
/// AMX: tiles of 16 rows of activations times tiles of 64 k of a panel, which need no other packing: 64 k of a panel
/// are 16 rows of 64 bytes, just what the instruction wants. Everything else is that of AVX-512 VNNI, and so are
/// products with few rows. The operating system lends the tile registers on request (cpu.hpp asks once a process); they
/// are given back at the end of each call.
#pragma once

#include "quell/kernels/avx512vnni.hpp"

#if QUELL_ARCH_X86_64
QUELL_AVX512_BEGIN
QUELL_TARGET_BEGIN("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8")
namespace quell::kernels {
inline namespace QUELL_BASELINE {
namespace amx {

#include "quell/kernels/detail/gemm_tiles.inc"

inline constexpr kernel_table table = with_gemm(avx512vnni::table, isa::amx, &gemm, block_rows);

}  // namespace amx
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
QUELL_TARGET_END
QUELL_AVX512_END
#endif
