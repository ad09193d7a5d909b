// SPDX-License-Identifier: MIT
/// @file
/// The rotation of a residual stream: a Hadamard matrix behind random signs, folded into everything that reads or
/// writes the stream. A norm without a gain does not notice it, since the length of a row stays what it is.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/views.hpp"
#include "quell/transforms/folding.hpp"
#include "quell/transforms/hadamard.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace quell::transforms {
inline namespace QUELL_BASELINE {

/// A stream x becomes x D H^T with the signs D. The signs keep what all channels have in common from meeting one row of
/// H.
///
/// Source   QuaRot, arXiv 2404.00456, its rotation R1.
class stream_rotation {
public:
    stream_rotation() = default;
    stream_rotation(std::size_t width, std::uint64_t seed) : hadamard_(width), signs_(width) {
        rng random(seed);
        for (float& sign : signs_) {
            sign = random.below(2) == 0 ? 1.0F : -1.0F;
        }
    }

    [[nodiscard]] bool empty() const { return hadamard_.empty(); }
    [[nodiscard]] std::span<const float> signs() const { return signs_; }
    [[nodiscard]] const hadamard& rotation() const { return hadamard_; }

    /// Rows of the stream itself, such as an embedding, or a weight [out, width] that reads it.
    template <std::floating_point T>
    void apply(matrix_view<T> rows, const executor& threads = {}) const {
        scale_columns(rows, signs_);
        hadamard_.apply(rows, threads);
    }

    /// A weight [width, in] that writes the stream.
    template <std::floating_point T>
    void apply_to_output(matrix_view<T> weight) const {
        scale_rows(weight, signs_);
        hadamard_.apply_to_output(weight);
    }

private:
    hadamard hadamard_;
    buffer<float> signs_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::transforms
