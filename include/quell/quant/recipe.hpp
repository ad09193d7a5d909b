// SPDX-License-Identifier: MIT
/// @file
/// `recipe`: what should be done to a model. The plan of a model says what will be done at each linear.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"
#include "quell/packing/layout.hpp"
#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/allocation_rule.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/tuning_rule.hpp"
#include "quell/rounding/propagated_target.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// Which shared inputs the transform is meant for.
enum class input_choice : std::uint8_t {
    all,
    norm_fed,     ///< those behind a normalization with a gain, where scales cost nothing at run time
    product_fed,  ///< those that are a product with the output of a linear: of down in a gated feed-forward
};

/// Transforms, of which each input takes the best, and the inputs that they are meant for.
struct input_rule {
    std::vector<any_transform> transforms = {};
    input_choice inputs = input_choice::all;
};

inline constexpr scheme float_weights = packing::float_form;

struct recipe {
    std::string name;
    scheme weights = float_weights;
    activation_scheme activations{.bits = 32};
    std::optional<activation_scheme> writer_activations = {};  ///< of linears that write the residual stream
    bool rotates_stream = false;                               ///< the residual stream runs in a rotated basis
    std::size_t split_rank = 0;                                ///< leading directions of that basis which stay in float
    bool exempts_spikes = false;  ///< QFeM: inputs whose tokens spike keep activations of 16 bits
    bool finds_prefix = false;    ///< QFeP: a prefix kept in float draws the spikes to itself
    std::vector<input_rule> transforms =
        {};  ///< the first that is meant for an input decides; of the rotated stream none
    any_solver solver = {};
    rounding::calibration_rule calibration = {};
    std::optional<allocation_rule> allocation = {};  ///< how bits are spread; empty: all sites take `weights`
    tuning_rule tuning = {};                         ///< how the float part learns after rounding

    [[nodiscard]] bool is_float() const { return weights.bits == 32; }
    [[nodiscard]] bool needs_calibration() const {
        return exempts_spikes || finds_prefix || activations.needs_calibration() || solver.needs_calibration() ||
               split_rank > 0 || tuning.steps > 0 || calibration.is_propagated() ||
               (allocation && allocation->needs_calibration()) ||
               std::any_of(transforms.begin(), transforms.end(), [](const input_rule& rule) {
                   return rule.transforms.size() > 1 || rule.transforms.front().needs_statistics();
               });
    }
};

/// A few minutes on two cores for a model of 135 million parameters.
inline constexpr tuning_rule default_tuning{.steps = 40, .sequences = 1, .length = 512, .rate = 2.5e-3};

/// Of codes too.
inline constexpr tuning_rule default_training{
    .steps = 100, .sequences = 1, .length = 512, .rate = 2.5e-3, .codes = true};

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
