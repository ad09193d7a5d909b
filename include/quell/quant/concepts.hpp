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
#include "quell/rounding/solver.hpp"
#include "quell/stats/collector.hpp"

#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// Input channels that a detector picked out. Without members it stands for all channels.
struct channel_set {
    std::vector<bool> members;

    [[nodiscard]] bool contains(std::size_t channel) const { return members.empty() || members[channel]; }
};

/// What a transform does to a shared input and to the weights that read it, so that no product changes.
struct input_change {
    buffer<float> divisors;  ///< [in] activations are divided by it, columns of the weights multiplied; empty: nothing

    [[nodiscard]] bool empty() const { return divisors.empty(); }
};

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

/// Slot 3, Transform: `prepare` decides from the statistics and all weights that read the input; `apply` changes one of
/// these weights. The other half of the change, on the activations, is the caller's: only he knows what can be folded.
template <typename T, typename Stats>
concept transform = policy<T> && requires(const T& t, const Stats& seen, const channel_set& channels,
                                          weight_views weights, const input_change& change, matrix_view<float> w) {
    { t.prepare(seen, channels, weights) } -> std::same_as<input_change>;
    t.apply(change, w);
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
