// SPDX-License-Identifier: MIT
/// @file
/// Oracle of stats/: two passes in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace reference {

struct moment_values {
    double mean = 0.0;
    double variance = 0.0;
    double kurtosis = 0.0;
};

inline double central_moment(const std::vector<double>& v, double mean, int power) {
    double sum = 0.0;
    for (const double x : v) {
        double term = 1.0;
        for (int p = 0; p < power; ++p) {
            term *= x - mean;
        }
        sum += term;
    }
    return sum / static_cast<double>(v.size());
}

inline moment_values moments(const std::vector<double>& v) {
    double sum = 0.0;
    for (const double x : v) {
        sum += x;
    }
    const double mean = sum / static_cast<double>(v.size());
    const double variance = central_moment(v, mean, 2);
    return {mean, variance, variance > 0.0 ? central_moment(v, mean, 4) / (variance * variance) : 0.0};
}

/// sum over t of x[t][i] x[t][j], one element.
inline double gram_element(const std::vector<std::vector<float>>& x, std::size_t i, std::size_t j) {
    double sum = 0.0;
    for (const std::vector<float>& row : x) {
        sum += static_cast<double>(row[i]) * static_cast<double>(row[j]);
    }
    return sum;
}

/// Σ |x_t| and Σ x_t^2 over the values of one channel.
struct channel_sums {
    double magnitudes = 0.0;
    double squares = 0.0;
};

inline channel_sums sums_of_channel(const std::vector<double>& v) {
    channel_sums sums;
    for (const double x : v) {
        sums.magnitudes += std::fabs(x);
        sums.squares += x * x;
    }
    return sums;
}

/// Standard deviation with n - 1.
inline double sample_deviation(const std::vector<double>& v) {
    const auto n = static_cast<double>(v.size());
    return v.size() < 2 ? 0.0 : std::sqrt(moments(v).variance * n / (n - 1.0));
}

/// The element of rank floor(q (n - 1)).
template <typename T>
T lower_quantile(std::vector<T> v, double q) {
    std::sort(v.begin(), v.end());
    return v[static_cast<std::size_t>(q * static_cast<double>(v.size() - 1))];
}

/// Mean over tokens of C x_j^2 / |x|^2.
[[nodiscard]] inline std::vector<double> token_energy(const std::vector<std::vector<double>>& x) {
    std::vector<double> shares(x.empty() ? 0 : x[0].size(), 0.0);
    for (const std::vector<double>& token : x) {
        double energy = 0.0;
        for (const double v : token) {
            energy += v * v;
        }
        for (std::size_t j = 0; j < token.size() && energy > 0.0; ++j) {
            shares[j] +=
                static_cast<double>(token.size()) * token[j] * token[j] / energy / static_cast<double>(x.size());
        }
    }
    return shares;
}

}  // namespace reference
