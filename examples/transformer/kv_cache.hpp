// SPDX-License-Identifier: MIT
/// @file
/// The keys and values of all tokens so far, kept in the panels that the f32 kernel reads, so that attention is two
/// matrix products without a copy:
///
///     keys    one panel holds 16 tokens:     [head_size][16 tokens]        scores = q K^T
///     values  one panel holds 16 head dims:  [tokens][16 head dims]        output = p V
#pragma once

#include "quell/core/buffer.hpp"
#include "transformer/config.hpp"

#include <algorithm>
#include <cstddef>
#include <span>

namespace transformer {

class kv_cache {
public:
    static constexpr std::size_t panel_width = 16;  ///< of the f32 panels of quell::kernels

    kv_cache(const config& c, std::size_t capacity)
        : capacity_(capacity),
          kv_heads_(c.kv_heads),
          head_size_(c.head_size),
          keys_(c.layers * c.kv_heads * keys_of_head()),
          values_(c.layers * c.kv_heads * values_of_head()) {}

    [[nodiscard]] std::size_t capacity() const { return capacity_; }
    [[nodiscard]] std::size_t key_panel_stride() const { return panel_width * head_size_; }
    [[nodiscard]] std::size_t value_panel_stride() const { return panel_width * capacity_; }
    [[nodiscard]] const float* keys(std::size_t layer, std::size_t kv_head) const {
        return keys_.data() + (layer * kv_heads_ + kv_head) * keys_of_head();
    }
    [[nodiscard]] const float* values(std::size_t layer, std::size_t kv_head) const {
        return values_.data() + (layer * kv_heads_ + kv_head) * values_of_head();
    }

    /// Both heads have head_size elements; the key is rotated already.
    void store(std::size_t layer, std::size_t kv_head, std::size_t position, std::span<const float> key,
               std::span<const float> value) {
        const std::size_t head = layer * kv_heads_ + kv_head;
        float* to_key =
            keys_.data() + head * keys_of_head() + position / panel_width * key_panel_stride() + position % panel_width;
        for (std::size_t d = 0; d < head_size_; ++d) {
            to_key[d * panel_width] = key[d];
        }
        float* to_value = values_.data() + head * values_of_head() + position * panel_width;
        for (std::size_t d = 0; d < head_size_; d += panel_width) {
            const std::size_t width = std::min(panel_width, head_size_ - d);
            std::copy_n(value.data() + d, width, to_value + d / panel_width * value_panel_stride());
        }
    }

private:
    [[nodiscard]] static std::size_t panels_of(std::size_t n) { return (n + panel_width - 1) / panel_width; }
    [[nodiscard]] std::size_t keys_of_head() const { return panels_of(capacity_) * key_panel_stride(); }
    [[nodiscard]] std::size_t values_of_head() const { return panels_of(head_size_) * value_panel_stride(); }

    std::size_t capacity_;
    std::size_t kv_heads_;
    std::size_t head_size_;
    quell::buffer<float> keys_;
    quell::buffer<float> values_;
};

}  // namespace transformer
