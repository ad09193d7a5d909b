// SPDX-License-Identifier: MIT
/// @file
/// The concept of all statistics: something that rows of activations (or of a weight) are added to, and that can be
/// merged with another of its kind, so that a pass over the data may be cut anywhere.
#pragma once

#include "quell/core/views.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace quell::stats {
inline namespace QUELL_BASELINE {

/// `count()` is the number of rows seen. The width of the first rows fixes the width of all. Merging the statistics of
/// two halves, the earlier one first, gives those of the whole.
template <typename C>
concept collector = std::copyable<C> && std::default_initializable<C> &&
    requires(C& c, const C& const_c, matrix_view<const float> x) {
    c.add(x);
    c.merge(const_c);
    { const_c.count() } -> std::same_as<std::uint64_t>;
};

/// A collector that keeps its channels apart, so that threads may share the columns of the same rows. After
/// `announce(rows, channels)`, `add_columns(x, first)` adds columns `first` ... of these rows: each column as a whole,
/// its rows in order, in one call or in several. `add(x)` does both.
template <typename C>
concept channelwise_collector = collector<C> && requires(C& c, matrix_view<const float> x, std::size_t n) {
    c.announce(n, n);
    c.add_columns(x, n);
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
