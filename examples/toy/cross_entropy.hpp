// SPDX-License-Identifier: MIT
/// @file
/// Cross-entropy of logits against the next byte, and its gradient.
#pragma once

#include "toy/elementary.hpp"
#include "toy/product.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace toy {

/// -log softmax(row)[target]; the row becomes its softmax.
template <typename T>
[[nodiscard]] double softmax_loss(std::span<T> row, std::size_t target) {
    const T largest = *std::ranges::max_element(row);
    const T wanted = row[target] - largest;
    for (T& v : row) {
        v = exponential(v - largest);
    }
    const T sum = interleaved_sum<T>(row.size(), [&](std::size_t i) { return row[i]; });
    const T inverse = T{1} / sum;
    for (T& v : row) {
        v *= inverse;
    }
    return static_cast<double>(std::log(sum) - wanted);
}

/// The mean loss in nats over the tokens; the logits [tokens, vocab] become dL/dlogits of that mean. The losses are
/// added in order.
template <typename T>
[[nodiscard]] double cross_entropy(quell::matrix_view<T> logits, std::span<const std::uint8_t> targets,
                                   const quell::executor& threads) {
    std::vector<double> losses(logits.rows());
    const T share = T{1} / static_cast<T>(logits.rows());
    for_row_blocks(logits.rows(), 32, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) {
            losses[t] = softmax_loss(logits.row(t), targets[t]);
            logits(t, targets[t]) -= T{1};
            for (T& v : logits.row(t)) {
                v *= share;
            }
        }
    });
    double sum = 0.0;
    for (const double loss : losses) {
        sum += loss;
    }
    return sum / static_cast<double>(logits.rows());
}

}  // namespace toy
