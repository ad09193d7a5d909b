// SPDX-License-Identifier: MIT
/// @file
/// The study of transforms over a whole model: one pass of calibration, and then at each shared input what every
/// transform would do to what goes in and to what comes out. It decides nothing.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/model/calibrate.hpp"
#include "quell/model/engine.hpp"
#include "quell/outliers/input_profile.hpp"
#include "quell/quant/transform_study.hpp"
#include "quell/stats/absmax.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
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
        : source_(source),
          options_(options),
          records_(source.graph.inputs.size()),
          profiles_(source.graph.inputs.size(), outliers::profile_collector({.window = options.window})) {}

    result<std::vector<input_study>> run() && {
        QUELL_TRY_VOID(collect());
        std::vector<input_study> studies;
        for (std::size_t i = 0; i < records_.size(); ++i) {
            if (records_[i].wanted) {
                QUELL_TRY(input_study found, study_input(i));
                studies.push_back(std::move(found));
                records_[i] = {};  // its rows are not needed any more
            }
            report_progress(options_.progress, "study", source_.graph.inputs[i].name, i + 1, records_.size());
        }
        return studies;
    }

private:
    result<void> collect() {
        for (std::size_t i = 0; i < records_.size(); ++i) {
            records_[i].stats.select<stats::absmax>();
            records_[i].sample = row_sample(options_.sample_rows);
            records_[i].wanted = !source_.graph.readers_of(i).empty();
        }
        engine observed = source_;
        if (source_.calibrate) {
            observed.calibrate = [this](const input_observer& see) {
                return source_.calibrate([&](std::size_t input, matrix_view<const float> x) {
                    see(input, x);
                    if (input < profiles_.size()) {
                        profile_rows(input, x);
                    }
                });
            };
        }
        if (const auto status = calibrate(observed, records_); !status) {
            return cause_of(status.error(), source_);
        }
        return {};
    }

    void profile_rows(std::size_t input, matrix_view<const float> x) {
        profiles_[input].add(x, options_.threads);
        const std::size_t seen = profiles_[input].count();
        report_progress(options_.progress, "calibrate", source_.graph.inputs[input].name, seen,
                        std::max(options_.tokens, seen));
    }

    result<input_study> study_input(std::size_t i) {
        input_study found{.input = i,
                          .readers = source_.graph.readers_of(i),
                          .profile = profiles_[i].profile(),
                          .rows = records_[i].sample.numbers()};
        std::vector<matrix<float>> weights;
        for (const std::size_t s : found.readers) {
            QUELL_TRY(matrix<float> w, fetch_weight(source_, source_.graph.sites[s]));
            weights.push_back(std::move(w));
        }
        std::vector<matrix_view<const float>> views;
        for (const matrix<float>& w : weights) {
            views.push_back(w.view());
        }
        const matrix<float> x = records_[i].sample.rows();
        auto effects =
            quant::study_transforms({.x = x.view(), .absmax = found.profile.absmax.per_channel(), .weights = views},
                                    options_.transforms, options_.threads);
        if (!effects) {
            return effects.error().in(source_.graph.inputs[i].name);
        }
        found.effects = *std::move(effects);
        return found;
    }

    const engine& source_;
    const study_options& options_;
    std::vector<input_record> records_;
    std::vector<outliers::profile_collector> profiles_;
};

}  // namespace detail

/// One entry for each input that a linear reads, in the order of the graph.
///
/// Requires source.weight and source.calibrate; sample_rows > 0. Scales stay online, so repeated heads have their own.
/// Errors   those of calibrate() and of quant::study_transforms, with the name of the input or of the site.
/// Cost     one pass of calibration; sample_rows rows of each input at once, and the weights of one input at a time.
[[nodiscard]] inline result<std::vector<input_study>> study(const engine& source, const study_options& options = {}) {
    QUELL_EXPECTS(static_cast<bool>(source.weight), "an engine that gives its weights");
    QUELL_EXPECTS(options.sample_rows > 0, "rows to measure errors on");
    return detail::model_study(source, options).run();
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
