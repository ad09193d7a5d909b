// SPDX-License-Identifier: MIT
/// @file
/// What is asked for on the command line. The tables come with it: only main.cpp includes, and compiles, all kernels.
#pragma once

#include "formats.hpp"
#include "operands.hpp"
#include "quell/kernels/table.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace bench {

struct settings {
    std::vector<const quell::kernels::kernel_table*> levels;  ///< to measure; the summary takes the first
    const quell::kernels::kernel_table* scalar = nullptr;     ///< to compare with
    std::vector<const format*> formats;
    std::vector<sizes> shapes;
    std::vector<std::size_t> rows;
    std::size_t threads = 1;
    double seconds = 0.5;  ///< for a row
    std::string json;      ///< the file to write, or empty
};

/// Measures and prints; the exit status is 1 where a result was wrong or the file cannot be written.
[[nodiscard]] int print_summary(const settings& wanted);

/// Rows for Google Benchmark.
void register_products(const settings& wanted);

}  // namespace bench
