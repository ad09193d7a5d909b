// SPDX-License-Identifier: MIT
/// @file
/// The search for the part of its range that a group should span: a smaller range cuts the largest weights off and
/// rounds all others more finely.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/rounding/nearest.hpp"
#include "quell/rounding/scale.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

enum class error_norm : std::uint8_t {
    power_2_4,  ///< sum |v - v^|^2.4
    squares,    ///< sum (v - v^)^2
};

/// Ratios 1 - i / grid for i = 0 ... candidates - 1 are tried. With importance per column the norm is its weighted
/// sum of squares, whatever `norm` says.
struct clip_search {
    error_norm norm = error_norm::power_2_4;
    int grid = 100;
    int candidates = 80;
};

/// The full range, always: plain absmax scales.
inline constexpr clip_search no_clip_search{.candidates = 1};

/// Room for the longest group, so that a search allocates nothing.
struct clip_workspace {
    buffer<float> values;
    buffer<float> importance;

    explicit clip_workspace(std::size_t longest)
        : values(detail::padded(longest)), importance(detail::padded(longest)) {}
};

namespace detail {

inline std::span<float> load_padded(std::span<const float> source, buffer<float>& room) {
    const std::size_t n = padded(source.size());
    std::copy(source.begin(), source.end(), room.begin());
    std::fill(room.begin() + source.size(), room.begin() + n, 0.0F);
    return std::span<float>(room).first(n);
}

/// Zero is part of the range. One minimum and maximum for each place in a block, so that they vectorize.
[[nodiscard]] inline value_range range_of(std::span<const float> padded_values) {
    float low[block] = {};
    float high[block] = {};
    for (std::size_t begin = 0; begin < padded_values.size(); begin += block) {
        const float* values = padded_values.data() + begin;
        for (std::size_t i = 0; i < block; ++i) {
            low[i] = at_most(low[i], values[i]);
            high[i] = at_least(high[i], values[i]);
        }
    }
    return {*std::min_element(low, low + block), *std::max_element(high, high + block)};
}

/// The most that a trial cuts off a value, and where in the run that value stands.
struct cut {
    float distance;
    std::size_t place;
};

/// The extremes of a run, in the unit of its values.
struct extremes {
    value_range range;
    std::size_t low_place;
    std::size_t high_place;

    explicit extremes(std::span<const float> values)
        : range(range_of(values)), low_place(place_of(values, range.low)), high_place(place_of(values, range.high)) {}

    [[nodiscard]] cut cut_by(const trial& t) const {
        const float above = range.high / t.scale - t.steps.high;
        const float below = t.steps.low - range.low / t.scale;
        return above > below ? cut{at_least(above, 0.0F) * t.scale, high_place}
                             : cut{at_least(below, 0.0F) * t.scale, low_place};
    }

private:
    static std::size_t place_of(std::span<const float> values, float v) {
        const auto place = static_cast<std::size_t>(std::find(values.begin(), values.end(), v) - values.begin());
        return place < values.size() ? place : 0;
    }
};

/// `values` are in units of the scale of the whole range. Gives up as soon as cutting the largest value alone, which
/// only grows as the range shrinks, costs as much as the best range costs in all.
template <typename Cost>
[[nodiscard]] affine search_clip(const clip_search& search, const scheme& form, value_range range,
                                 std::span<const float> values, const Cost& cost) {
    const extremes limits(values);
    const affine widest = fit_range(form, range);
    affine best = widest;
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < search.candidates; ++i) {
        const affine a = fit_range(form, range, static_cast<double>(search.grid - i) / search.grid);
        const trial t{a.scale / widest.scale, steps_of(form, a)};
        const cut worst = limits.cut_by(t);
        if (static_cast<double>(cost(worst.distance, worst.place)) >= least) {
            break;
        }
        const double sum = rounding_cost(values.data(), values.size(), t, cost, least);
        if (sum < least) {
            least = sum;
            best = a;
        }
    }
    return best;
}

}  // namespace detail

/// Scale and zero of the range that loses least; between equals the largest range.
///
/// Shapes   values [n], one group; importance empty or [n], each in 0 ... 1.
/// Requires n within the room of the workspace; search.candidates < search.grid.
/// Source   The clip search of GPTQ and QuaRot, arXiv 2210.17323 and 2404.00456 (norm 2.4, grid 100, down to 0.21).
/// Oracle   reference::find_clip (tests/reference/rtn.hpp): the norm in double, for every candidate; the chosen range
///          costs at most a relative 3e-4 more than the best.
[[nodiscard]] inline affine find_clip(const clip_search& search, const scheme& form, std::span<const float> values,
                                      std::span<const float> importance, clip_workspace& room) {
    QUELL_EXPECTS(detail::padded(values.size()) <= room.values.size(), "a group that fits the workspace");
    QUELL_EXPECTS(search.candidates < search.grid, "clip ratios stay above zero");
    const std::span<float> run = detail::load_padded(values, room.values);
    const value_range range = detail::range_of(run);
    const affine widest = fit_range(form, range);
    if (search.candidates <= 1) {
        return widest;
    }
    for (float& v : run) {
        v /= widest.scale;
    }
    if (!importance.empty()) {
        const std::span<const float> weights = detail::load_padded(importance, room.importance);
        return detail::search_clip(search, form, range, run, detail::weighted_square_cost{weights.data()});
    }
    return search.norm == error_norm::squares ? detail::search_clip(search, form, range, run, detail::square_cost{})
                                              : detail::search_clip(search, form, range, run, detail::power_cost{});
}

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
