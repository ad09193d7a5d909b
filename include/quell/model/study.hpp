// SPDX-License-Identifier: MIT
/// @file
/// The study of transforms over a whole model: one pass of calibration, and then at each shared input what every
/// transform would do to what goes in and to what comes out. It decides nothing.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/model/engine.hpp"
#include "quell/model/profile_set.hpp"
#include "quell/model/row_sample.hpp"
#include "quell/outliers/input_profile.hpp"
#include "quell/quant/transform_study.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

struct study_options {
    quant::study_options transforms{};
    std::size_t sample_rows = 512;  ///< of each input, on which errors are measured
    std::size_t window = 512;       ///< tokens of the sequences that the engine runs
    std::size_t tokens = 0;         ///< that it will run in all; for the progress only
    executor threads{};
    progress_callback progress{};
};

/// What the study of one input found.
struct input_study {
    std::size_t input = 0;               ///< index into graph::inputs
    std::vector<std::size_t> readers{};  ///< indices into graph::sites, in the order of the effects' weights
    outliers::input_profile profile{};   ///< of all calibration tokens
    std::vector<std::size_t> rows{};     ///< which of them the effects are measured on, ascending
    quant::transform_effects effects{};
};

namespace detail {

/// One run of study().
class model_study {
public:
    model_study(const engine& source, const study_options& options)
        : source_(source), options_(options), samples_(source.graph.inputs.size(), row_sample(options.sample_rows)) {}

    result<std::vector<input_study>> run() && {
        QUELL_TRY_VOID(collect());
        std::vector<input_study> studies;
        for (std::size_t i = 0; i < samples_.size(); ++i) {
            if (!source_.graph.readers_of(i).empty()) {
                QUELL_TRY(input_study found, study_input(i));
                studies.push_back(std::move(found));
            }
            samples_[i] = {};  // its rows are not needed any more
            report_progress(options_.progress, "study", source_.graph.inputs[i].name, i + 1, samples_.size());
        }
        return studies;
    }

private:
    /// The pass that collects the profiles also draws the rows.
    result<void> collect() {
        engine observed = source_;
        if (source_.calibrate) {
            observed.calibrate = [this](const input_observer& see) {
                return source_.calibrate([&](std::size_t input, matrix_view<const float> x) {
                    see(input, x);
                    if (input < samples_.size()) {
                        samples_[input].add(x);
                    }
                });
            };
        }
        auto profiles = collect_profiles(observed, {.threads = options_.threads,
                                                    .progress = options_.progress,
                                                    .window = options_.window,
                                                    .tokens = options_.tokens});
        if (!profiles) {
            return cause_of(profiles.error(), source_);
        }
        profiles_ = *std::move(profiles);
        return {};
    }

    result<input_study> study_input(std::size_t i) {
        const input_point& point = source_.graph.inputs[i];
        input_study found{.input = i,
                          .readers = source_.graph.readers_of(i),
                          .profile = std::move(profiles_.inputs.at(point.name)),
                          .rows = samples_[i].numbers()};
        std::vector<matrix<float>> weights;
        for (const std::size_t s : found.readers) {
            QUELL_TRY(matrix<float> w, fetch_weight(source_, source_.graph.sites[s]));
            weights.push_back(std::move(w));
        }
        const std::vector<matrix_view<const float>> views = views_of(weights);
        const matrix<float> x = samples_[i].rows();
        auto effects = quant::study_transforms({.x = x.view(), .absmax = &found.profile.absmax, .weights = views},
                                               options_.transforms, options_.threads);
        if (!effects) {
            return effects.error().in(point.name);
        }
        found.effects = *std::move(effects);
        return found;
    }

    static std::vector<matrix_view<const float>> views_of(const std::vector<matrix<float>>& weights) {
        std::vector<matrix_view<const float>> views(weights.size());
        std::transform(weights.begin(), weights.end(), views.begin(), [](const matrix<float>& w) { return w.view(); });
        return views;
    }

    const engine& source_;
    const study_options& options_;
    std::vector<row_sample> samples_;
    profile_set profiles_;
};

}  // namespace detail

/// One entry for each input that a linear reads, in the order of the graph.
///
/// Requires source.weight and source.calibrate; sample_rows > 0. Scales stay online, so repeated heads have their own.
/// Errors   those of collect_profiles() and of quant::study_transforms, with the name of the input or of the site.
/// Cost     one pass of calibration; sample_rows rows of each input at once, and the weights of one input at a time.
[[nodiscard]] inline result<std::vector<input_study>> study(const engine& source, const study_options& options = {}) {
    QUELL_EXPECTS(static_cast<bool>(source.weight), "an engine that gives its weights");
    QUELL_EXPECTS(options.sample_rows > 0, "rows to measure errors on");
    return detail::model_study(source, options).run();
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
