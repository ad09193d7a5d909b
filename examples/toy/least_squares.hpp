// SPDX-License-Identifier: MIT
/// @file
/// Weighted ridge regression on one target, in double, by conjugate gradients.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace toy {

class least_squares {
public:
    explicit least_squares(std::size_t width) : gram_(width * width), right_(width) {}

    /// One observation: x should give `target`; counts `weight` times.
    void add(std::span<const float> x, double target, double weight) {
        const std::size_t n = right_.size();
        for (std::size_t i = 0; i < n; ++i) {
            const double scaled = weight * double{x[i]};
            right_[i] += scaled * target;
            for (std::size_t j = 0; j < n; ++j) {
                gram_[i * n + j] += scaled * double{x[j]};
            }
        }
    }

    /// The direction d [width] that minimizes the sum of weight * (d x - target)^2, with a small ridge.
    [[nodiscard]] std::vector<double> solve() const {
        const std::size_t n = right_.size();
        double trace = 0.0;
        for (std::size_t i = 0; i < n; ++i) {
            trace += gram_[i * n + i];
        }
        const double ridge = 1e-4 * trace / static_cast<double>(n);
        std::vector<double> solution(n);
        std::vector<double> rest = right_;
        std::vector<double> search = rest;
        double length = dot(rest, rest);
        const double enough = 1e-12 * length;
        for (std::size_t step = 0; step < 4 * n && length > enough; ++step) {
            const std::vector<double> image = times_gram(search, ridge);
            const double along = length / dot(search, image);
            add_scaled(solution, along, search);
            add_scaled(rest, -along, image);
            const double shorter = dot(rest, rest);
            for (std::size_t i = 0; i < n; ++i) {
                search[i] = rest[i] + shorter / length * search[i];
            }
            length = shorter;
        }
        return solution;
    }

private:
    static double dot(std::span<const double> a, std::span<const double> b) {
        double sum = 0.0;
        for (std::size_t i = 0; i < a.size(); ++i) {
            sum += a[i] * b[i];
        }
        return sum;
    }
    static void add_scaled(std::vector<double>& to, double factor, std::span<const double> from) {
        for (std::size_t i = 0; i < to.size(); ++i) {
            to[i] += factor * from[i];
        }
    }
    [[nodiscard]] std::vector<double> times_gram(std::span<const double> x, double ridge) const {
        const std::size_t n = x.size();
        std::vector<double> y(n);
        for (std::size_t i = 0; i < n; ++i) {
            y[i] = ridge * x[i] + dot(std::span(gram_).subspan(i * n, n), x);
        }
        return y;
    }

    std::vector<double> gram_;
    std::vector<double> right_;
};

}  // namespace toy
