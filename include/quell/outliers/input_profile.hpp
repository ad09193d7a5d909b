// SPDX-License-Identifier: MIT
/// @file
/// Everything that is known of the activations of one input, in one pass: what transforms and solvers read (maxima,
/// sums of squares, moments), what static scales are clipped at (quantiles), and what stands out (tokens).
#pragma once

#include "quell/core/executor.hpp"
#include "quell/outliers/massive_tokens.hpp"
#include "quell/outliers/spike_ratio.hpp"
#include "quell/outliers/token_window.hpp"
#include "quell/stats/absmax.hpp"
#include "quell/stats/channel_magnitude.hpp"
#include "quell/stats/moments.hpp"
#include "quell/stats/quantile_sketch.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quell::outliers {
inline namespace QUELL_BASELINE {

/// What the activations of one input left behind. Merging is exact but for the sums of `magnitude` and `moments`, which
/// round once more.
struct input_profile {
    stats::absmax absmax{};
    stats::channel_magnitude magnitude{};
    stats::moments moments{};
    stats::quantile_sketch elements{};      ///< |x| of all elements
    stats::quantile_sketch token_maxima{};  ///< max |x_t| of all tokens
    spike_ratio spikes{};
    massive_tokens massive{};

    [[nodiscard]] std::uint64_t count() const { return absmax.count(); }

    void merge(const input_profile& other) {
        absmax.merge(other.absmax);
        magnitude.merge(other.magnitude);
        moments.merge(other.moments);
        elements.merge(other.elements);
        token_maxima.merge(other.token_maxima);
        spikes.merge(other.spikes);
        massive.merge(other.massive);
    }
};

struct profile_options {
    std::size_t window = 0;  ///< tokens of a calibration sequence; 0: the rows of one add() are a sequence
    float massive_times = massive_tokens::default_times;
};

/// Collects an input_profile. Rows may come in any portions: windows are put together again.
///
/// Cost     about 2.5 ns a value and thread; memory does not grow with the number of rows.
///
/// The channels are spread over the threads, and each is one thread's: the bits do not depend on their number. They do
/// depend on the portions, in the moments alone.
class profile_collector {
public:
    profile_collector() = default;
    explicit profile_collector(const profile_options& options)
        : closed_{.massive = massive_tokens(options.massive_times)}, window_(options.window) {}

    void add(matrix_view<const float> x, const executor& threads = {}) {
        if (x.empty()) {
            return;
        }
        closed_.absmax.announce(x.rows(), x.cols());
        closed_.magnitude.announce(x.rows(), x.cols());
        closed_.moments.announce(x.rows(), x.cols());
        const std::vector<float> maxima = scan(x, threads);
        closed_.token_maxima.add(maxima);
        follow_windows(x, maxima);
    }

    /// A window that this one has begun ends here; one that `other` has begun goes on.
    void merge(const profile_collector& other) {
        QUELL_EXPECTS(window_ == other.window_, "windows of one length");
        close_window();
        closed_.merge(other.closed_);
        open_ = other.open_;
    }

    [[nodiscard]] std::uint64_t count() const { return closed_.count(); }

    /// What the rows so far leave behind; the window that has begun counts as one.
    [[nodiscard]] input_profile profile() const {
        profile_collector whole = *this;
        whole.close_window();
        return whole.closed_;
    }

private:
    static constexpr std::size_t tile_rows = 64;  ///< a tile of 16 KiB stays in the first cache for all collectors
    static constexpr std::size_t tile_cols = 64;

    /// What one thread finds out about rows of which it sees a part of the columns.
    struct share {
        stats::quantile_sketch elements;
        std::vector<float> maxima;
    };

    /// Feeds everything but the rules on tokens; gives the largest magnitude of every row.
    std::vector<float> scan(matrix_view<const float> x, const executor& threads) {
        const std::size_t bands = (x.cols() + tile_cols - 1) / tile_cols;
        const std::size_t workers = std::min(bands, std::max<std::size_t>(threads.concurrency(), 1));
        std::vector<share> shares(workers);
        std::atomic<std::size_t> next = 0;
        threads.parallel_for(workers, [&](std::size_t w) {
            shares[w].maxima.resize(x.rows());
            for (std::size_t b = next++; b < bands; b = next++) {
                scan_band(x, b * tile_cols, shares[w]);
            }
        });
        stats::absmax maxima;
        for (const share& s : shares) {
            closed_.elements.merge(s.elements);
            maxima.add({s.maxima.data(), 1, s.maxima.size()});
        }
        return {maxima.per_channel().begin(), maxima.per_channel().end()};
    }

    void scan_band(matrix_view<const float> x, std::size_t first, share& s) {
        const std::size_t cols = std::min(tile_cols, x.cols() - first);
        for (std::size_t r = 0; r < x.rows(); r += tile_rows) {
            const matrix_view<const float> tile = x.block(r, first, std::min(tile_rows, x.rows() - r), cols);
            closed_.absmax.add_columns(tile, first);
            closed_.magnitude.add_columns(tile, first);
            closed_.moments.add_columns(tile, first);
            for (std::size_t t = 0; t < tile.rows(); ++t) {
                s.elements.add(tile.row(t));
                const std::uint32_t largest = stats::detail::largest_magnitude(tile.row(t));
                s.maxima[r + t] = std::bit_cast<float>(stats::detail::larger_magnitude(largest, s.maxima[r + t]));
            }
        }
    }

    void follow_windows(matrix_view<const float> x, std::span<const float> maxima) {
        for (std::size_t r = 0; r < x.rows();) {
            const std::size_t wanted = window_ == 0 ? x.rows() : window_ - open_.size();
            const std::size_t rows = std::min(wanted, x.rows() - r);
            open_.add(x.block(r, 0, rows, x.cols()), maxima.subspan(r, rows));
            if (rows == wanted) {
                close_window();
            }
            r += rows;
        }
    }

    void close_window() {
        closed_.spikes.add(open_);
        closed_.massive.add(open_);
        open_.clear();
    }

    input_profile closed_;
    token_window open_;
    std::size_t window_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::outliers
