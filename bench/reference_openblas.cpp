// SPDX-License-Identifier: MIT
#include "reference.hpp"

#if QUELL_BENCH_OPENBLAS
#include <cstdlib>

#include <cblas.h>
#include <unistd.h>
#endif

namespace bench {

#if QUELL_BENCH_OPENBLAS
namespace {

void set_threads(std::size_t threads) {
    openblas_set_num_threads(static_cast<int>(threads));
}

void multiply(const float_product& p) {
    const auto m = static_cast<blasint>(p.m);
    const auto n = static_cast<blasint>(p.n);
    const auto k = static_cast<blasint>(p.k);
    if (m == 1) {
        cblas_sgemv(CblasRowMajor, CblasNoTrans, n, k, 1.0F, p.w, k, p.x, 1, 0.0F, p.y, 1);
    } else {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1.0F, p.x, k, p.w, k, 0.0F, p.y, n);
    }
}

}  // namespace

const float_reference* openblas() {
    static constexpr float_reference reference = {set_threads, multiply};
    return &reference;
}

std::string openblas_core() {
    return openblas_get_corename();
}

void restart_if_openblas_is_lost(const char* core, char** argv) {
    constexpr const char* variable = "OPENBLAS_CORETYPE";
    if (openblas_core() == "Prescott" && std::getenv(variable) == nullptr && setenv(variable, core, 1) == 0) {
        execv("/proc/self/exe", argv);  // comes back only where it cannot; the table then names the poor kernels
    }
}
#else
const float_reference* openblas() {
    return nullptr;
}

std::string openblas_core() {
    return {};
}

void restart_if_openblas_is_lost(const char*, char**) {}
#endif

}  // namespace bench
