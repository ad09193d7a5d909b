// SPDX-License-Identifier: MIT
/// @file
/// Where every byte of a packed weight lies. A panel holds 16 weight rows, so that a vector lane is an output column
/// and no kernel needs a horizontal sum. Integer panels are "x16k4": 64 bytes carry four consecutive k of the 16 rows.
/// The picture is in packing/README.md.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"

#include <cstddef>
#include <cstdint>

namespace quell::kernels {
inline namespace QUELL_BASELINE {

enum class panel_format : std::uint32_t {
    f32 = 1,  ///< floats, [k][16]
    w8 = 2,   ///< signed bytes, one f32 scale a row
    w4 = 3,   ///< unsigned nibbles (code + 8), a scale a group or a row
};

inline constexpr std::size_t panel_rows = 16;
inline constexpr std::size_t k_step = 64;     ///< integer panels and activation rows are padded with zeros to this
inline constexpr std::size_t k_chunk = 32;    ///< k that one 256-byte run of nibbles covers
inline constexpr std::size_t max_k = 131072;  ///< the sum of max_k products 127 * 127 fits an int32

[[nodiscard]] constexpr std::size_t round_up(std::size_t value, std::size_t step) {
    return (value + step - 1) / step * step;
}

[[nodiscard]] constexpr std::size_t padded_k(std::size_t k) {
    return round_up(k, k_step);
}

/// Scales in a row of `k` weights; `group` 0 means the whole row.
[[nodiscard]] constexpr std::size_t groups_in(std::size_t k, std::size_t group) {
    return group == 0 ? 1 : (k + group - 1) / group;
}

/// A weight [n, k] cut into panels. `group` and `scales` matter to w4 only: 32, 64, 128 or 0 for one scale a row.
struct panel_shape {
    panel_format format = panel_format::f32;
    std::size_t n = 0;
    std::size_t k = 0;
    std::size_t group = 0;
    scale_type scales = scale_type::f32;  ///< how groups store theirs: f32 or f16; whole rows always use f32

    [[nodiscard]] constexpr std::size_t panels() const { return (n + panel_rows - 1) / panel_rows; }
    [[nodiscard]] constexpr std::size_t groups() const { return groups_in(k, group); }

    /// Bytes of scales in front of each block of codes.
    [[nodiscard]] constexpr std::size_t block_head() const {
        return group == 0 ? 0 : group == k_chunk && scales == scale_type::f32 ? 128 : 64;
    }
    /// k that one block covers; the last block of a row may be shorter.
    [[nodiscard]] constexpr std::size_t block_k() const { return group < k_step ? k_step : group; }
    [[nodiscard]] constexpr std::size_t block_bytes() const { return block_head() + block_k() * panel_rows / 2; }

    [[nodiscard]] constexpr std::size_t panel_bytes() const {
        switch (format) {
            case panel_format::f32: return k * panel_rows * sizeof(float);
            case panel_format::w8: return padded_k(k) * panel_rows + w8_foot;
            case panel_format::w4: break;
        }
        const std::size_t codes = padded_k(k) * panel_rows / 2;
        return group == 0 ? codes + w4_foot : codes + (k + block_k() - 1) / block_k() * block_head();
    }
    [[nodiscard]] constexpr std::size_t bytes() const { return panels() * panel_bytes(); }

    /// Offset in a w4 panel of the 256 bytes of codes that hold k ... k + 31; k is a multiple of 32.
    [[nodiscard]] constexpr std::size_t w4_codes_at(std::size_t at) const {
        const std::size_t codes = at * panel_rows / 2;
        return group == 0 ? codes : codes + (at / block_k() + 1) * block_head();
    }
    /// Offset in a w4 panel of the 16 scales of group g.
    [[nodiscard]] constexpr std::size_t w4_scales_at(std::size_t g) const {
        if (group == 0) {
            return padded_k(k) * panel_rows / 2;
        }
        return group == k_chunk ? g / 2 * block_bytes() + g % 2 * (block_head() / 2) : g * block_bytes();
    }
    /// Offsets in a w8 panel of the 16 scales (f32) and of the 16 sums of codes (int32).
    [[nodiscard]] constexpr std::size_t w8_scales_at() const { return padded_k(k) * panel_rows; }
    [[nodiscard]] constexpr std::size_t w8_sums_at() const { return w8_scales_at() + panel_rows * sizeof(float); }

    friend constexpr bool operator==(const panel_shape&, const panel_shape&) = default;

private:
    static constexpr std::size_t w8_foot = panel_rows * (sizeof(float) + sizeof(std::int32_t));
    static constexpr std::size_t w4_foot = panel_rows * sizeof(float);
};

/// Panels in somebody else's memory; `data` is 64-byte aligned and holds shape.bytes() bytes.
struct panel_view {
    panel_shape shape;
    const std::byte* data = nullptr;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
