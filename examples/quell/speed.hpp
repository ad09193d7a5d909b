// SPDX-License-Identifier: MIT
/// @file
/// Tokens per second as engines report them: prefill of one window with the logits of its last token, and decode of
/// single tokens behind a short prompt. Medians of a few runs; and the peak memory of the process.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/result.hpp"
#include "transformer/session.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sys/resource.h>

namespace program {

struct speeds {
    double prefill_tokens_per_second = 0;
    double decode_tokens_per_second = 0;
};

class stopwatch {
public:
    [[nodiscard]] double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

inline double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0.0 : values[values.size() / 2];
}

/// `ids`: at least two tokens; the first window of the text serves as the prompt.
inline quell::result<speeds> measure_speed(const transformer::model& network, std::span<const std::int32_t> ids,
                                           std::size_t context, const quell::executor& threads) {
    constexpr int runs = 3;
    constexpr std::size_t decode_steps = 32;
    const std::size_t prompt = std::min({context, ids.size(), network.shape.context - 1});
    transformer::session session(network, threads, prompt);
    quell::matrix<float> logits(1, network.shape.vocab);
    std::vector<double> prefill_seconds;
    std::vector<double> decode_seconds;
    for (int run = 0; run < runs; ++run) {
        session.reset();
        const stopwatch prefill;
        QUELL_TRY_VOID(session.prefill(ids.first(prompt)));
        session.logits(session.hidden().block(prompt - 1, 0, 1, network.shape.width), logits.view());
        prefill_seconds.push_back(prefill.seconds());
    }
    session.reset();
    const std::size_t steps = std::min(decode_steps, prompt - 1);
    QUELL_TRY_VOID(session.prefill(ids.first(prompt - steps)));
    for (std::size_t step = 0; step < steps; ++step) {
        const stopwatch decode;
        QUELL_TRY_VOID(session.prefill(ids.subspan(prompt - steps + step, 1)));
        session.logits(session.hidden(), logits.view());
        decode_seconds.push_back(decode.seconds());
    }
    return speeds{static_cast<double>(prompt) / median(prefill_seconds), 1.0 / median(decode_seconds)};
}

inline std::size_t peak_rss_bytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

}  // namespace program
