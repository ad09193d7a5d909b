// SPDX-License-Identifier: MIT
/// @file
/// Clipping by the length of the whole gradient (Pascanu, Mikolov and Bengio, arXiv 1211.5063): where it is too long,
/// all parameters' gradients shrink by one factor.
#pragma once

#include "quell/core/target.hpp"
#include "quell/tuning/parameter.hpp"
#include "quell/tuning/product.hpp"

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

/// Elements that one task takes; part of the results, since sums go block by block.
inline constexpr std::size_t elements_per_task = 4096;

/// sqrt of the sum of all squares, in double and in fixed blocks: the same for any number of threads.
template <typename T>
[[nodiscard]] double gradient_length(std::span<parameter<T>* const> all, const executor& threads) {
    double sum = 0.0;
    for (const parameter<T>* p : all) {
        const std::span<const T> gradient = p->gradient.elements();
        std::vector<double> partial((gradient.size() + elements_per_task - 1) / elements_per_task);
        for_row_blocks(gradient.size(), elements_per_task, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) {
                partial[begin / elements_per_task] +=
                    static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
            }
        });
        for (const double part : partial) {
            sum += part;
        }
    }
    return std::sqrt(sum);
}

/// Shortens the gradient to `longest` where it is longer. Returns its length before.
///
/// Oracle   reference::clip (tests/reference/adamw.hpp).
template <typename T>
double clip_gradients(std::span<parameter<T>* const> all, double longest, const executor& threads) {
    const double length = gradient_length(all, threads);
    if (!(length > longest)) {
        return length;
    }
    const T factor = static_cast<T>(longest / length);
    for (parameter<T>* p : all) {
        T* gradient = p->gradient.elements().data();
        for_row_blocks(p->gradient.elements().size(), elements_per_task, threads,
                       [&](std::size_t begin, std::size_t end) {
                           for (std::size_t i = begin; i < end; ++i) {
                               gradient[i] *= factor;
                           }
                       });
    }
    return length;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
