// SPDX-License-Identifier: MIT
/// @file
/// Which layers stand out from the layer before them, from one score a layer (the kurtosis of its weight, or how
/// sensitive its output is): the detector of SensiBoost and KurtBoost.
#pragma once

#include "quell/core/target.hpp"
#include "quell/outliers/median.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

namespace quell::outliers {
inline namespace QUELL_BASELINE {

/// How a score is compared with the one before it.
enum class score_step : std::uint8_t {
    difference,  ///< s_i - s_(i-1): kurtosis
    ratio,       ///< s_i / s_(i-1): sensitivity, which grows from layer to layer. A score of 0 counts as the smallest
                 ///< that is not.
};

/// Layers whose step stands more than `threshold` deviations from the mean step, the largest first; between equals the
/// earlier. Mean and sample deviation are those of the steps that are left when the part `trim` of them is taken away
/// at either end.
///
/// Errors   nothing is found where a score is not finite, where fewer than two steps are left, and where all of those
///          are equal.
/// Source   "A Sensitivity-based Approach to Mixed-Precision Quantization", arXiv 2503.06518, equations 12 to 16, and
///          its code, which ranks the deviations and not the steps.
/// Oracle   reference::layer_flags (tests/reference/outliers.hpp).
struct layer_flags {
    score_step step = score_step::difference;
    double trim = 0.05;
    double threshold = 3.0;
    std::size_t most = 0;        ///< so many layers at most; 0: all of them
    bool only_rises = false;     ///< a fall behind a spike does not flag the layer behind it. Ours.
    bool include_first = false;  ///< the first layer is compared with the lower median of all. Ours.

    [[nodiscard]] std::vector<std::size_t> detect(std::span<const double> scores) const;
};

namespace detail {

/// The smallest positive score, by which a step from 0 is measured.
[[nodiscard]] inline double least_positive(std::span<const double> scores) {
    double least = std::numeric_limits<double>::infinity();
    for (const double s : scores) {
        least = s > 0.0 ? std::min(least, s) : least;
    }
    return least;
}

struct step_spread {
    double mean = 0.0;
    double deviation = 0.0;  ///< 0 where there is none to speak of
};

[[nodiscard]] inline step_spread trimmed_spread(std::vector<double> steps, double trim) {
    const auto cut = static_cast<std::ptrdiff_t>(trim * static_cast<double>(steps.size()));
    std::sort(steps.begin(), steps.end());
    const std::span<const double> rest(steps.begin() + cut, steps.end() - cut);
    const auto n = static_cast<double>(rest.size());
    if (rest.size() < 2 || rest.front() == rest.back()) {
        return {};
    }
    const double mean = std::accumulate(rest.begin(), rest.end(), 0.0) / n;
    double squares = 0.0;
    for (const double d : rest) {
        squares += (d - mean) * (d - mean);
    }
    return {mean, std::sqrt(squares / (n - 1.0))};
}

}  // namespace detail

inline std::vector<std::size_t> layer_flags::detect(std::span<const double> scores) const {
    if (!std::all_of(scores.begin(), scores.end(), [](double s) { return std::isfinite(s); }) || scores.size() < 2) {
        return {};
    }
    const double least = detail::least_positive(scores);
    const auto step_between = [&](double before, double after) {
        const auto positive = [&](double s) { return s == 0.0 ? least : s; };
        return step == score_step::difference ? after - before : positive(after) / positive(before);
    };
    std::vector<double> steps;
    for (std::size_t i = 1; i < scores.size(); ++i) {
        steps.push_back(step_between(scores[i - 1], scores[i]));
    }
    const detail::step_spread spread = detail::trimmed_spread(steps, trim);
    if (spread.deviation == 0.0) {
        return {};
    }
    const double typical = lower_median(std::vector<double>(scores.begin(), scores.end()));
    steps.insert(steps.begin(), include_first ? step_between(typical, scores[0]) : spread.mean);
    std::vector<double> distance;
    std::vector<std::size_t> flagged;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const double z = (steps[i] - spread.mean) / spread.deviation;
        distance.push_back(only_rises ? z : std::fabs(z));
        if (distance[i] > threshold) {
            flagged.push_back(i);
        }
    }
    std::stable_sort(flagged.begin(), flagged.end(),
                     [&](std::size_t a, std::size_t b) { return distance[a] > distance[b]; });
    flagged.resize(most == 0 ? flagged.size() : std::min(most, flagged.size()));
    return flagged;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::outliers
