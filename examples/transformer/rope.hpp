// SPDX-License-Identifier: MIT
/// @file
/// Rotary position embedding: each pair of elements of a query or key head turns by an angle that grows with the
/// position, so that their dot product depends on the distance of two tokens only.
/// Source: RoFormer, arXiv 2104.09864; scaling for longer contexts as published with Llama 3.1.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/matrix.hpp"
#include "transformer/config.hpp"

#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>

namespace transformer {

/// Pair i of a head turns by base^(-2i / head_size) radians a token, before scaling.
[[nodiscard]] inline double rope_frequency(const config& c, std::size_t pair) {
    return std::pow(c.rope_base, -2.0 * static_cast<double>(pair) / static_cast<double>(c.head_size));
}

/// By how much Llama 3.1 slows a frequency down: fully where a turn takes longer than the original context over
/// `low_frequency_factor`, not at all where it is shorter than that over `high_frequency_factor`, blended between.
[[nodiscard]] inline double llama3_factor(const rope_scaling_options& s, double frequency) {
    const double turns = s.original_context * frequency / (2.0 * std::numbers::pi);
    const double blend = (turns - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor);
    const double kept = std::fmin(std::fmax(blend, 0.0), 1.0);
    return 1.0 / ((1.0 - kept) / s.factor + kept);
}

/// The divisors of the frequencies [head_size / 2] that the configuration asks for; empty when they are all 1.
[[nodiscard]] inline quell::buffer<float> rope_factors(const config& c) {
    if (c.scaling.kind == rope_scaling::none) {
        return {};
    }
    quell::buffer<float> factors(c.head_size / 2);
    for (std::size_t i = 0; i < factors.size(); ++i) {
        const double factor =
            c.scaling.kind == rope_scaling::linear ? c.scaling.factor : llama3_factor(c.scaling, rope_frequency(c, i));
        factors[i] = static_cast<float>(factor);
    }
    return factors;
}

/// Cosines and sines of every angle up to `positions`, computed in double.
class rope_table {
public:
    rope_table(const config& c, std::span<const float> factors, std::size_t positions)
        : order_(c.rope), cosines_(positions, c.head_size / 2), sines_(positions, c.head_size / 2) {
        for (std::size_t i = 0; i < cosines_.cols(); ++i) {
            const double divisor = factors.empty() ? 1.0 : static_cast<double>(factors[i]);
            const double frequency = rope_frequency(c, i) / divisor;
            for (std::size_t t = 0; t < positions; ++t) {
                const double angle = static_cast<double>(t) * frequency;
                cosines_(t, i) = static_cast<float>(std::cos(angle));
                sines_(t, i) = static_cast<float>(std::sin(angle));
            }
        }
    }

    /// Turns one head [head_size] in place.
    void rotate(std::span<float> head, std::size_t position) const {
        const std::size_t pairs = head.size() / 2;
        const float* cosine = cosines_.row(position).data();
        const float* sine = sines_.row(position).data();
        const std::size_t step = order_ == rope_order::interleaved ? 2 : 1;
        const std::size_t partner = order_ == rope_order::interleaved ? 1 : pairs;
        for (std::size_t i = 0; i < pairs; ++i) {
            float& a = head[i * step];
            float& b = head[i * step + partner];
            const float turned = a * cosine[i] - b * sine[i];
            b = a * sine[i] + b * cosine[i];
            a = turned;
        }
    }

private:
    rope_order order_;
    quell::matrix<float> cosines_;
    quell::matrix<float> sines_;
};

/// Where row `row` of q or k in halves order stands in interleaved order; heads stay where they are.
[[nodiscard]] constexpr std::size_t interleaved_row(std::size_t row, std::size_t head_size) {
    const std::size_t in_head = row % head_size;
    const std::size_t half = head_size / 2;
    return row - in_head + (in_head % half) * 2 + in_head / half;
}

}  // namespace transformer
