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

/// Integer formats say how many bits a code has. Codes of 8 bits are signed; those of 4, 3, 2 and 1 bits are stored
/// unsigned: plus 2^(bits - 1) where they are symmetric, as they are where they have a zero point or are signs.
enum class panel_format : std::uint32_t { f32 = 1, w8 = 2, w4 = 3, w3 = 4, w2 = 5, w1 = 6 };

[[nodiscard]] constexpr std::size_t bits_of(panel_format format) {
    switch (format) {
        case panel_format::f32: return 32;
        case panel_format::w8: return 8;
        case panel_format::w4: return 4;
        case panel_format::w3: return 3;
        case panel_format::w2: return 2;
        case panel_format::w1: return 1;
    }
    return 0;
}

inline constexpr std::size_t panel_rows = 16;
inline constexpr std::size_t k_step = 64;     ///< integer panels and activation rows are padded with zeros to this
inline constexpr std::size_t k_chunk = 32;    ///< k whose codes of fewer than 8 bits share their bytes
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

/// A weight [n, k] cut into panels. An integer panel is four runs, one after the other: the codes, the scales
/// [group][16], the zeros [group][16] and, at 8 bits, the sums of codes [group][16]; scales of one byte have a fifth,
/// the units of the rows [16].
struct panel_shape {
    panel_format format = panel_format::f32;
    std::size_t n = 0;
    std::size_t k = 0;
    std::size_t group = 0;  ///< a multiple of 32, or 0 for one scale a row
    scale_type scales =
        scale_type::f32;                ///< f32, f16, or codes8: a signed byte b stands for (b + 128) units of its row
    zero_type zeros = zero_type::none;  ///< integer: signed bytes; real: as the scales, at 1 bit the mean

    [[nodiscard]] constexpr std::size_t panels() const { return (n + panel_rows - 1) / panel_rows; }
    [[nodiscard]] constexpr std::size_t groups() const { return groups_in(k, group); }

    /// Bytes of one scale, of one zero, and of the codes of `length` k, a multiple of 32.
    [[nodiscard]] constexpr std::size_t scale_bytes() const {
        return scales == scale_type::f16 ? 2 : scales == scale_type::codes8 ? 1 : 4;
    }
    [[nodiscard]] constexpr std::size_t zero_bytes() const {
        return zeros == zero_type::none ? 0 : zeros == zero_type::integer ? 1 : scale_bytes();
    }
    [[nodiscard]] constexpr std::size_t code_bytes(std::size_t length) const {
        return length / 8 * panel_rows * bits_of(format);
    }

    /// Offsets in a panel: of the codes of k ... k + 31, k a multiple of 32, and of what belongs to group g.
    [[nodiscard]] constexpr std::size_t codes_at(std::size_t at) const { return code_bytes(at); }
    [[nodiscard]] constexpr std::size_t scales_at(std::size_t g) const {
        return code_bytes(padded_k(k)) + g * panel_rows * scale_bytes();
    }
    [[nodiscard]] constexpr std::size_t zeros_at(std::size_t g) const {
        return scales_at(groups()) + g * panel_rows * zero_bytes();
    }
    [[nodiscard]] constexpr std::size_t sums_at(std::size_t g) const {
        return zeros_at(groups()) + g * panel_rows * sum_bytes();
    }
    [[nodiscard]] constexpr std::size_t units_at() const { return sums_at(groups()); }
    [[nodiscard]] constexpr std::size_t panel_bytes() const {
        return format == panel_format::f32 ? k * panel_rows * sizeof(float)
                                           : round_up(units_at() + panel_rows * unit_bytes(), 64);
    }
    [[nodiscard]] constexpr std::size_t bytes() const { return panels() * panel_bytes(); }

    friend constexpr bool operator==(const panel_shape&, const panel_shape&) = default;

private:
    [[nodiscard]] constexpr std::size_t sum_bytes() const {
        return format == panel_format::w8 ? sizeof(std::int32_t) : 0;
    }
    [[nodiscard]] constexpr std::size_t unit_bytes() const { return scales == scale_type::codes8 ? 2 : 0; }
};

/// The offsets of a shape, for loops: to find them takes divisions.
struct panel_offsets {
    std::size_t panel;  ///< from panel to panel
    std::size_t scales;
    std::size_t zeros;
    std::size_t sums;
    std::size_t units;
    std::size_t scale_step;  ///< from group to group
    std::size_t zero_step;

    explicit constexpr panel_offsets(const panel_shape& s)
        : panel(s.panel_bytes()),
          scales(s.scales_at(0)),
          zeros(s.zeros_at(0)),
          sums(s.sums_at(0)),
          units(s.units_at()),
          scale_step(panel_rows * s.scale_bytes()),
          zero_step(panel_rows * s.zero_bytes()) {}
};

/// Panels in somebody else's memory; `data` is 64-byte aligned and holds shape.bytes() bytes.
struct panel_view {
    panel_shape shape;
    const std::byte* data = nullptr;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
