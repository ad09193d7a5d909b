// SPDX-License-Identifier: MIT
/// @file
/// Where a per-channel scale goes: into the columns of the weights that read the channels, and out of whatever produces
/// them. Each element is computed in double and rounded once. With s the scales of an input:
///
/// | producer  | the readers            | the producer                                                        |
/// | norm gain | scale_columns(W, s)    | divide(gain, s), divide(norm bias, s)                               |
/// | product   | scale_columns(down, s) | divide_rows(up, s), divide(up bias, s)                              |
/// | linear    | scale_columns(o, s)    | divide_rows(v, producer_scales(s, heads)), the same for its bias    |
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/views.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>

namespace quell::transforms {
inline namespace QUELL_BASELINE {

namespace detail {

template <typename T>
[[nodiscard]] T product(T v, float s) {
    return static_cast<T>(static_cast<double>(v) * static_cast<double>(s));
}

/// 0 where the scale is 0: such a norm gain lets nothing through.
template <typename T>
[[nodiscard]] T quotient(T v, float s) {
    return s == 0.0F ? T(0) : static_cast<T>(static_cast<double>(v) / static_cast<double>(s));
}

template <typename T>
void divide_elements(std::span<T> values, std::span<const float> s) {
    QUELL_EXPECTS(values.size() == s.size(), "one scale for every element");
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = quotient(values[i], s[i]);
    }
}

}  // namespace detail

/// W[:, j] *= s_j.
template <std::floating_point T>
void scale_columns(matrix_view<T> w, std::span<const float> s) {
    QUELL_EXPECTS(w.cols() == s.size(), "one scale for every column");
    for (std::size_t r = 0; r < w.rows(); ++r) {
        std::transform(w.row(r).begin(), w.row(r).end(), s.begin(), w.row(r).begin(), detail::product<T>);
    }
}

/// W[:, j] /= s_j.
template <std::floating_point T>
void divide_columns(matrix_view<T> w, std::span<const float> s) {
    QUELL_EXPECTS(w.cols() == s.size(), "one scale for every column");
    for (std::size_t r = 0; r < w.rows(); ++r) {
        detail::divide_elements(w.row(r), s);
    }
}

/// W[i, :] *= s_i.
template <std::floating_point T>
void scale_rows(matrix_view<T> w, std::span<const float> s) {
    QUELL_EXPECTS(w.rows() == s.size(), "one scale for every row");
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (T& v : w.row(r)) {
            v = detail::product(v, s[r]);
        }
    }
}

/// W[i, :] /= s_i.
template <std::floating_point T>
void divide_rows(matrix_view<T> w, std::span<const float> s) {
    QUELL_EXPECTS(w.rows() == s.size(), "one scale for every row");
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (T& v : w.row(r)) {
            v = detail::quotient(v, s[r]);
        }
    }
}

/// A norm gain or a bias /= s.
inline void divide(std::span<float> values, std::span<const float> s) {
    detail::divide_elements(values, s);
}
inline void divide(std::span<double> values, std::span<const float> s) {
    detail::divide_elements(values, s);
}

/// Grouped-query attention: the output of each head of a linear feeds `repeat` heads of `size` channels, one after the
/// other. Without repetition size does not matter.
struct head_layout {
    std::size_t repeat = 1;
    std::size_t size = 1;

    /// The channel of the producer that input channel j repeats.
    [[nodiscard]] std::size_t producer_channel(std::size_t j) const { return j / size / repeat * size + j % size; }
};

/// The scales of the producer's rows for scales s of the channels it feeds, equal over repeated heads.
///
/// Shapes   s [in]; the result [in / repeat].
[[nodiscard]] inline buffer<float> producer_scales(std::span<const float> s, const head_layout& heads) {
    QUELL_EXPECTS(s.size() % (heads.repeat * heads.size) == 0, "whole heads");
    buffer<float> rows(s.size() / heads.repeat);
    for (std::size_t j = 0; j < s.size(); ++j) {
        rows[heads.producer_channel(j)] = s[j];
    }
    return rows;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::transforms
