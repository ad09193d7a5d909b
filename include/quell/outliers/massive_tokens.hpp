// SPDX-License-Identifier: MIT
/// @file
/// Massive tokens: a few tokens, often the first of a window, in which a few channels are far above everything else.
/// Scales per token lose the rest of such a token, scales per tensor lose all other tokens, and maxima over the
/// calibration data see nothing but them.
#pragma once

#include "quell/outliers/token_window.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

namespace quell::outliers {
inline namespace QUELL_BASELINE {

struct massive_token {
    large_token token{};
    std::uint64_t window = 0;  ///< which window, counted from 0
    float median = 0.0F;       ///< of the token maxima of that window
};

/// Counts the tokens whose largest magnitude exceeds `times` the lower median of the token maxima of their window, and
/// says of the largest ones where they are. The rows of one add() are one window.
///
/// Errors   where the median is 0, every token that is not zero is massive. A NaN is not massive.
/// Cost     bounded: 64 tokens are described, at most 8 of a window; all are counted.
/// Source   Sun et al., "Massive Activations in Large Language Models", arXiv 2402.17762. Differs: measured against the
///          token maxima, not against all magnitudes, and without an absolute threshold.
/// Oracle   reference::massive_tokens.
class massive_tokens {
public:
    static constexpr std::size_t kept = 64;
    static constexpr float default_times = 20.0F;

    massive_tokens() = default;
    explicit massive_tokens(float times) : times_(times) {}
    /// What `count` tokens in so many windows left behind, as a file keeps it.
    massive_tokens(float times, std::uint64_t count, std::uint64_t windows, std::uint64_t found,
                   std::vector<massive_token> examples)
        : examples_(std::move(examples)), times_(times), windows_(windows), count_(count), found_(found) {
        shorten();
    }

    void add(matrix_view<const float> x) {
        token_window window;
        window.add(x);
        add(window);
    }

    void add(const token_window& window) {
        if (window.size() == 0) {
            return;
        }
        const float median = window.median();
        const auto is_massive = [&](float largest) {
            return static_cast<double>(largest) > static_cast<double>(times_) * static_cast<double>(median);
        };
        const auto maxima = window.maxima();
        found_ += static_cast<std::uint64_t>(std::count_if(maxima.begin(), maxima.end(), is_massive));
        for (const large_token& token : window.largest()) {
            if (is_massive(token.largest)) {
                examples_.push_back({.token = token, .window = windows_, .median = median});
            }
        }
        ++windows_;
        count_ += window.size();
        shorten();
    }

    void merge(const massive_tokens& other) {
        QUELL_EXPECTS(times_ == other.times_, "massive by the same rule");
        for (massive_token example : other.examples_) {
            example.window += windows_;
            examples_.push_back(example);
        }
        windows_ += other.windows_;
        count_ += other.count_;
        found_ += other.found_;
        shorten();
    }

    [[nodiscard]] float times() const { return times_; }
    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::uint64_t windows() const { return windows_; }
    [[nodiscard]] std::uint64_t found() const { return found_; }
    /// The largest first; of equal ones the earlier.
    [[nodiscard]] std::span<const massive_token> examples() const { return examples_; }

private:
    void shorten() {
        std::sort(examples_.begin(), examples_.end(), [](const massive_token& a, const massive_token& b) {
            return std::tuple(-a.token.largest, a.window, a.token.position) <
                   std::tuple(-b.token.largest, b.window, b.token.position);
        });
        examples_.resize(std::min(examples_.size(), kept));
    }

    std::vector<massive_token> examples_;
    float times_ = default_times;
    std::uint64_t windows_ = 0;
    std::uint64_t count_ = 0;
    std::uint64_t found_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::outliers
