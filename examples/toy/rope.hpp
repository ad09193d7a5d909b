// SPDX-License-Identifier: MIT
/// @file
/// Rotary positions: channels i and i + d/2 of a head (the halves order of Hugging Face), or 2i and 2i + 1, turn by
/// position * base^(-2i/d). A rotation is orthogonal, so its backward pass is the rotation by the opposite angle.
/// Source: Su et al., 2104.09864.
#pragma once

#include "quell/core/matrix.hpp"
#include "toy/product.hpp"
#include "transformer/config.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace toy {

template <typename T>
class rope {
public:
    /// `divisors` of the frequencies [head_size / 2], or empty.
    rope(std::size_t head_size, std::size_t positions, double base,
         transformer::rope_order order = transformer::rope_order::halves, std::span<const float> divisors = {})
        : order_(order), cosine_(positions, head_size / 2), sine_(positions, head_size / 2) {
        for (std::size_t p = 0; p < positions; ++p) {
            for (std::size_t i = 0; i < head_size / 2; ++i) {
                const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(head_size);
                const double divisor = divisors.empty() ? 1.0 : static_cast<double>(divisors[i]);
                const double angle = static_cast<double>(p) * (std::pow(base, exponent) / divisor);
                cosine_(p, i) = static_cast<T>(std::cos(angle));
                sine_(p, i) = static_cast<T>(std::sin(angle));
            }
        }
    }

    /// Turns x [tokens, heads * head_size] in place; token t stands at position t % length of its sequence.
    void forward(quell::matrix_view<T> x, std::size_t length, const quell::executor& threads) const {
        turn(x, length, T{1}, threads);
    }
    void backward(quell::matrix_view<T> dx, std::size_t length, const quell::executor& threads) const {
        turn(dx, length, T{-1}, threads);
    }

private:
    void turn(quell::matrix_view<T> x, std::size_t length, T direction, const quell::executor& threads) const {
        for_row_blocks(x.rows(), 64, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t t = begin; t < end; ++t) {
                turn_row(x.row(t), t % length, direction);
            }
        });
    }

    void turn_row(std::span<T> row, std::size_t position, T direction) const {
        const std::size_t half = cosine_.cols();
        const bool interleaved = order_ == transformer::rope_order::interleaved;
        const std::size_t step = interleaved ? 2 : 1;
        const std::size_t partner = interleaved ? 1 : half;
        const T* cosine = cosine_.row(position).data();
        const T* sine = sine_.row(position).data();
        for (std::size_t head = 0; head < row.size(); head += 2 * half) {
            for (std::size_t i = 0; i < half; ++i) {
                T& a = row[head + i * step];
                T& b = row[head + i * step + partner];
                const T first = a;
                const T s = direction * sine[i];
                a = first * cosine[i] - b * s;
                b = first * s + b * cosine[i];
            }
        }
    }

    transformer::rope_order order_;
    quell::matrix<T> cosine_;
    quell::matrix<T> sine_;
};

}  // namespace toy
