// SPDX-License-Identifier: MIT
/// @file
/// The calibration driver: one pass of the engine over its calibration data feeds the collectors of all inputs that
/// need any, and keeps a few rows of each where outputs will be compared.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/model/engine.hpp"
#include "quell/model/row_sample.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/stats/absmax.hpp"
#include "quell/stats/gram.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// What calibration leaves behind for one input. Selected collectors, a sample that wants rows and a Gram
/// matrix are fed; who wants that selects absmax as well, by which what is not finite is found.
struct input_record {
    quant::any_stats stats;
    row_sample sample;
    std::optional<stats::gram> gram = {};
    bool wanted = false;
};

namespace detail {

/// An input of the graph, or behind them that of the head.
[[nodiscard]] inline input_point point_of(const graph& g, std::size_t input) {
    return input < g.inputs.size() ? g.inputs[input]
                                   : input_point{.name = g.stream.head + "_in", .features = g.stream.width};
}

[[nodiscard]] inline result<void> check_width(const input_point& point, matrix_view<const float> x) {
    if (x.cols() != point.features) {
        return error{errc::bad_shape, point.name + ": calibration rows of " + std::to_string(x.cols()) +
                                          " values, the input carries " + std::to_string(point.features)};
    }
    return {};
}

/// `seen` may be null where nobody collected maxima.
[[nodiscard]] inline result<void> check_seen(const input_point& point, std::uint64_t rows, const stats::absmax* seen) {
    if (rows == 0) {
        return error{errc::not_found, point.name + ": the calibration showed no rows of it"};
    }
    for (std::size_t c = 0; seen != nullptr && c < seen->per_channel().size(); ++c) {
        if (!std::isfinite(seen->per_channel()[c])) {
            return error{errc::bad_value,
                         point.name + ": activations of channel " + std::to_string(c) + " are not all finite numbers"};
        }
    }
    return {};
}

}  // namespace detail

/// Shapes   records: one an input of the graph, and perhaps one behind them for the input of the head.
/// Errors   errc::not_found where the engine cannot calibrate, or shows no rows of a wanted input; errc::bad_shape for
///          rows of another width; errc::bad_value for NaN or infinity in what the collectors saw; the engine's own.
[[nodiscard]] inline result<void> calibrate(const engine& source, std::span<input_record> records,
                                            const executor& threads = {}) {
    QUELL_EXPECTS(records.size() - source.graph.inputs.size() <= 1, "one record an input");
    const auto wanted = [](const input_record& record) { return record.wanted; };
    if (std::none_of(records.begin(), records.end(), wanted)) {
        return {};
    }
    if (!source.calibrate) {
        return error{errc::not_found, "the plan needs calibration data and there is none"};
    }
    std::optional<error> problem;
    stats::gram_workspace room;
    QUELL_TRY_VOID(source.calibrate([&](std::size_t input, matrix_view<const float> x) {
        if (problem || input >= records.size() || !records[input].wanted) {
            return;
        }
        if (const auto width = detail::check_width(detail::point_of(source.graph, input), x); !width) {
            problem = width.error();
            return;
        }
        records[input].stats.add(x);
        records[input].sample.add(x);
        if (records[input].gram) {
            records[input].gram->add(x, threads, room);
        }
    }));
    for (std::size_t i = 0; i < records.size() && !problem; ++i) {
        const auto status = detail::check_seen(detail::point_of(source.graph, i), records[i].stats.count(),
                                               records[i].stats.find<stats::absmax>());
        if (records[i].wanted && !status) {
            problem = status.error();
        }
    }
    return problem ? result<void>(*problem) : result<void>();
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
