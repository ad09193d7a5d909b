// SPDX-License-Identifier: MIT
/// @file
/// Which channels of a tensor are outliers, from one magnitude a channel (L2 norms, absolute maxima, mean magnitudes):
/// channels that are large for all tokens, the kind that smoothing and rotation cure. A rule is a small value with a
/// `detect`; the channels come in ascending order.
#pragma once

#include "quell/outliers/median.hpp"
#include "quell/stats/difficulty.hpp"

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace quell::outliers {
inline namespace QUELL_BASELINE {
namespace detail {

[[nodiscard]] inline std::vector<std::size_t> channels_above(std::span<const double> magnitudes, double threshold) {
    std::vector<std::size_t> found;
    for (std::size_t c = 0; c < magnitudes.size(); ++c) {
        if (magnitudes[c] > threshold) {
            found.push_back(c);
        }
    }
    return found;
}

}  // namespace detail

/// Channels above mean + k standard deviations (sample). A few very large channels raise the bar for all others: of n
/// channels none can exceed (n - 1) / sqrt(n) deviations.
///
/// Errors   nothing is found where a magnitude is NaN.
/// Oracle   reference::k_sigma.
struct k_sigma {
    double k = 3.0;

    [[nodiscard]] std::vector<std::size_t> detect(std::span<const double> magnitudes) const {
        const stats::difficulty spread = stats::difficulty_of(magnitudes);
        return detail::channels_above(magnitudes, spread.mean + k * spread.deviation);
    }
};

/// Channels above median + k robust deviations; 1.4826 times the median distance from the median is the standard
/// deviation of a normal sample, and up to half of the channels cannot move it. Where more than half of the channels
/// are equal, all larger ones are found.
///
/// Errors   nothing is found where most magnitudes are NaN.
/// Source   Iglewicz and Hoaglin, "How to detect and handle outliers", 1993, with their k = 3.5. Differs: the upper
/// side
///          only, and the lower median.
/// Oracle   reference::mad_rule.
struct mad_rule {
    double k = 3.5;

    [[nodiscard]] std::vector<std::size_t> detect(std::span<const double> magnitudes) const {
        constexpr double normal = 1.4826;
        const double median = lower_median(std::vector<double>(magnitudes.begin(), magnitudes.end()));
        std::vector<double> distances;
        for (const double m : magnitudes) {
            distances.push_back(std::fabs(m - median));
        }
        return detail::channels_above(magnitudes, median + k * normal * lower_median(std::move(distances)));
    }
};

}  // namespace QUELL_BASELINE
}  // namespace quell::outliers
