// SPDX-License-Identifier: MIT
#include "quell/core/executor.hpp"

#include "quell/core/openmp.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/thread_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
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
    for (int round = 0; round < 2000; ++round) {
        pool.parallel_for(5, [&](std::size_t i) { sum += i; });
    }
    EXPECT_EQ(sum, 20000U);
}

TEST(Executor, RunsANestedCallSerially) {
    quell::thread_pool pool(2);
    std::atomic<int> count = 0;
    pool.parallel_for(8, [&](std::size_t) { pool.parallel_for(8, [&](std::size_t) { ++count; }); });
    EXPECT_EQ(count, 64);
}

TEST(Executor, RunsSeriallyInTheSecondOfTwoCallersAtOnce) {
    quell::thread_pool pool(2);
    std::atomic<int> count = 0;
    const auto work = [&] {
        for (int round = 0; round < 200; ++round) {
            pool.parallel_for(4, [&](std::size_t) { ++count; });
        }
    };
    std::thread other(work);
    work();
    other.join();
    EXPECT_EQ(count, 1600);
}

TEST(Executor, IsSerialByDefault) {
    const quell::executor serial;
    std::vector<std::size_t> order;
    serial.parallel_for(4, [&](std::size_t i) { order.push_back(i); });
    EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 3}));
    EXPECT_EQ(serial.concurrency(), 1U);
    EXPECT_EQ(quell::thread_pool(3).concurrency(), 3U);
    EXPECT_EQ(quell::thread_pool(0).concurrency(), 1U);
}

TEST(Progress, MayBeEmpty) {
    quell::report_progress({}, "stage", "item", 0, 1);
    std::size_t seen = 0;
    quell::report_progress([&](auto, auto, std::size_t done, std::size_t) { seen = done; }, "stage", "item", 3, 4);
    EXPECT_EQ(seen, 3U);
}

}  // namespace
