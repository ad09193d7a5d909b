// SPDX-License-Identifier: MIT
/// @file
/// The scales and zeros of a panel: runs of [group][16] numbers, of which a row has one column. Where they are bytes,
/// the scales count units of their row, which stand behind everything else.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/two_level.hpp"
#include "quell/core/types.hpp"
#include "quell/kernels/panels.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace quell::packing {
inline namespace QUELL_BASELINE {
namespace detail {

enum class factor_type : std::uint8_t { i8, f16, f32, scale_steps, zero_steps };

[[nodiscard]] constexpr std::size_t bytes_of(factor_type type) {
    return type == factor_type::f32 ? 4 : type == factor_type::f16 ? 2 : 1;
}

/// Where a run begins in its panel, and what it holds.
struct factor_run {
    std::size_t at;
    factor_type type;
    std::size_t units_at = 0;  ///< of scale_steps
    int bits = 0;              ///< of the codes that zero_steps belong to

    /// Of group g and row j of the panel.
    [[nodiscard]] std::size_t offset(std::size_t g, std::size_t j) const {
        return at + (g * kernels::panel_rows + j) * bytes_of(type);
    }
};

[[nodiscard]] inline factor_run scales_run(const kernels::panel_shape& shape) {
    const factor_type type = shape.scales == scale_type::f16      ? factor_type::f16
                             : shape.scales == scale_type::codes8 ? factor_type::scale_steps
                                                                  : factor_type::f32;
    return {.at = shape.scales_at(0), .type = type, .units_at = shape.units_at()};
}

[[nodiscard]] inline factor_run zeros_run(const kernels::panel_shape& shape) {
    const factor_type scale = scales_run(shape).type;
    const factor_type type = shape.zeros == zero_type::integer   ? factor_type::i8
                             : scale == factor_type::scale_steps ? factor_type::zero_steps
                                                                 : scale;
    return {.at = shape.zeros_at(0), .type = type, .bits = static_cast<int>(kernels::bits_of(shape.format))};
}

template <typename T>
[[nodiscard]] T load_as(const std::byte* from) {
    T value{};
    std::memcpy(&value, from, sizeof(value));
    return value;
}

/// The unit of row j, of a run of scale_steps.
[[nodiscard]] inline float get_unit(const factor_run& run, const std::byte* panel, std::size_t j) {
    return to_f32(load_as<f16>(panel + run.units_at + j * sizeof(f16)));
}

[[nodiscard]] inline float get_factor(const factor_run& run, const std::byte* panel, std::size_t g, std::size_t j) {
    const std::byte* from = panel + run.offset(g, j);
    switch (run.type) {
        case factor_type::i8: return load_as<std::int8_t>(from);
        case factor_type::f16: return to_f32(load_as<f16>(from));
        case factor_type::f32: return load_as<float>(from);
        case factor_type::scale_steps:
            return static_cast<float>(load_as<std::int8_t>(from) + 128) * get_unit(run, panel, j);
        case factor_type::zero_steps: return zero_steps_of(run.bits).value(load_as<std::int8_t>(from) + 128);
    }
    return 0.0F;
}

/// Writes stored(value) for each group to column j of a run.
template <typename Stored>
void put_each(const factor_run& run, std::span<const float> values, std::byte* panel, std::size_t j,
              const Stored& stored) {
    const std::size_t step = run.offset(1, j) - run.offset(0, j);
    std::byte* to = panel + run.offset(0, j);
    for (const float value : values) {
        const auto factor = stored(value);
        std::memcpy(to, &factor, sizeof(factor));
        to += step;
    }
}

/// Writes one number a group to column j of a run, and the unit of scales that are counted in units.
inline void put_factors(const factor_run& run, std::span<const float> values, std::byte* panel, std::size_t j) {
    const auto put = [&](const auto& stored) { put_each(run, values, panel, j, stored); };
    switch (run.type) {
        case factor_type::i8: return put([](float value) { return static_cast<std::int8_t>(value); });
        case factor_type::f16: return put([](float value) { return to_f16(value); });
        case factor_type::f32: return put([](float value) { return value; });
        case factor_type::scale_steps: {
            const f16 unit =
                to_f16(values.empty() ? 0.0F : scale_unit(*std::max_element(values.begin(), values.end())));
            std::memcpy(panel + run.units_at + j * sizeof(unit), &unit, sizeof(unit));
            return put([unit = to_f32(unit)](float value) { return static_cast<std::int8_t>(value / unit - 128.0F); });
        }
        case factor_type::zero_steps:
            return put([steps = zero_steps_of(run.bits)](float value) {
                return static_cast<std::int8_t>(steps.nearest(value) - 128);
            });
    }
}

inline void get_factors(const factor_run& run, const std::byte* panel, std::size_t j, std::span<float> values) {
    for (std::size_t g = 0; g < values.size(); ++g) {
        values[g] = get_factor(run, panel, g, j);
    }
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::packing
