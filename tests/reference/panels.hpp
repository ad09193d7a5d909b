// SPDX-License-Identifier: MIT
/// @file
/// The panels of a quantized weight, bit by bit, as packing/README.md draws them.
#pragma once

#include "quell/core/quantized.hpp"
#include "quell/core/types.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace reference {

class panels {
public:
    explicit panels(const quell::quantized& q) : q_(q), k_padded_((q.in_features() + 63) / 64 * 64) {
        const bool grouped = q.form.reach == quell::granularity::group;
        const bool half = grouped && q.form.scales == quell::scale_type::f16;
        groups_ = grouped ? q.scales.cols() : 1;
        steps_ = grouped && q.form.scales == quell::scale_type::codes8;
        factor_bytes_ = steps_ ? 1 : half ? 2 : 4;
        if (q.form.zeros != quell::zero_type::none) {
            zero_bytes_ = q.form.zeros == quell::zero_type::integer ? 1 : factor_bytes_;
        }
        const std::size_t sum_bytes = q.form.bits > 4 ? 4 : 0;
        units_at_ = zeros_at() + 16 * groups_ * (zero_bytes_ + sum_bytes);
        const std::size_t bytes = units_at_ + (steps_ ? 32 : 0);
        panel_bytes_ = (bytes + 63) / 64 * 64;
        const std::size_t padded_rows = (q.out_features() + 15) / 16 * 16;
        bytes_.resize(padded_rows / 16 * panel_bytes_);
        for (std::size_t row = 0; row < padded_rows; ++row) {
            put_codes(row);
            put_factors(row);
        }
    }

    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

private:
    [[nodiscard]] std::size_t scales_at() const { return k_padded_ * 2 * field_bits(); }
    [[nodiscard]] std::size_t zeros_at() const { return scales_at() + 16 * groups_ * factor_bytes_; }
    [[nodiscard]] std::size_t bits() const { return static_cast<std::size_t>(q_.form.bits); }
    [[nodiscard]] std::size_t field_bits() const { return bits() > 4 ? 8 : bits(); }
    [[nodiscard]] std::byte* panel(std::size_t row) { return bytes_.data() + row / 16 * panel_bytes_; }

    /// `count` bits of a field into the run of `count` bits that begins at `run`.
    static void put_field(std::byte* run, std::size_t count, std::size_t k, std::size_t j, unsigned field) {
        const std::size_t quad = k % 32 / 4;  // = r + count * f
        std::byte& byte = run[64 * (quad % count) + 4 * j + k % 4];
        byte |= static_cast<std::byte>((field & ((1U << count) - 1U)) << (count * (quad / count)));
    }

    void put_codes(std::size_t row) {
        const bool raised = q_.form.codes == quell::code_set::symmetric && bits() <= 4;
        for (std::size_t k = 0; k < k_padded_; ++k) {
            const int code = row < q_.out_features() && k < q_.in_features() ? q_.codes(row, k) : 0;
            const auto field = static_cast<unsigned>(code + (raised ? 1 << (bits() - 1) : 0));
            std::byte* chunk = panel(row) + k / 32 * 64 * field_bits();
            if (bits() == 3) {
                put_field(chunk, 2, k, row % 16, field);
                put_field(chunk + 128, 1, k, row % 16, field >> 2U);
            } else {
                put_field(chunk, field_bits(), k, row % 16, field);
            }
        }
    }

    void put_factors(std::size_t row) {
        const std::size_t length = q_.form.reach == quell::granularity::group ? q_.form.group : q_.in_features();
        const float unit = steps_ && row < q_.out_features() && groups_ > 0 ? unit_of(row) : 1.0F;
        for (std::size_t g = 0; row < q_.out_features() && g < q_.scales.cols(); ++g) {
            const std::size_t at = 16 * g + row % 16;
            put_number(panel(row) + scales_at() + at * factor_bytes_, factor_bytes_,
                       steps_ ? q_.scales(row, g) / unit - 128.0F : q_.scales(row, g));
            if (zero_bytes_ != 0) {
                put_number(panel(row) + zeros_at() + at * zero_bytes_, zero_bytes_, stored_zero(q_.zeros(row, g)));
            }
            if (field_bits() == 8) {
                std::int32_t sum = 0;
                for (std::size_t k = g * length; k < (g + 1) * length && k < q_.in_features(); ++k) {
                    sum += q_.codes(row, k);
                }
                std::memcpy(panel(row) + zeros_at() + 16 * groups_ * zero_bytes_ + at * 4, &sum, 4);
            }
        }
    }

    /// The power of two of which the largest scale of the row is 128 to 255; leaves it behind all runs.
    float unit_of(std::size_t row) {
        float largest = 0.0F;
        for (const float scale : q_.scales.row(row)) {
            largest = largest < scale ? scale : largest;
        }
        float unit = 1.0F;
        for (; largest / unit >= 256.0F; unit *= 2.0F) {
        }
        for (; largest / unit < 128.0F; unit /= 2.0F) {
        }
        put_number(panel(row) + units_at_ + row % 16 * 2, 2, unit);
        return unit;
    }

    [[nodiscard]] float stored_zero(float zero) const {
        const bool counts = steps_ && q_.form.zeros == quell::zero_type::real && bits() <= 4;
        return counts ? zero * 256.0F / static_cast<float>(1U << bits()) - 128.0F : zero;
    }

    static void put_number(std::byte* to, std::size_t bytes, float value) {
        if (bytes == 4) {
            std::memcpy(to, &value, 4);
        } else if (bytes == 2) {
            const quell::f16 half = quell::to_f16(value);
            std::memcpy(to, &half, 2);
        } else {
            *to = static_cast<std::byte>(static_cast<std::int8_t>(value));
        }
    }

    const quell::quantized& q_;
    std::size_t k_padded_;
    std::size_t groups_ = 0;
    std::size_t factor_bytes_ = 0;
    std::size_t zero_bytes_ = 0;
    bool steps_ = false;  ///< scales are 8-bit codes
    std::size_t units_at_ = 0;
    std::size_t panel_bytes_ = 0;
    std::vector<std::byte> bytes_;
};

}  // namespace reference
