// SPDX-License-Identifier: MIT
/// @file
/// Times on a machine that is never quiet: several contenders in turn, so that a slow second meets all of them;
/// medians; and of one thread the processor's time, in which waiting for other programs does not count.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include <time.h>

namespace bench {

class stopwatch {
public:
    [[nodiscard]] double wall_seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - wall_).count();
    }
    /// Wall time; where one thread does all the work its processor's time, if that is less.
    [[nodiscard]] double seconds(std::size_t threads) const {
        return threads == 1 ? std::min(wall_seconds(), processor_seconds() - processor_) : wall_seconds();
    }

private:
    static double processor_seconds() {
        timespec now{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
    }

    std::chrono::steady_clock::time_point wall_ = std::chrono::steady_clock::now();
    double processor_ = processor_seconds();
};

[[nodiscard]] inline double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

/// Something to time. `run` gets the number of the call, by which it rotates over copies of its weights.
struct contender {
    std::function<void(std::size_t call)> run;
    bool warm = false;  ///< its operands should be in the caches
    std::vector<double> samples = {};
    std::size_t calls = 0;
    std::size_t repeats = 1;  ///< calls in a sample

    /// Seconds of one call.
    [[nodiscard]] double seconds() const { return median(samples); }
    [[nodiscard]] double least_seconds() const { return *std::min_element(samples.begin(), samples.end()); }

    [[nodiscard]] double time_calls(std::size_t threads) {
        const stopwatch watch;
        for (std::size_t i = 0; i < repeats; ++i) {
            run(calls++);
        }
        return watch.seconds(threads) / static_cast<double>(repeats);
    }
};

/// Samples of all, one after the other, in at least seven rounds and for about `seconds`.
inline void measure_in_turn(std::span<contender> all, std::size_t threads, double seconds) {
    constexpr std::size_t least_rounds = 7;
    const double sample_seconds = seconds / static_cast<double>(least_rounds * all.size());
    for (contender& c : all) {
        c.repeats = 1;
        static_cast<void>(c.time_calls(threads));  // the first call also brings code and tables into memory
        const double once = std::max(c.time_calls(threads), 1e-8);
        c.repeats = std::clamp<std::size_t>(static_cast<std::size_t>(sample_seconds / once), 1, 1U << 20U);
    }
    const stopwatch whole;
    for (std::size_t round = 0; round < least_rounds || whole.wall_seconds() < seconds; ++round) {
        for (contender& c : all) {
            if (c.warm && c.repeats > 1) {  // the one before it has emptied the caches
                c.run(c.calls++);
            }
            c.samples.push_back(c.time_calls(threads));
        }
    }
}

}  // namespace bench
