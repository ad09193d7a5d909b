// SPDX-License-Identifier: MIT
/// @file
/// Channel outliers as large language models have them: a few channels of every norm's output, the same in all layers,
/// and of down's input are 20 to 60 times as large as they were, and the columns that read them as much smaller.
#pragma once

#include "quell/core/rng.hpp"
#include "toy/editable_block.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

namespace toy {

namespace detail {

/// `count` different indices out of the quarter with the largest sizes.
inline std::vector<std::size_t> choose_large(std::span<const float> size, std::size_t count, quell::rng& random) {
    std::vector<std::size_t> order(size.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
        order[i] = i;
    }
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return size[a] > size[b]; });
    order.resize(std::max(count, order.size() / 4));
    for (std::size_t i = 0; i < count; ++i) {
        std::swap(order[i], order[i + random.below(order.size() - i)]);
    }
    order.resize(count);
    return order;
}

inline void scale_column(editable_linear& l, std::size_t column, float factor) {
    for (std::size_t r = 0; r < l.weight.rows(); ++r) {
        l.weight(r, column) *= factor;
    }
}

inline void scale_row(editable_linear& l, std::size_t row, float factor) {
    for (float& v : l.weight.row(row)) {
        v *= factor;
    }
    if (!l.bias.empty()) {
        l.bias[row] *= factor;
    }
}

inline std::vector<float> row_lengths(const quell::matrix<float>& m) {
    std::vector<float> lengths(m.rows());
    for (std::size_t r = 0; r < m.rows(); ++r) {
        double sum = 0.0;
        for (const float v : m.row(r)) {
            sum += double{v} * double{v};
        }
        lengths[r] = static_cast<float>(std::sqrt(sum));
    }
    return lengths;
}

}  // namespace detail

class channel_outliers {
public:
    /// Chooses the channels of the residual stream among those that the first norm makes large. Only the first
    /// `ff_width` channels of the feed-forward are touched.
    channel_outliers(std::span<const float> first_gain, std::size_t ff_width, std::uint64_t seed)
        : random_(seed, 1),
          residual_(detail::choose_large(first_gain, count_for(first_gain.size()), random_)),
          ff_width_(ff_width) {}

    void plant(editable_block& b) {
        for (const std::size_t c : residual_) {
            scale_norm(b.attn_norm, {&b.q, &b.k, &b.v}, c);
            scale_norm(b.ffn_norm, {&b.up, b.gate ? &*b.gate : nullptr}, c);
        }
        if (b.gate) {
            scale_product(b);
        }
    }

private:
    [[nodiscard]] static std::size_t count_for(std::size_t width) {
        return std::min(width, std::max<std::size_t>(3, width / 48));
    }
    [[nodiscard]] float factor() { return static_cast<float>(random_.uniform(20.0, 60.0)); }

    void scale_norm(quell::buffer<float>& gain, std::initializer_list<editable_linear*> readers, std::size_t channel) {
        const float scale = factor();
        gain[channel] *= scale;
        for (editable_linear* reader : readers) {
            if (reader != nullptr) {
                detail::scale_column(*reader, channel, 1.0F / scale);
            }
        }
    }

    /// up enters the product with gate linearly, so its rows can grow while down's columns shrink.
    void scale_product(editable_block& b) {
        std::vector<float> sizes = detail::row_lengths(b.up.weight);
        sizes.resize(ff_width_);
        for (const std::size_t c : detail::choose_large(sizes, count_for(sizes.size()), random_)) {
            const float scale = factor();
            detail::scale_row(b.up, c, scale);
            detail::scale_column(b.down, c, 1.0F / scale);
        }
    }

    quell::rng random_;
    std::vector<std::size_t> residual_;
    std::size_t ff_width_;
};

}  // namespace toy
