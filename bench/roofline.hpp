// SPDX-License-Identifier: MIT
/// @file
/// What this machine can do at most, measured before anything is compared with it: bytes read from memory, products of
/// codes and of floats in registers. The best of many short windows, since other programs only make it slower.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/kernels/cpu.hpp"

namespace bench {

/// Per second, of all threads together, in units of 10^9; an operation is a multiplication or an addition.
struct limits {
    double read_bytes = 0;
    double w8_operations = 0;      ///< 8-bit codes: every pair of products is widened to 32 bits
    double narrow_operations = 0;  ///< codes of fewer bits: eight pairs are added in 16 bits first, where that helps
    double float_operations = 0;
};

/// Cost     about `seconds` for each of the four, and 512 MB while it measures.
[[nodiscard]] limits measure_limits(quell::kernels::isa level, const quell::executor& threads, double seconds);

}  // namespace bench
