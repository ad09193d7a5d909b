// SPDX-License-Identifier: MIT
/// @file
/// AdamW (Loshchilov and Hutter, arXiv 1711.05101) with clipping of the whole gradient's length, and the usual
/// schedule: linear warm-up, then half a cosine. Everything runs over fixed blocks, so the threads change nothing.
#pragma once

#include "toy/parameters.hpp"
#include "toy/product.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

namespace toy {

struct adamw_options {
    double beta1 = 0.9;
    double beta2 = 0.98;
    double eps = 1e-8;
    double weight_decay = 0.05;  ///< not for norm gains
    double longest_gradient = 1.0;
};

/// Rises to `peak` over `warm_up` steps and falls to `peak` * `floor` at the end.
struct cosine_schedule {
    double peak = 3e-3;
    double floor = 0.02;
    std::size_t warm_up = 50;
    std::size_t steps = 1000;

    [[nodiscard]] double rate(std::size_t step) const {
        const auto now = static_cast<double>(step);
        const double warm = std::min(static_cast<double>(warm_up), static_cast<double>(steps) / 10.0);
        if (now < warm) {
            return peak * (now + 1.0) / warm;
        }
        const double done = (now - warm) / std::max(1.0, static_cast<double>(steps) - warm);
        return peak * (floor + (1.0 - floor) * 0.5 * (1.0 + std::cos(std::numbers::pi * std::min(done, 1.0))));
    }
};

template <typename T>
class adamw {
public:
    /// The network must outlive the optimizer and stay where it is.
    template <typename Network>
    explicit adamw(Network& network, const adamw_options& options = {}) : options_(options) {
        network.for_each_parameter([&](parameter<T>& p) {
            slots_.push_back(
                {&p, quell::buffer<T>(p.value.elements().size()), quell::buffer<T>(p.value.elements().size())});
        });
    }

    /// Takes one step along the gradients and clears them. Returns their length before clipping.
    double step(double rate, const quell::executor& threads) {
        ++steps_;
        const double length = gradient_length(threads);
        const double shrink = length > options_.longest_gradient ? options_.longest_gradient / length : 1.0;
        const auto steps = static_cast<double>(steps_);
        const rates now{.rate = static_cast<T>(rate / (1.0 - std::pow(options_.beta1, steps))),
                        .second_correction = static_cast<T>(1.0 / (1.0 - std::pow(options_.beta2, steps))),
                        .decay = static_cast<T>(rate * options_.weight_decay),
                        .shrink = static_cast<T>(shrink)};
        for (slot& s : slots_) {
            for_row_blocks(s.first.size(), block, threads,
                           [&](std::size_t begin, std::size_t end) { update(s, now, begin, end); });
        }
        return length;
    }

private:
    static constexpr std::size_t block = 4096;

    struct slot {
        parameter<T>* trained;
        quell::buffer<T> first;
        quell::buffer<T> second;
    };
    struct rates {
        T rate;
        T second_correction;
        T decay;
        T shrink;
    };

    [[nodiscard]] double gradient_length(const quell::executor& threads) const {
        double sum = 0.0;
        for (const slot& s : slots_) {
            const std::span<const T> gradient = s.trained->gradient.elements();
            std::vector<double> partial((gradient.size() + block - 1) / block);
            for_row_blocks(gradient.size(), block, threads, [&](std::size_t begin, std::size_t end) {
                for (std::size_t i = begin; i < end; ++i) {
                    partial[begin / block] += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
                }
            });
            for (const double p : partial) {
                sum += p;
            }
        }
        return std::sqrt(sum);
    }

    void update(slot& s, const rates& now, std::size_t begin, std::size_t end) const {
        const T beta1 = static_cast<T>(options_.beta1);
        const T beta2 = static_cast<T>(options_.beta2);
        const T eps = static_cast<T>(options_.eps);
        const T decay = s.trained->is_gain ? T{0} : now.decay;
        T* value = s.trained->value.elements().data();
        T* gradient = s.trained->gradient.elements().data();
        T* first = s.first.data();
        T* second = s.second.data();
        for (std::size_t i = begin; i < end; ++i) {
            const T g = gradient[i] * now.shrink;
            first[i] = beta1 * first[i] + (T{1} - beta1) * g;
            second[i] = beta2 * second[i] + (T{1} - beta2) * g * g;
            value[i] -= decay * value[i] + now.rate * first[i] / (std::sqrt(second[i] * now.second_correction) + eps);
            gradient[i] = T{0};
        }
    }

    adamw_options options_;
    std::vector<slot> slots_;
    std::size_t steps_ = 0;
};

}  // namespace toy
