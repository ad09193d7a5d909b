// SPDX-License-Identifier: MIT
/// @file
/// The scales and zeros of a panel: runs of [group][16] numbers, of which a row has one column.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/types.hpp"
#include "quell/kernels/panels.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace quell::packing {
inline namespace QUELL_BASELINE {
namespace detail {

enum class factor_type : std::uint8_t { i8 = 1, f16 = 2, f32 = 4 };  // the value is the size in bytes

/// Where a run begins in its panel, and what it holds.
struct factor_run {
    std::size_t at;
    factor_type type;

    /// Of group g and row j of the panel.
    [[nodiscard]] std::size_t offset(std::size_t g, std::size_t j) const {
        return at + (g * kernels::panel_rows + j) * static_cast<std::size_t>(type);
    }
};

[[nodiscard]] inline factor_run scales_run(const kernels::panel_shape& shape) {
    return {shape.scales_at(0), shape.scales == scale_type::f16 ? factor_type::f16 : factor_type::f32};
}

[[nodiscard]] inline factor_run zeros_run(const kernels::panel_shape& shape) {
    return {shape.zeros_at(0), shape.zeros == zero_type::integer ? factor_type::i8 : scales_run(shape).type};
}

inline void put_factor(factor_type type, float value, std::byte* to) {
    const auto store = [to](const auto& stored) { std::memcpy(to, &stored, sizeof(stored)); };
    switch (type) {
        case factor_type::i8: return store(static_cast<std::int8_t>(value));
        case factor_type::f16: return store(to_f16(value));
        case factor_type::f32: return store(value);
    }
}

[[nodiscard]] inline float get_factor(factor_type type, const std::byte* from) {
    const auto load = [from](auto stored) {
        std::memcpy(&stored, from, sizeof(stored));
        return stored;
    };
    switch (type) {
        case factor_type::i8: return load(std::int8_t{});
        case factor_type::f16: return to_f32(load(f16{}));
        case factor_type::f32: return load(0.0F);
    }
    return 0.0F;
}

/// Writes one number a group to column j of a run.
inline void put_factors(const factor_run& run, std::span<const float> values, std::byte* panel, std::size_t j) {
    for (std::size_t g = 0; g < values.size(); ++g) {
        put_factor(run.type, values[g], panel + run.offset(g, j));
    }
}

inline void get_factors(const factor_run& run, const std::byte* panel, std::size_t j, std::span<float> values) {
    for (std::size_t g = 0; g < values.size(); ++g) {
        values[g] = get_factor(run.type, panel + run.offset(g, j));
    }
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::packing
