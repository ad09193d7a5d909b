// SPDX-License-Identifier: MIT
#include "quell/core/graph.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/openmp.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"
#include "quell/core/types.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace {

template <typename Executor>
std::vector<int> visits(Executor& e, std::size_t n) {
    std::vector<std::atomic<int>> counts(n);
    const quell::executor threads(e);
    threads.parallel_for(n, [&](std::size_t i) { ++counts[i]; });
    return {counts.begin(), counts.end()};
}

TEST(Executor, VisitsEveryIndexOnce) {
    quell::thread_pool pool(4);
    quell::serial_executor serial;
    quell::openmp_executor openmp;
    for (const std::size_t n : {0U, 1U, 2U, 7U, 1000U}) {
        const std::vector<int> once(n, 1);
        EXPECT_EQ(visits(pool, n), once);
        EXPECT_EQ(visits(serial, n), once);
        EXPECT_EQ(visits(openmp, n), once);
    }
}

TEST(Executor, RunsManyShortRounds) {
    quell::thread_pool pool(3);
    std::atomic<std::size_t> sum = 0;
    for (int round = 0; round < 20000; ++round) {
        pool.parallel_for(5, [&](std::size_t i) { sum += i; });
    }
    EXPECT_EQ(sum, 200000U);
}

TEST(Executor, RunsANestedCallSerially) {
    quell::thread_pool pool(2);
    std::atomic<int> count = 0;
    pool.parallel_for(8, [&](std::size_t) { pool.parallel_for(8, [&](std::size_t) { ++count; }); });
    EXPECT_EQ(count, 64);
}

}  // namespace
