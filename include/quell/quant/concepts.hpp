// SPDX-License-Identifier: MIT
/// @file
/// The contracts of the five slots of `quantizer`, in one place. A policy is a small value: it can be made by default
/// and copied, its members are its options. tests/archetypes.hpp holds the least that fulfils each.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/quant/online_input.hpp"
#include "quell/rounding/solver.hpp"
#include "quell/stats/collector.hpp"
#include "quell/transforms/folding.hpp"
#include "quell/transforms/hadamard.hpp"
#include "quell/transforms/stream_rotation.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// Input channels that a detector picked out. Without members it stands for all channels.
struct channel_set {
    std::vector<bool> members;

    [[nodiscard]] bool contains(std::size_t channel) const { return members.empty() || members[channel]; }
};

/// What a transform does to a shared input and to the weights that read it, so that no product changes: activations x
/// become H (x / divisors), rows w of the weights H (w * divisors). Where the input reads a residual stream that is
/// rotated as a whole, that rotation stands in the place of H.
struct input_change {
    buffer<float> divisors{};                                        ///< [in], or empty: none
    transforms::hadamard rotation{};                                 ///< H, or empty: none
    std::shared_ptr<const transforms::stream_rotation> stream = {};  ///< or nullptr

    [[nodiscard]] bool empty() const { return divisors.empty() && rotation.empty() && stream == nullptr; }

    void apply_to_weight(matrix_view<float> w, const executor& threads = {}) const {
        if (!divisors.empty()) {
            transforms::scale_columns(w, divisors);
        }
        if (!rotation.empty()) {
            rotation.apply(w);
        }
        if (stream != nullptr) {
            stream->apply(w, threads);
        }
    }
    void undo_on_weight(matrix_view<float> w) const {
        if (stream != nullptr) {
            stream->undo(w);
        }
        if (!rotation.empty()) {
            rotation.undo(w);
        }
        if (!divisors.empty()) {
            transforms::divide_columns(w, divisors);
        }
    }
    void apply_to_input(matrix_view<float> x, const executor& threads = {}) const {
        if (!divisors.empty()) {
            transforms::divide_columns(x, divisors);
        }
        if (!rotation.empty()) {
            rotation.apply(x, threads);
        }
        if (stream != nullptr) {
            stream->apply(x, threads);
        }
    }
    void undo_on_input(matrix_view<float> x, const executor& threads = {}) const {
        if (stream != nullptr) {
            stream->undo(x, threads);
        }
        if (!rotation.empty()) {
            rotation.undo(x, threads);
        }
        if (!divisors.empty()) {
            transforms::scale_columns(x, divisors);
        }
    }
    /// The sum of x^T x over the inputs becomes that of the changed inputs: H D^-1 G D^-1 H^T.
    void apply_to_gram(matrix<double>& gram, const executor& threads = {}) const {
        for (int side = 0; side < 2 && !empty(); ++side) {
            if (!divisors.empty()) {
                transforms::divide_rows(gram.view(), divisors);
            }
            gram = transposed<double>(gram.view());
            if (!rotation.empty()) {
                rotation.apply(gram.view(), threads);
            }
            if (stream != nullptr) {
                stream->apply(gram.view(), threads);
            }
        }
        for (std::size_t j = 0; j < gram.rows(); ++j) {  // where no input has anything, round-off may be negative
            gram(j, j) = std::max(gram(j, j), 0.0);
        }
    }
};

/// The part of a change that a linear carries out itself: the rotation, and the division where no producer of x took
/// it.
[[nodiscard]] inline online_input online_part(const input_change& change, bool divisors_are_folded = false) {
    online_input online{.scale = {}, .rotation = change.rotation};
    if (!divisors_are_folded) {
        online.scale = buffer<float>::copy_of(change.divisors);
        std::transform(online.scale.begin(), online.scale.end(), online.scale.begin(),
                       [](float divisor) { return 1.0F / divisor; });
    }
    return online;
}

using weight_views = std::span<const matrix_view<const float>>;

/// A policy is a value.
template <typename P>
concept policy = std::copyable<P> && std::default_initializable<P>;

/// Slot 1, Stats: sees the rows of the shared input; halves can be merged.
template <typename C>
concept collector = stats::collector<C>;

/// What `seen` holds of one kind of statistics: `seen` itself or a member of a set of collectors; nullptr for neither.
template <typename Wanted, collector Stats>
[[nodiscard]] const Wanted* find_statistic(const Stats& seen) {
    if constexpr (std::same_as<Stats, Wanted>) {
        return &seen;
    } else if constexpr (requires { seen.template find<Wanted>(); }) {
        return seen.template find<Wanted>();
    } else {
        return nullptr;
    }
}

/// Slot 2, Detector: names the channels which the transform may touch.
template <typename D, typename Stats>
concept detector = policy<D> && requires(const D& d, const Stats& seen) {
    { d.detect(seen) } -> std::same_as<channel_set>;
};

/// Slot 3, Transform: decides from the statistics and all weights that read the input. The activations' half of the
/// change is the caller's: only he knows what can be folded.
template <typename T, typename Stats>
concept transform = policy<T> &&
    requires(const T& t, const Stats& seen, const channel_set& channels, weight_views weights) {
    { t.prepare(seen, channels, weights) } -> std::same_as<input_change>;
};

/// Slot 4, Solver: a weight becomes codes. Its errors name row, column and value.
template <typename S>
concept solver = rounding::solver<S>;

/// Slot 5, Layout: codes become what kernels read. Its errors say which scheme it cannot hold.
template <typename L>
concept layout = policy<L> && requires(const L& l, quantized&& q, const executor& threads) {
    typename L::packed;
    { l.pack(std::move(q), threads) } -> std::same_as<result<typename L::packed>>;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
