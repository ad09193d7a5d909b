// SPDX-License-Identifier: MIT
/// @file
/// A small pool for programs that bring no threads of their own. Between the products of a decode step its workers spin
/// for some microseconds before they sleep, so that a barrier costs about a microsecond instead of a system call.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/target.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace quell {
inline namespace QUELL_BASELINE {

/// An executor over `threads` threads, the calling one included. Indices are handed out one at a time. A call from
/// inside a task, or while another thread uses the pool, runs serially in the caller. Tasks must not throw.
class thread_pool {
public:
    explicit thread_pool(std::size_t threads = std::thread::hardware_concurrency()) {
        for (std::size_t t = 1; t < std::max<std::size_t>(threads, 1); ++t) {
            workers_.emplace_back([this] { work(); });
        }
    }
    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;
    ~thread_pool() {
        stop_ = true;
        start_new_round();
        for (std::thread& worker : workers_) {
            worker.join();
        }
    }

    [[nodiscard]] std::size_t concurrency() const { return workers_.size() + 1; }

    void parallel_for(std::size_t n, index_function f) {
        if (n <= 1 || workers_.empty() || busy_.exchange(true, std::memory_order_acquire)) {
            serial_executor{}.parallel_for(n, f);
            return;
        }
        task_ = &f;
        count_ = n;
        next_.store(0, std::memory_order_relaxed);
        running_.store(workers_.size(), std::memory_order_relaxed);
        start_new_round();
        drain();
        wait_while([this] { return running_.load(std::memory_order_acquire) != 0; });
        busy_.store(false, std::memory_order_release);
    }

private:
    static constexpr int spins = 4000;

    void start_new_round() {
        round_.fetch_add(1, std::memory_order_release);
        round_.notify_all();
    }

    void drain() {
        for (std::size_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) {
            (*task_)(i);
        }
    }

    void work() {
        std::uint32_t seen = 0;
        while (true) {
            for (int i = 0; i < spins && round_.load(std::memory_order_acquire) == seen; ++i) {
                relax();
            }
            round_.wait(seen, std::memory_order_acquire);
            ++seen;
            if (stop_) {
                return;
            }
            drain();
            running_.fetch_sub(1, std::memory_order_release);
        }
    }

    template <typename Condition>
    static void wait_while(Condition condition) {
        for (int i = 0; condition(); ++i) {
            i < spins ? relax() : std::this_thread::yield();
        }
    }

    static void relax() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }

    std::vector<std::thread> workers_;
    const index_function* task_ = nullptr;
    std::size_t count_ = 0;
    std::atomic<bool> stop_ = false;
    std::atomic<bool> busy_ = false;
    alignas(64) std::atomic<std::uint32_t> round_ = 0;
    alignas(64) std::atomic<std::size_t> next_ = 0;
    alignas(64) std::atomic<std::size_t> running_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell
