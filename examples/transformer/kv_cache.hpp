// SPDX-License-Identifier: MIT
/// @file
/// The keys and values of all tokens so far, in the panels that the f32 kernel reads, so that attention is two matrix
/// products without a copy:
///
///     keys    one panel holds 16 tokens:     [head_size][16 tokens]        scores = q K^T
///     values  one panel holds 16 head dims:  [tokens][16 head dims]        output = p V
///
/// With 8 or 4 bits the panels hold codes instead, with a scale and a minimum for each head of each token; before a
/// product they are spread out into floats. The tokens of a prefix are in floats in any case.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/quant/head_codes.hpp"
#include "transformer/config.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace transformer {

class kv_cache {
public:
    static constexpr std::size_t panel_width = 16;  ///< of the f32 panels of quell::kernels

    /// Room for `capacity` tokens, the first `pinned` of which come by pin().
    kv_cache(const config& c, std::size_t capacity, std::size_t pinned = 0)
        : capacity_(capacity),
          pinned_(pinned),
          kv_heads_(c.kv_heads),
          head_size_(c.head_size),
          form_(quell::quant::head_scheme_of(c.kv_bits)) {
        const std::size_t heads = c.layers * c.kv_heads;
        if (form_.is_float()) {
            keys_ = quell::buffer<float>(heads * keys_of_head());
            values_ = quell::buffer<float>(heads * values_of_head());
        } else {
            key_codes_ = quell::buffer<std::uint8_t>(heads * bytes_of(keys_of_head()));
            value_codes_ = quell::buffer<std::uint8_t>(heads * bytes_of(values_of_head()));
            key_ranges_ = quell::buffer<quell::quant::head_range>(heads * panels_of(capacity) * panel_width);
            value_ranges_ = quell::buffer<quell::quant::head_range>(heads * capacity);
            pinned_keys_ = quell::buffer<float>(heads * pinned * head_size_);
            pinned_values_ = quell::buffer<float>(heads * pinned * head_size_);
        }
    }

    [[nodiscard]] std::size_t capacity() const { return capacity_; }
    [[nodiscard]] std::size_t key_panel_stride() const { return panel_width * head_size_; }
    [[nodiscard]] std::size_t value_panel_stride() const { return panel_width * capacity_; }
    [[nodiscard]] std::size_t bytes() const {
        return keys_.size_bytes() + values_.size_bytes() + key_codes_.size_bytes() + value_codes_.size_bytes() +
               key_ranges_.size_bytes() + value_ranges_.size_bytes() + pinned_keys_.size_bytes() +
               pinned_values_.size_bytes();
    }
    /// Floats that keys() or values() may fill.
    [[nodiscard]] std::size_t scratch_floats() const {
        return form_.is_float() ? 0 : std::max(keys_of_head(), values_of_head());
    }

    /// The panels of the first `tokens` tokens of one head: in place, or spread out into `scratch`.
    [[nodiscard]] const float* keys(std::size_t layer, std::size_t kv_head, std::size_t tokens, float* scratch) const {
        const std::size_t head = layer * kv_heads_ + kv_head;
        if (form_.is_float()) {
            return keys_.data() + head * keys_of_head();
        }
        const std::uint8_t* codes = key_codes_.data() + head * bytes_of(keys_of_head());
        const auto* ranges = key_ranges_.data() + head * panels_of(capacity_) * panel_width;
        for (std::size_t run = 0; run < panels_of(tokens) * head_size_; ++run) {
            spread(codes + run * bytes_of(panel_width), ranges + run / head_size_ * panel_width, 1,
                   scratch + run * panel_width);
        }
        for (std::size_t t = 0; t < pinned_; ++t) {
            store_key(scratch, t, pinned_of(pinned_keys_, head, t));
        }
        return scratch;
    }

    [[nodiscard]] const float* values(std::size_t layer, std::size_t kv_head, std::size_t tokens,
                                      float* scratch) const {
        const std::size_t head = layer * kv_heads_ + kv_head;
        if (form_.is_float()) {
            return values_.data() + head * values_of_head();
        }
        const std::uint8_t* codes = value_codes_.data() + head * bytes_of(values_of_head());
        for (std::size_t panel = 0; panel < panels_of(head_size_); ++panel) {
            for (std::size_t t = 0; t < tokens; ++t) {
                const std::size_t run = panel * capacity_ + t;
                spread(codes + run * bytes_of(panel_width), value_ranges_.data() + head * capacity_ + t, 0,
                       scratch + run * panel_width);
            }
        }
        for (std::size_t t = 0; t < pinned_; ++t) {
            store_value(scratch, t, pinned_of(pinned_values_, head, t));
        }
        return scratch;
    }

    /// Both heads have head_size elements; the key is rotated already.
    void store(std::size_t layer, std::size_t kv_head, std::size_t position, std::span<const float> key,
               std::span<const float> value) {
        const std::size_t head = layer * kv_heads_ + kv_head;
        if (form_.is_float()) {
            store_key(keys_.data() + head * keys_of_head(), position, key);
            store_value(values_.data() + head * values_of_head(), position, value);
        } else {
            store_codes(head, position, key, value);
        }
    }

    /// The same for one of the first `pinned` tokens, which stays in floats.
    void pin(std::size_t layer, std::size_t kv_head, std::size_t position, std::span<const float> key,
             std::span<const float> value) {
        if (form_.is_float()) {
            store(layer, kv_head, position, key, value);
            return;
        }
        const std::size_t at = ((layer * kv_heads_ + kv_head) * pinned_ + position) * head_size_;
        std::copy_n(key.data(), head_size_, pinned_keys_.data() + at);
        std::copy_n(value.data(), head_size_, pinned_values_.data() + at);
    }

    /// What store() put there, of a cache in floats.
    void copy(std::size_t layer, std::size_t kv_head, std::size_t position, std::span<float> key,
              std::span<float> value) const {
        QUELL_EXPECTS(form_.is_float(), "a cache in floats");
        const std::size_t head = layer * kv_heads_ + kv_head;
        const float* keys = keys_.data() + head * keys_of_head() + position / panel_width * key_panel_stride();
        const float* values = values_.data() + head * values_of_head() + position * panel_width;
        for (std::size_t d = 0; d < head_size_; ++d) {
            key[d] = keys[d * panel_width + position % panel_width];
            value[d] = values[d / panel_width * value_panel_stride() + d % panel_width];
        }
    }

private:
    static constexpr std::size_t largest_head = 4096;

    [[nodiscard]] static std::size_t panels_of(std::size_t n) { return (n + panel_width - 1) / panel_width; }
    [[nodiscard]] std::size_t keys_of_head() const { return panels_of(capacity_) * key_panel_stride(); }
    [[nodiscard]] std::size_t values_of_head() const { return panels_of(head_size_) * value_panel_stride(); }
    [[nodiscard]] std::size_t bytes_of(std::size_t codes) const {
        return codes * static_cast<std::size_t>(form_.bits) / 8;
    }

    [[nodiscard]] std::span<const float> pinned_of(const quell::buffer<float>& all, std::size_t head,
                                                   std::size_t position) const {
        return {all.data() + (head * pinned_ + position) * head_size_, head_size_};
    }

    void store_key(float* panels, std::size_t position, std::span<const float> key) const {
        float* to = panels + position / panel_width * key_panel_stride() + position % panel_width;
        for (std::size_t d = 0; d < head_size_; ++d) {
            to[d * panel_width] = key[d];
        }
    }

    void store_value(float* panels, std::size_t position, std::span<const float> value) const {
        float* to = panels + position * panel_width;
        for (std::size_t d = 0; d < head_size_; d += panel_width) {
            const std::size_t width = std::min(panel_width, head_size_ - d);
            std::copy_n(value.data() + d, width, to + d / panel_width * value_panel_stride());
        }
    }

    void store_codes(std::size_t head, std::size_t position, std::span<const float> key, std::span<const float> value) {
        std::array<std::uint8_t, largest_head> codes;
        const std::span<std::uint8_t> own(codes.data(), head_size_);
        key_ranges_[head * panels_of(capacity_) * panel_width + position] =
            quell::quant::quantize_head(form_, key, own);
        std::uint8_t* keys = key_codes_.data() + head * bytes_of(keys_of_head());
        for (std::size_t d = 0; d < head_size_; ++d) {
            put(keys, position / panel_width * head_size_ + d, position % panel_width, own[d]);
        }
        value_ranges_[head * capacity_ + position] = quell::quant::quantize_head(form_, value, own);
        std::uint8_t* values = value_codes_.data() + head * bytes_of(values_of_head());
        for (std::size_t d = 0; d < head_size_; ++d) {
            put(values, d / panel_width * capacity_ + position, d % panel_width, own[d]);
        }
    }

    /// Code `at` of a run of 16: a byte each, or two in a byte, the later half in the high nibbles.
    void put(std::uint8_t* codes, std::size_t run, std::size_t at, std::uint8_t code) const {
        std::uint8_t* bytes = codes + run * bytes_of(panel_width);
        if (form_.bits == 8) {
            bytes[at] = code;
            return;
        }
        const bool is_low = at < panel_width / 2;
        std::uint8_t& byte = bytes[at % (panel_width / 2)];
        const unsigned kept = byte & (is_low ? 0xf0U : 0x0fU);
        byte = static_cast<std::uint8_t>(kept | static_cast<unsigned>(code) << (is_low ? 0U : 4U));
    }

    /// One run of 16 codes into floats; the ranges are `step` apart.
    void spread(const std::uint8_t* codes, const quell::quant::head_range* ranges, std::size_t step, float* out) const {
        constexpr std::size_t half = panel_width / 2;
        for (std::size_t i = 0; i < panel_width; ++i) {
            const unsigned nibble = i < half ? codes[i % half] & 15U : unsigned{codes[i % half]} >> 4U;
            const unsigned code = form_.bits == 8 ? codes[i] : nibble;
            const quell::quant::head_range& range = ranges[i * step];
            out[i] = static_cast<float>(code) * range.scale + range.minimum;
        }
    }

    std::size_t capacity_;
    std::size_t pinned_;
    std::size_t kv_heads_;
    std::size_t head_size_;
    quell::quant::head_scheme form_;
    quell::buffer<float> keys_;
    quell::buffer<float> values_;
    quell::buffer<std::uint8_t> key_codes_;
    quell::buffer<std::uint8_t> value_codes_;
    quell::buffer<quell::quant::head_range> key_ranges_;    ///< of each token, in panels of 16
    quell::buffer<quell::quant::head_range> value_ranges_;  ///< of each token
    quell::buffer<float> pinned_keys_;                      ///< [head][pinned][head_size], beside codes
    quell::buffer<float> pinned_values_;
};

}  // namespace transformer
