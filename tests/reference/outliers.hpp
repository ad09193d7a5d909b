// SPDX-License-Identifier: MIT
/// @file
/// Oracle of outliers/: everything at once in memory, everything sorted.
#pragma once

#include "reference/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

namespace reference {

/// Rows of activations, all of one width.
using rows = std::vector<std::vector<float>>;

inline std::vector<std::size_t> channels_over(const std::vector<double>& magnitudes, double threshold) {
    std::vector<std::size_t> found;
    for (std::size_t c = 0; c < magnitudes.size(); ++c) {
        if (magnitudes[c] > threshold) {
            found.push_back(c);
        }
    }
    return found;
}

inline std::vector<std::size_t> k_sigma(const std::vector<double>& magnitudes, double k) {
    return channels_over(magnitudes, moments(magnitudes).mean + k * sample_deviation(magnitudes));
}

inline std::vector<std::size_t> mad_rule(const std::vector<double>& magnitudes, double k) {
    const double median = lower_quantile(magnitudes, 0.5);
    std::vector<double> distances;
    for (const double m : magnitudes) {
        distances.push_back(std::fabs(m - median));
    }
    return channels_over(magnitudes, median + k * 1.4826 * lower_quantile(distances, 0.5));
}

/// All layers whose step is more than three deviations from the mean, the steps' extremes left out of both; the largest
/// distance first. `ratio` divides the scores, otherwise they are subtracted.
inline std::vector<std::size_t> layer_flags(const std::vector<double>& scores, bool ratio) {
    std::vector<double> steps;
    for (std::size_t i = 1; i < scores.size(); ++i) {
        steps.push_back(ratio ? scores[i] / scores[i - 1] : scores[i] - scores[i - 1]);
    }
    std::vector<double> sorted = steps;
    std::sort(sorted.begin(), sorted.end());
    const auto cut = static_cast<std::ptrdiff_t>(0.05 * static_cast<double>(steps.size()));
    const std::vector<double> rest(sorted.begin() + cut, sorted.end() - cut);
    std::vector<std::pair<double, std::size_t>> found;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const double z = std::fabs(steps[i] - moments(rest).mean) / sample_deviation(rest);
        if (z > 3.0) {
            found.emplace_back(-z, i + 1);
        }
    }
    std::sort(found.begin(), found.end());
    std::vector<std::size_t> layers;
    for (const auto& [z, layer] : found) {
        layers.push_back(layer);
    }
    return layers;
}

inline std::vector<float> token_maxima(const rows& x) {
    std::vector<float> maxima;
    for (const std::vector<float>& row : x) {
        float largest = 0.0F;
        for (const float v : row) {
            largest = std::max(largest, std::fabs(v));
        }
        maxima.push_back(largest);
    }
    return maxima;
}

/// The sequences of `window` rows each, the last one shorter.
inline std::vector<rows> windows_of(const rows& x, std::size_t window) {
    std::vector<rows> parts;
    for (std::size_t r = 0; r < x.size(); ++r) {
        if (r % window == 0) {
            parts.emplace_back();
        }
        parts.back().push_back(x[r]);
    }
    return parts;
}

/// Mean over sequences of max / lower median.
inline double spike_ratio(const std::vector<rows>& sequences) {
    double sum = 0.0;
    for (const rows& sequence : sequences) {
        const std::vector<float> maxima = token_maxima(sequence);
        sum += static_cast<double>(*std::max_element(maxima.begin(), maxima.end())) /
               static_cast<double>(lower_quantile(maxima, 0.5));
    }
    return sum / static_cast<double>(sequences.size());
}

struct found_token {
    float largest;
    std::size_t window;
    std::size_t position;
    std::vector<std::size_t> channels;  ///< all, the largest first
};

/// All tokens above `times` medians of their window, the largest first.
inline std::vector<found_token> massive_tokens(const std::vector<rows>& windows, float times) {
    std::vector<found_token> found;
    for (std::size_t w = 0; w < windows.size(); ++w) {
        const std::vector<float> maxima = token_maxima(windows[w]);
        const double bar = double{times} * double{lower_quantile(maxima, 0.5)};
        for (std::size_t t = 0; t < maxima.size(); ++t) {
            if (double{maxima[t]} > bar) {
                const std::vector<float>& row = windows[w][t];
                std::vector<std::size_t> channels(row.size());
                for (std::size_t c = 0; c < row.size(); ++c) {
                    channels[c] = c;
                }
                std::stable_sort(channels.begin(), channels.end(),
                                 [&](std::size_t a, std::size_t b) { return std::fabs(row[a]) > std::fabs(row[b]); });
                found.push_back({maxima[t], w, t, channels});
            }
        }
    }
    std::sort(found.begin(), found.end(), [](const found_token& a, const found_token& b) {
        return std::tuple(-a.largest, a.window, a.position) < std::tuple(-b.largest, b.window, b.position);
    });
    return found;
}

}  // namespace reference
