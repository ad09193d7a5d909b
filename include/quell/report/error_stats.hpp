// SPDX-License-Identifier: MIT
/// @file
/// `error_stats`: how far an approximation is from the exact values, as sums that two halves of the data can merge.
/// Used for weights (W against its dequantized form) and for outputs (x W^T against the quantized layer).
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/target.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace quell::report {
inline namespace QUELL_BASELINE {

/// Sums in double, in the order in which values are added: the caller fixes the order, not the thread count.
struct error_stats {
    std::size_t count = 0;
    double max = 0.0;                ///< largest |exact - approximate|
    double error_squares = 0.0;      ///< sum of (exact - approximate)^2
    double reference_squares = 0.0;  ///< sum of exact^2

    void add(float exact, float approximate) {
        const double difference = double{exact} - double{approximate};
        raise_max(std::abs(difference));
        error_squares += difference * difference;
        reference_squares += double{exact} * double{exact};
        ++count;
    }

    void add(std::span<const float> exact, std::span<const float> approximate) {
        QUELL_EXPECTS(exact.size() == approximate.size(), "error_stats compares rows of one length");
        for (std::size_t i = 0; i < exact.size(); ++i) {
            add(exact[i], approximate[i]);
        }
    }

    void merge(const error_stats& other) {
        raise_max(other.max);
        error_squares += other.error_squares;
        reference_squares += other.reference_squares;
        count += other.count;
    }

    [[nodiscard]] double mean_square() const { return count == 0 ? 0.0 : error_squares / static_cast<double>(count); }

    /// sqrt(sum error^2 / sum exact^2); 0 where nothing differs.
    [[nodiscard]] double relative() const {
        return error_squares == 0.0 ? 0.0 : std::sqrt(error_squares / reference_squares);
    }

    /// Signal to noise, 10 log10(sum exact^2 / sum error^2); infinite where nothing differs.
    [[nodiscard]] double snr_db() const {
        return error_squares == 0.0 ? std::numeric_limits<double>::infinity()
                                    : 10.0 * std::log10(reference_squares / error_squares);
    }

private:
    void raise_max(double magnitude) {
        if (magnitude > max || std::isnan(magnitude)) {  // a NaN stays
            max = magnitude;
        }
    }
};

}  // namespace QUELL_BASELINE
}  // namespace quell::report
