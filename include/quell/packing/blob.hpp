// SPDX-License-Identifier: MIT
/// @file
/// The 64 bytes in front of packed panels, and their checksum. A blob holds no pointers and is little-endian, so it can
/// be written to a file as it is and used straight from a mapping; README.md draws it byte by byte.
#pragma once

#include "quell/packing/layout.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace quell::packing {
inline namespace QUELL_BASELINE {

static_assert(std::endian::native == std::endian::little, "packed blobs are little-endian");

inline constexpr std::uint32_t blob_version = 2;

/// As the bytes lie in the blob.
struct blob_header {
    std::array<char, 8> magic = {'q', 'u', 'e', 'l', 'l', 'p', 'k', '\n'};
    std::uint32_t version = blob_version;
    std::uint32_t layout = 0;  ///< kernels::panel_format
    std::uint64_t out_features = 0;
    std::uint64_t in_features = 0;
    std::uint8_t bits = 0;
    code_set codes = code_set::symmetric;
    granularity reach = granularity::tensor;
    scale_type scales = scale_type::f32;
    zero_type zeros = zero_type::none;
    std::array<std::uint8_t, 3> reserved = {};
    std::uint64_t group = 0;
    std::uint64_t panel_bytes = 0;  ///< of all panels
    std::uint64_t checksum = 0;     ///< of the 56 bytes before it and of the checksums of the panels

    [[nodiscard]] scheme form() const {
        return {.bits = bits, .codes = codes, .reach = reach, .group = group, .scales = scales, .zeros = zeros};
    }
};
static_assert(sizeof(blob_header) == header_bytes);

/// Eight 64-bit hashes, one for each word of a 64-byte line, folded into one. A change of any single word changes it.
class checksum {
public:
    void add(std::span<const std::byte> bytes) {
        constexpr std::make_index_sequence<8> all;
        words state = state_;
        for (; bytes.size() >= sizeof(state); bytes = bytes.subspan(sizeof(state))) {
            add_line(state, bytes.data(), all);
        }
        if (!bytes.empty()) {
            words line = {};
            std::memcpy(line.data(), bytes.data(), bytes.size());
            add_line(state, reinterpret_cast<const std::byte*>(line.data()), all);
        }
        state_ = state;
    }
    [[nodiscard]] std::uint64_t value() const {
        std::uint64_t folded = 0;
        for (const std::uint64_t s : state_) {
            folded = step(folded, s);
        }
        return folded ^ folded >> 32U;
    }

private:
    using words = std::array<std::uint64_t, 8>;

    /// Without a loop, so that the state stays in registers.
    template <std::size_t... I>
    QUELL_ALWAYS_INLINE static void add_line(words& state, const std::byte* line, std::index_sequence<I...>) {
        const auto word = [line](std::size_t i) {
            std::uint64_t w = 0;
            std::memcpy(&w, line + i * sizeof(w), sizeof(w));
            return w;
        };
        ((state[I] = step(state[I], word(I))), ...);
    }
    static constexpr std::uint64_t step(std::uint64_t state, std::uint64_t word) {
        return std::rotl(state ^ word, 29) * 0x9e3779b97f4a7c15U;
    }

    words state_ = {1, 2, 3, 4, 5, 6, 7, 8};
};

/// The checksum of what stands behind the header in one part, such as a panel.
[[nodiscard]] inline std::uint64_t part_sum(std::span<const std::byte> part) {
    checksum sum;
    sum.add(part);
    return sum.value();
}

/// The checksum that belongs into the header of a blob whose parts have these.
[[nodiscard]] inline std::uint64_t checksum_of(std::span<const std::byte> blob, std::span<const std::uint64_t> parts) {
    checksum sum;
    sum.add(blob.first(offsetof(blob_header, checksum)));
    sum.add(std::as_bytes(parts));
    return sum.value();
}

/// The same for parts of so many bytes each.
/// Requires a whole number of parts.
[[nodiscard]] inline std::uint64_t checksum_of(std::span<const std::byte> blob, std::size_t part) {
    const std::span<const std::byte> body = blob.subspan(header_bytes);
    std::vector<std::uint64_t> parts;
    for (std::size_t at = 0; at < body.size(); at += part) {
        parts.push_back(part_sum(body.subspan(at, part)));
    }
    return checksum_of(blob, parts);
}

/// A header that says all but how the codes are laid out and how long they are.
[[nodiscard]] inline blob_header header_of(const scheme& form, std::size_t out_features, std::size_t in_features) {
    blob_header h;
    h.out_features = out_features;
    h.in_features = in_features;
    h.bits = static_cast<std::uint8_t>(form.bits);
    h.codes = form.codes;
    h.reach = form.reach;
    h.scales = form.scales;
    h.zeros = form.zeros;
    h.group = form.group;
    return h;
}

/// Puts the header in front of what stands behind it, with the length of that and the checksum of its parts.
inline void seal(blob_header h, std::span<std::byte> blob, std::span<const std::uint64_t> parts) {
    h.panel_bytes = blob.size() - header_bytes;
    std::memcpy(blob.data(), &h, sizeof(h));
    h.checksum = checksum_of(blob, parts);
    std::memcpy(blob.data(), &h, sizeof(h));
}

/// Reads a header and checks all of it that needs no panels; returns the shape of the panels that must follow.
/// Errors   errc::bad_format or errc::unsupported, with the number that is wrong.
[[nodiscard]] inline result<kernels::panel_shape> check_header(const blob_header& h) {
    const blob_header good;
    if (h.magic != good.magic) {
        return error{errc::bad_format, "not a packed weight: the magic number is missing"};
    }
    if (h.version != good.version) {
        return error{errc::unsupported, "packed weight of version " + std::to_string(h.version) +
                                            "; this build reads " + std::to_string(good.version)};
    }
    if (h.codes > code_set::sign_mean || h.reach > granularity::group || h.scales > scale_type::codes8 ||
        h.zeros > zero_type::real || h.reserved != good.reserved) {
        return error{errc::bad_format, "packed weight with an unknown scheme"};
    }
    QUELL_TRY(const kernels::panel_shape shape, panel_shape_of(h.form(), h.out_features, h.in_features));
    if (h.layout != static_cast<std::uint32_t>(shape.format)) {
        return error{errc::bad_format, "packed weight with layout " + std::to_string(h.layout) + " for " +
                                           std::to_string(h.bits) + "-bit codes"};
    }
    if (h.panel_bytes != shape.bytes()) {
        return error{errc::bad_format, "packed weight of " + std::to_string(h.panel_bytes) + " bytes; " +
                                           std::to_string(h.out_features) + " x " + std::to_string(h.in_features) +
                                           " needs " + std::to_string(shape.bytes())};
    }
    return shape;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::packing
