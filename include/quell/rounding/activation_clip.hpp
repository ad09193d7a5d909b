// SPDX-License-Identifier: MIT
/// @file
/// The clip ratio of a site's activations, from calibration rows: per token the scale is ratio * absmax / qmax, and the
/// ratio is one for all tokens. A collector like the statistics, so nothing is kept but one sum per ratio.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/rounding/clip_search.hpp"
#include "quell/rounding/nearest.hpp"
#include "quell/stats/collector.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// Ratios 1, 1 - 1 / grid, ... are tried, `candidates` of them.
struct activation_clip_options {
    int bits = 8;
    int grid = 50;
    int candidates = 26;
};

/// Sums, for every ratio, the squared error of each row relative to the square of the row, so that a massive token
/// counts no more than any other.
///
/// Units    errors()[i] is the mean over rows of |x - x^|^2 / |x|^2 at ratio(i); zero rows cost nothing.
/// Requires finite rows; candidates < grid.
/// Cost     rows * channels * candidates.
/// Oracle   reference::activation_clip_errors (tests/reference/activation_clip.hpp), within a relative 1e-4.
class activation_clip {
public:
    activation_clip() : activation_clip(activation_clip_options{}) {}
    explicit activation_clip(const activation_clip_options& options)
        : options_(options), sums_(static_cast<std::size_t>(options.candidates), 0.0) {
        QUELL_EXPECTS(options.candidates >= 1 && options.candidates < options.grid, "clip ratios stay above zero");
        QUELL_EXPECTS(options.bits >= 2 && options.bits <= 8, "2 to 8 bits");
    }

    /// The bits of the sums do not depend on the executor.
    void add(matrix_view<const float> x, const executor& threads = {}) {
        constexpr std::size_t rows_per_task = 16;
        const std::size_t tasks = (x.rows() + rows_per_task - 1) / rows_per_task;
        std::vector<double> errors(x.rows() * sums_.size());
        threads.parallel_for(tasks, [&](std::size_t task) {
            clip_workspace room(x.cols());
            const std::size_t end = std::min(x.rows(), (task + 1) * rows_per_task);
            for (std::size_t r = task * rows_per_task; r < end; ++r) {
                price_row(x.row(r), room, std::span(errors).subspan(r * sums_.size(), sums_.size()));
            }
        });
        for (std::size_t i = 0; i < errors.size(); ++i) {
            sums_[i % sums_.size()] += errors[i];
        }
        count_ += x.rows();
    }

    void merge(const activation_clip& other) {
        QUELL_EXPECTS(sums_.size() == other.sums_.size(), "the same candidates on both sides");
        for (std::size_t i = 0; i < sums_.size(); ++i) {
            sums_[i] += other.sums_[i];
        }
        count_ += other.count_;
    }

    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::vector<double> errors() const {
        std::vector<double> means = sums_;
        for (double& mean : means) {
            mean /= static_cast<double>(std::max<std::uint64_t>(count_, 1));
        }
        return means;
    }
    [[nodiscard]] float ratio(std::size_t i) const {
        return static_cast<float>(options_.grid - static_cast<int>(i)) / static_cast<float>(options_.grid);
    }
    /// The ratio of the least error; the largest of equals, and 1 before any row was seen.
    [[nodiscard]] float best() const {
        return ratio(static_cast<std::size_t>(std::min_element(sums_.begin(), sums_.end()) - sums_.begin()));
    }

private:
    /// In units of absmax / qmax, where the row spans -qmax ... qmax and ratio 1 has scale 1.
    void price_row(std::span<const float> row, clip_workspace& room, std::span<double> errors) const {
        const scheme form{.bits = options_.bits};
        const std::span<float> run = detail::load_padded(row, room.values);
        const affine widest = fit_range(form, detail::range_of(run));
        double energy = 0.0;
        for (float& v : run) {
            v /= widest.scale;
            energy += static_cast<double>(v) * static_cast<double>(v);
        }
        for (std::size_t i = 0; i < errors.size() && energy > 0.0; ++i) {
            const detail::trial trial{ratio(i), detail::steps_of(form, widest)};
            errors[i] = detail::rounding_cost(run.data(), run.size(), trial, detail::square_cost{},
                                              std::numeric_limits<double>::infinity()) /
                        energy;
        }
    }

    activation_clip_options options_;
    std::vector<double> sums_;
    std::uint64_t count_ = 0;
};

static_assert(stats::collector<activation_clip>);

/// The ratio in {1, 0.98, ...} that loses least on these rows.
[[nodiscard]] inline float find_activation_clip(matrix_view<const float> rows, int bits, const executor& threads = {}) {
    activation_clip clip(activation_clip_options{.bits = bits});
    clip.add(rows, threads);
    return clip.best();
}

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
