// SPDX-License-Identifier: MIT
/// @file
/// The products of other libraries. Each is looked for when the build is configured, and may be missing.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace bench {

/// y [m, n] = x [m, k] times w [n, k], all in rows of floats.
struct float_product {
    const float* x = nullptr;
    const float* w = nullptr;
    float* y = nullptr;
    std::size_t m = 0;
    std::size_t n = 0;
    std::size_t k = 0;
};

struct float_reference {
    void (*set_threads)(std::size_t threads);
    void (*multiply)(const float_product& p);
};

/// nullptr where the library is missing. Eigen runs on one thread.
[[nodiscard]] const float_reference* openblas();
[[nodiscard]] const float_reference* eigen();

/// The kernels that OpenBLAS has chosen, by the name of their processor; empty where it is missing.
[[nodiscard]] std::string openblas_core();

/// OpenBLAS takes the kernels of a processor of 2004 for one that it does not know, which would flatter every ratio.
/// Then, unless OPENBLAS_CORETYPE is set, this starts the program anew with that variable set to `core`.
void restart_if_openblas_is_lost(const char* core, char** argv);

/// Called with the number of the call.
using counted_call = std::function<void(std::size_t call)>;

[[nodiscard]] bool has_onednn();

/// oneDNN's product of u8 activations, already quantized, by s8 weights with a scale an output; the calls rotate over
/// so many copies of the weights. Empty where the library is missing.
[[nodiscard]] counted_call make_onednn_product(std::size_t m, std::size_t n, std::size_t k, std::size_t copies,
                                               std::size_t threads);

}  // namespace bench
