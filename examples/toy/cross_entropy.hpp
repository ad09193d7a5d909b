// SPDX-License-Identifier: MIT
/// @file
/// Losses of logits with their gradients: cross-entropy against the next token, and the divergence from a teacher's
/// predictions (distillation: Hinton, Vinyals and Dean, arXiv 1503.02531).
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

namespace detail {

/// The sum over the rows, in order, of loss(row), which also writes the row's gradient: that times `share` remains.
template <typename T, typename RowLoss>
[[nodiscard]] double sum_of_losses(quell::matrix_view<T> logits, double share, const quell::executor& threads,
                                   RowLoss row_loss) {
    std::vector<double> losses(logits.rows());
    for_row_blocks(logits.rows(), 8, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) {
            losses[t] = row_loss(t);
            for (T& v : logits.row(t)) {
                v *= static_cast<T>(share);
            }
        }
    });
    double sum = 0.0;
    for (const double loss : losses) {
        sum += loss;
    }
    return sum;
}

}  // namespace detail

/// The sum of the losses in nats; the logits [tokens, vocab] become the gradient of that sum times `share`.
template <typename T, typename Id>
[[nodiscard]] double summed_cross_entropy(quell::matrix_view<T> logits, std::span<const Id> targets, double share,
                                          const quell::executor& threads) {
    return detail::sum_of_losses(logits, share, threads, [&](std::size_t t) {
        const auto target = static_cast<std::size_t>(targets[t]);
        const double loss = softmax_loss(logits.row(t), target);
        logits(t, target) -= T{1};
        return loss;
    });
}

/// The mean loss in nats over the tokens; the logits [tokens, vocab] become dL/dlogits of that mean.
template <typename T>
[[nodiscard]] double cross_entropy(quell::matrix_view<T> logits, std::span<const std::uint8_t> targets,
                                   const quell::executor& threads) {
    const auto tokens = static_cast<double>(logits.rows());
    return summed_cross_entropy(logits, targets, 1.0 / tokens, threads) / tokens;
}

/// KL(teacher || row) in nats; the row becomes its softmax less the teacher's.
template <typename T>
[[nodiscard]] double teacher_loss(std::span<T> row, std::span<const T> teacher) {
    const T largest = *std::ranges::max_element(row);
    const T largest_of_teacher = *std::ranges::max_element(teacher);
    const T* q = row.data();
    const T* p = teacher.data();
    const T sum = interleaved_sum<T>(row.size(), [&](std::size_t i) { return exponential(q[i] - largest); });
    const T sum_of_teacher =
        interleaved_sum<T>(row.size(), [&](std::size_t i) { return exponential(p[i] - largest_of_teacher); });
    const T log_ratio = (std::log(sum) + largest) - (std::log(sum_of_teacher) + largest_of_teacher);
    const T inverse = T{1} / sum;
    const T inverse_of_teacher = T{1} / sum_of_teacher;
    const T loss = interleaved_sum<T>(row.size(), [&](std::size_t i) {
        return exponential(p[i] - largest_of_teacher) * inverse_of_teacher * (p[i] - q[i] + log_ratio);
    });
    T* gradient = row.data();
    for (std::size_t i = 0; i < row.size(); ++i) {
        gradient[i] =
            exponential(q[i] - largest) * inverse - exponential(p[i] - largest_of_teacher) * inverse_of_teacher;
    }
    return static_cast<double>(loss);
}

/// The sum over the tokens of KL(teacher || model) in nats, both given by their logits [tokens, vocab]; those of the
/// model become the gradient of that sum times `share`.
template <typename T>
[[nodiscard]] double summed_divergence(quell::matrix_view<T> logits, quell::matrix_view<const T> teacher, double share,
                                       const quell::executor& threads) {
    return detail::sum_of_losses(logits, share, threads,
                                 [&](std::size_t t) { return teacher_loss(logits.row(t), teacher.row(t)); });
}

}  // namespace toy
