// SPDX-License-Identifier: MIT
/// @file
/// Symmetric weights of 5, 6 and 7 bits as a file keeps them: a header, the codes row by row without a gap between
/// them, the scales. In memory each of their codes takes a byte, so that the kernels for 8 bits run them.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/types.hpp"
#include "quell/packing/blob.hpp"
#include "quell/packing/factors.hpp"
#include "quell/packing/layout.hpp"
#include "quell/packing/pack.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/packing/unpack.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace quell::packing {
inline namespace QUELL_BASELINE {

/// Whether a file keeps such weights without the padding of their panels.
[[nodiscard]] constexpr bool is_compact(const scheme& form) {
    return form.bits > 4 && form.bits < 8 && form.codes == code_set::symmetric &&
           (form.reach == granularity::channel || form.reach == granularity::group);
}

namespace detail {

inline constexpr std::array<char, 8> compact_magic = {'q', 'u', 'e', 'l', 'l', 'c', 'p', '\n'};

/// Codes that are kept as `bits` bits each, counted from the smallest one; the first in the lowest bits of the first
/// byte.
[[nodiscard]] inline std::size_t code_bytes(const scheme& form, std::size_t codes) {
    return (codes * static_cast<std::size_t>(form.bits) + 7) / 8;
}

inline void put_codes(std::span<const std::int8_t> codes, const scheme& form, std::byte* to) {
    const int low = codes_of(form).low;
    unsigned held = 0;
    int bits = 0;
    for (const std::int8_t code : codes) {
        held |= static_cast<unsigned>(code - low) << bits;
        for (bits += form.bits; bits >= 8; bits -= 8, held >>= 8U) {
            *to++ = static_cast<std::byte>(held & 255U);
        }
    }
    if (bits > 0) {
        *to = static_cast<std::byte>(held & 255U);
    }
}

inline void get_codes(const std::byte* from, const scheme& form, std::span<std::int8_t> codes) {
    const int low = codes_of(form).low;
    const unsigned mask = (1U << form.bits) - 1U;
    unsigned held = 0;
    int bits = 0;
    for (std::int8_t& code : codes) {
        for (; bits < form.bits; bits += 8) {
            held |= std::to_integer<unsigned>(*from++) << bits;
        }
        code = static_cast<std::int8_t>(static_cast<int>(held & mask) + low);
        held >>= static_cast<unsigned>(form.bits);
        bits -= form.bits;
    }
}

[[nodiscard]] inline factor_run compact_scales(const scheme& form, std::size_t codes) {
    return {.at = code_bytes(form, codes),
            .type = form.scales == scale_type::f16 ? factor_type::f16 : factor_type::f32};
}

/// What stands behind the header is one part.
[[nodiscard]] inline std::array<std::uint64_t, 1> compact_sums(std::span<const std::byte> bytes) {
    return {part_sum(bytes.subspan(header_bytes))};
}

}  // namespace detail

/// Bytes of compact(); without the header those of stored_bytes(), but that scales in bf16 take four bytes.
[[nodiscard]] inline std::size_t compact_bytes(const scheme& form, std::size_t out_features, std::size_t in_features) {
    const std::size_t codes = out_features * in_features;
    const detail::factor_run scales = detail::compact_scales(form, codes);
    return header_bytes + scales.at + out_features * groups_per_row(form, in_features) * bytes_of(scales.type);
}

/// Requires is_compact(packed.form()).
/// Errors   those of unpack().
[[nodiscard]] inline result<buffer<std::byte>> compact(const packed_matrix& packed) {
    QUELL_EXPECTS(is_compact(packed.form()), "a form that files keep compact");
    QUELL_TRY(const quantized q, unpack(packed));
    buffer<std::byte> bytes(compact_bytes(q.form, q.out_features(), q.in_features()));
    std::byte* body = bytes.data() + header_bytes;
    detail::put_codes(q.codes.elements(), q.form, body);
    const detail::factor_run scales = detail::compact_scales(q.form, q.codes.elements().size());
    for (std::size_t i = 0; i < q.scales.elements().size(); ++i) {
        detail::put_factors(scales, q.scales.elements().subspan(i, 1), body, i);
    }
    blob_header h = header_of(q.form, q.out_features(), q.in_features());
    h.magic = detail::compact_magic;
    seal(h, bytes, detail::compact_sums(bytes));
    return bytes;
}

/// The weight behind what compact() made, in panels of its own. The bytes may be damaged or hostile.
///
/// Errors   errc::bad_format, errc::unsupported, saying what is wrong with the header, the size or the checksum; those
///          of pack().
[[nodiscard]] inline result<packed_matrix> expand(std::span<const std::byte> bytes, const executor& threads = {}) {
    blob_header h;
    if (bytes.size() < header_bytes) {
        return error{errc::bad_format, "compact weight of " + std::to_string(bytes.size()) + " bytes has no header"};
    }
    std::memcpy(&h, bytes.data(), sizeof(h));
    if (h.magic != detail::compact_magic || h.version != blob_version || h.codes > code_set::sign_mean ||
        h.reach > granularity::group || h.scales > scale_type::bf16 || h.zeros != zero_type::none) {
        return error{errc::bad_format, "not a compact weight that this build reads"};
    }
    const scheme form = h.form();
    QUELL_TRY_VOID(panel_shape_of(form, h.out_features, h.in_features));
    if (!is_compact(form) || bytes.size() != compact_bytes(form, h.out_features, h.in_features)) {
        return error{errc::bad_format, "compact weight of " + std::to_string(bytes.size()) + " bytes for " +
                                           std::to_string(h.out_features) + " x " + std::to_string(h.in_features) +
                                           " codes of " + std::to_string(form.bits) + " bits"};
    }
    if (h.checksum != checksum_of(bytes, detail::compact_sums(bytes))) {
        return error{errc::bad_format, "compact weight is damaged: its checksum does not match"};
    }
    quantized q = make_quantized(form, h.out_features, h.in_features);
    const std::byte* body = bytes.data() + header_bytes;
    detail::get_codes(body, form, q.codes.elements());
    const detail::factor_run scales = detail::compact_scales(form, q.codes.elements().size());
    for (std::size_t i = 0; i < q.scales.elements().size(); ++i) {
        q.scales.elements()[i] = detail::get_factor(scales, body, 0, i);
    }
    return pack(q, threads);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::packing
