// SPDX-License-Identifier: MIT
/// @file
/// `packed_matrix`: a weight in the form the kernels read, as one blob (header and panels) that it owns or borrows.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/packing/blob.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

namespace quell::packing {
inline namespace QUELL_BASELINE {

class packed_matrix {
public:
    [[nodiscard]] kernels::panel_view panels() const { return {shape_, blob_.data() + header_bytes}; }
    [[nodiscard]] scheme form() const { return form_; }
    [[nodiscard]] std::size_t out_features() const { return shape_.n; }
    [[nodiscard]] std::size_t in_features() const { return shape_.k; }
    [[nodiscard]] std::span<const std::byte> blob() const { return blob_; }

private:
    friend class blob_builder;
    friend result<packed_matrix> view_blob(std::span<const std::byte> blob);

    packed_matrix(const scheme& form, const kernels::panel_shape& shape, std::span<const std::byte> blob)
        : form_(form), shape_(shape), blob_(blob) {}

    scheme form_;
    kernels::panel_shape shape_;
    buffer<std::byte> owned_;
    std::span<const std::byte> blob_;
};

/// A blob in the making: the packer fills panels(), finish() seals it with the checksum.
class blob_builder {
public:
    blob_builder(const scheme& form, const kernels::panel_shape& shape)
        : form_(form),
          shape_(shape),
          blob_(header_bytes + shape.bytes()),
          sums_(shape.panel_bytes() == 0 ? 0 : shape.panels()) {}

    [[nodiscard]] std::byte* panel(std::size_t p) { return blob_.data() + header_bytes + p * shape_.panel_bytes(); }

    /// Takes the checksum of a panel that is filled, while it stands in a cache.
    void close(std::size_t p) {
        if (!sums_.empty()) {
            sums_[p] = part_sum({panel(p), shape_.panel_bytes()});
        }
    }

    [[nodiscard]] packed_matrix finish() && {
        blob_header h = header_of(form_, shape_.n, shape_.k);
        h.layout = static_cast<std::uint32_t>(shape_.format);
        seal(h, blob_, sums_);
        packed_matrix packed(form_, shape_, blob_);
        packed.owned_ = std::move(blob_);
        return packed;
    }

private:
    scheme form_;
    kernels::panel_shape shape_;
    buffer<std::byte> blob_;
    buffer<std::uint64_t> sums_;  ///< of the panels
};

/// A packed weight straight from somebody else's memory, such as a mapped file, which must outlive it.
/// Requires nothing of the bytes: they may be damaged or hostile.
/// Errors   errc::bad_shape for a misaligned blob; errc::bad_format, errc::unsupported from its header, its size or its
///          checksum.
/// Cost     reads the blob once.
[[nodiscard]] inline result<packed_matrix> view_blob(std::span<const std::byte> blob) {
    if (blob.size() < header_bytes) {
        return error{errc::bad_format, "packed weight of " + std::to_string(blob.size()) + " bytes has no header"};
    }
    if (reinterpret_cast<std::uintptr_t>(blob.data()) % 64 != 0) {
        return error{errc::bad_shape, "packed weight does not start at a multiple of 64 bytes"};
    }
    blob_header h;
    std::memcpy(&h, blob.data(), sizeof(h));
    QUELL_TRY(const kernels::panel_shape shape, check_header(h));
    if (blob.size() - header_bytes != h.panel_bytes) {
        return error{errc::bad_format, "packed weight of " + std::to_string(blob.size()) + " bytes; its header says " +
                                           std::to_string(header_bytes + h.panel_bytes)};
    }
    if (h.checksum != checksum_of(blob, shape.panel_bytes())) {
        return error{errc::bad_format, "packed weight is damaged: its checksum does not match"};
    }
    return packed_matrix(h.form(), shape, blob);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::packing
