// SPDX-License-Identifier: MIT
/// @file
/// The kernels of every level that this build has. dispatch.hpp includes them, and every translation unit compiles
/// them anew, unless QUELL_KERNELS_APART is 1 everywhere: then exactly one unit includes this header.
#pragma once

#include "quell/kernels/amx.hpp"
#include "quell/kernels/avx2.hpp"
#include "quell/kernels/avx512.hpp"
#include "quell/kernels/avx512vnni.hpp"
#include "quell/kernels/avxvnni.hpp"
#include "quell/kernels/neon.hpp"
#include "quell/kernels/neon_dotprod.hpp"
#include "quell/kernels/neon_i8mm.hpp"
#include "quell/kernels/scalar.hpp"
#include "quell/kernels/table.hpp"

#include <span>

namespace quell::kernels {
inline namespace QUELL_BASELINE {
namespace detail {

inline constexpr const kernel_table* tables_of_levels[] = {
    &scalar::table,
#if QUELL_ARCH_X86_64
    &avx2::table,         &avxvnni::table, &avx512::table, &avx512vnni::table, &amx::table,
#elif QUELL_ARCH_AARCH64
    &neon::table,
#endif
#if QUELL_HAS_NEON_DOTPROD
    &neon_dotprod::table,
#endif
#if QUELL_HAS_NEON_I8MM
    &neon_i8mm::table,
#endif
};

/// Weakest first.
#if !QUELL_KERNELS_APART
inline
#endif
    std::span<const kernel_table* const>
    compiled_tables() {
    return tables_of_levels;
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
