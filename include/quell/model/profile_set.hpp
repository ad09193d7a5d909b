// SPDX-License-Identifier: MIT
/// @file
/// The statistics of all inputs of a model: collected in one pass of the engine over its calibration data, and merged
/// with those of other passes.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/model/calibrate.hpp"
#include "quell/model/engine.hpp"
#include "quell/outliers/input_profile.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

struct profile_set {
    static constexpr std::uint64_t most_tokens = std::uint64_t{1} << 40U;  ///< no count can overflow below this

    std::string model{};       ///< for people
    std::string text{};        ///< for people
    std::uint64_t window = 0;  ///< tokens of a calibration sequence
    std::map<std::string, outliers::input_profile> inputs{};

    /// Of the input that saw most.
    [[nodiscard]] std::uint64_t tokens() const {
        std::uint64_t most = 0;
        for (const auto& [name, profile] : inputs) {
            most = std::max(most, profile.count());
        }
        return most;
    }
};

struct collect_options {
    executor threads = {};
    progress_callback progress = {};
    std::size_t window = 512;  ///< tokens of the sequences that the engine runs
    std::size_t tokens = 0;    ///< that it will run in all; for the progress only
};

/// Everything that is known of every input, from one pass.
///
/// Errors   errc::not_found where the engine cannot calibrate or shows no rows of an input; errc::bad_shape for rows of
///          another width; errc::bad_value for NaN or infinity, naming input and channel; the engine's own.
[[nodiscard]] inline result<profile_set> collect_profiles(const engine& source, const collect_options& options) {
    QUELL_EXPECTS(options.window > 0, "the length of the sequences");
    if (!source.calibrate) {
        return error{errc::not_found, "there is no calibration data"};
    }
    const std::vector<input_point>& points = source.graph.inputs;
    std::vector<outliers::profile_collector> collectors(
        points.size(), outliers::profile_collector(outliers::profile_options{.window = options.window}));
    std::optional<error> problem;
    const result<void> ran = source.calibrate([&](std::size_t input, matrix_view<const float> x) {
        if (problem || input >= points.size()) {
            return;
        }
        if (const auto width = detail::check_width(points[input], x); !width) {
            problem = width.error();
            return;
        }
        collectors[input].add(x, options.threads);
        report_progress(options.progress, "collect", points[input].name, collectors[input].count(),
                        std::max<std::size_t>(options.tokens, collectors[input].count()));
    });
    profile_set all{.window = options.window};
    for (std::size_t i = 0; i < points.size() && !problem; ++i) {
        outliers::input_profile profile = collectors[i].profile();
        const auto seen = detail::check_seen(points[i], profile.count(), &profile.absmax);
        // Where activations overflow, the engine may stop; the input and the channel are the better message.
        if (!seen && (ran || profile.count() > 0)) {
            problem = seen.error();
        }
        all.inputs.emplace(points[i].name, std::move(profile));
    }
    if (!problem && !ran) {
        problem = ran.error();
    }
    return problem ? result<profile_set>(*problem) : result<profile_set>(std::move(all));
}

namespace detail {

[[nodiscard]] inline result<void> check_fit(const std::string& name, const outliers::input_profile& a,
                                            const outliers::input_profile& b) {
    const auto different = [&](const std::string& what, const std::string& mine, const std::string& other) {
        return error{errc::bad_shape, name + ": " + what + " " + other + ", not " + mine};
    };
    const std::size_t channels = a.magnitude.channels();
    if (b.magnitude.channels() != channels) {
        return different("the number of channels is", std::to_string(channels), std::to_string(b.magnitude.channels()));
    }
    if (a.massive.times() != b.massive.times()) {
        return different("the threshold of massive tokens is", std::to_string(a.massive.times()),
                         std::to_string(b.massive.times()));
    }
    if (a.count() > profile_set::most_tokens - b.count()) {
        return error{errc::bad_value, name + ": more than 2^40 tokens"};
    }
    return {};
}

/// "a" and "b" become "a + b", the same text stays.
inline void append_name(std::string& names, const std::string& more) {
    if (names != more) {
        names += " + " + more;
    }
}

}  // namespace detail

/// Adds the statistics of the data that follows. Counts, maxima and sketches are those of one pass over both, provided
/// that the earlier data ended with a whole window; sums round once more.
///
/// Errors   errc::bad_shape where the two are of different models or windows, saying where; `all` is then as before.
[[nodiscard]] inline result<void> merge(profile_set& all, const profile_set& more) {
    if (more.window != all.window) {
        return error{errc::bad_shape,
                     "windows of " + std::to_string(more.window) + " tokens, not " + std::to_string(all.window)};
    }
    for (const auto& [name, profile] : more.inputs) {
        const auto mine = all.inputs.find(name);
        if (mine == all.inputs.end()) {
            return error{errc::bad_shape, "the input " + name + " is not one of the other model"};
        }
        QUELL_TRY_VOID(detail::check_fit(name, mine->second, profile));
    }
    for (auto& [name, profile] : all.inputs) {
        if (!more.inputs.contains(name)) {
            return error{errc::bad_shape, "the input " + name + " is missing"};
        }
    }
    for (auto& [name, profile] : all.inputs) {
        profile.merge(more.inputs.find(name)->second);
    }
    detail::append_name(all.model, more.model);
    detail::append_name(all.text, more.text);
    return {};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
