// SPDX-License-Identifier: MIT
/// @file
/// The spike ratio of an input: how far the largest token of a sequence stands above the typical one. Where it is
/// large, one scale for all tokens cannot serve both; QFeM leaves such modules in float.
#pragma once

#include "quell/outliers/token_window.hpp"

#include <cstdint>

namespace quell::outliers {
inline namespace QUELL_BASELINE {

/// The mean over sequences of max / lower median of the token maxima. The rows of one add() are one sequence.
///
/// Errors   a sequence of zeros has the ratio 1. Where the median is 0 and the maximum is not, the ratio is infinite;
///          NaN in the rows gives NaN.
/// Source   QFeM in "Mitigating Quantization Errors Due to Activation Spikes in GLU-Based LLMs", arXiv 2405.14428.
/// Oracle   reference::spike_ratio.
///
/// A ratio is rounded to float, so that sums below 2^30 are exact, and merging is.
class spike_ratio {
public:
    spike_ratio() = default;
    /// What `count` tokens in so many sequences left behind, as a file keeps it.
    spike_ratio(std::uint64_t count, std::uint64_t sequences, double sum)
        : sum_(sum), sequences_(sequences), count_(count) {}

    void add(matrix_view<const float> x) {
        token_window sequence;
        sequence.add(x);
        add(sequence);
    }

    void add(const token_window& sequence) {
        if (sequence.size() == 0) {
            return;
        }
        const float largest = sequence.largest().front().largest;
        sum_ += static_cast<double>(largest == 0.0F ? 1.0F : largest / sequence.median());
        ++sequences_;
        count_ += sequence.size();
    }

    void merge(const spike_ratio& other) {
        sum_ += other.sum_;
        sequences_ += other.sequences_;
        count_ += other.count_;
    }

    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::uint64_t sequences() const { return sequences_; }
    [[nodiscard]] double sum() const { return sum_; }
    /// 1 before any sequence.
    [[nodiscard]] double mean() const { return sequences_ == 0 ? 1.0 : sum_ / static_cast<double>(sequences_); }

private:
    double sum_ = 0.0;
    std::uint64_t sequences_ = 0;
    std::uint64_t count_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::outliers
