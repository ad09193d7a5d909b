// SPDX-License-Identifier: MIT
/// @file
/// The executor of a program that uses OpenMP. Without -fopenmp it runs serially.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/target.hpp"

#include <cstddef>
#if defined(_OPENMP)
#include <omp.h>
#endif

namespace quell {
inline namespace QUELL_BASELINE {

struct openmp_executor {
    [[nodiscard]] std::size_t concurrency() const {
#if defined(_OPENMP)
        return static_cast<std::size_t>(omp_get_max_threads());
#else
        return 1;
#endif
    }
    void parallel_for(std::size_t n, index_function f) const {
#if defined(_OPENMP)
#pragma omp parallel for schedule(dynamic, 1)
#endif
        for (std::size_t i = 0; i < n; ++i) {
            f(i);
        }
    }
};

}  // namespace QUELL_BASELINE
}  // namespace quell
