// SPDX-License-Identifier: MIT
/// @file
/// The concept of all transforms: an invertible T on the input channels that some linears share. The activations become
/// x T and the weights W T^-T, so that x W^T stays what it was. Where T can be folded into what produces x, the
/// functions of folding.hpp do it once; elsewhere `apply_to_input` runs online.
#pragma once

#include "quell/core/views.hpp"

#include <concepts>

namespace quell::transforms {
inline namespace QUELL_BASELINE {

/// `apply` and `undo` change a weight [out, in] in place and are inverses up to rounding; `apply_to_input` changes
/// activations [tokens, in].
template <typename T>
concept transform = std::copyable<T> && std::default_initializable<T> && requires(const T& t, matrix_view<float> m) {
    t.apply(m);
    t.undo(m);
    t.apply_to_input(m);
};

struct no_transform {
    void apply(matrix_view<float> /*weight*/) const {}
    void undo(matrix_view<float> /*weight*/) const {}
    void apply_to_input(matrix_view<float> /*x*/) const {}
};

static_assert(transform<no_transform>);

}  // namespace QUELL_BASELINE
}  // namespace quell::transforms
