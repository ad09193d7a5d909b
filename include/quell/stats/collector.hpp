// SPDX-License-Identifier: MIT
/// @file
/// The concept of all statistics: something that rows of activations (or of a weight) are added to, and that can be
/// merged with another of its kind, so that a pass over the data may be cut anywhere.
#pragma once

#include "quell/core/views.hpp"

#include <concepts>
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

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
