// SPDX-License-Identifier: MIT
/// @file
/// The policies that fit the slots of `quantizer` without a folder of their own: the empty ones, smoothing as a
/// transform, and the two layouts.
#pragma once

#include "quell/packing/pack.hpp"
#include "quell/packing/packed_matrix.hpp"
#include "quell/quant/concepts.hpp"
#include "quell/stats/absmax.hpp"
#include "quell/stats/channel_magnitude.hpp"
#include "quell/stats/token_energy.hpp"
#include "quell/transforms/activation_scale.hpp"
#include "quell/transforms/hadamard.hpp"
#include "quell/transforms/smooth.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// Statistics of nothing.
struct no_stats {
    void add(matrix_view<const float>) {}
    void merge(const no_stats&) {}
    [[nodiscard]] std::uint64_t count() const { return 0; }
};

/// All channels are alike.
struct no_detector {
    template <typename Stats>
    [[nodiscard]] channel_set detect(const Stats&) const {
        return {};
    }
};

/// The input stays as it is.
struct no_transform {
    static constexpr std::string_view name = "none";
    using statistics = no_stats;

    template <typename Stats>
    [[nodiscard]] input_change prepare(const Stats&, const channel_set&, weight_views) const {
        return {};
    }
};

namespace detail {

/// Channels that the detector left out keep scale 1.
[[nodiscard]] inline input_change divided_by(buffer<float> divisors, const channel_set& channels) {
    for (std::size_t j = 0; j < divisors.size(); ++j) {
        divisors[j] = channels.contains(j) ? divisors[j] : 1.0F;
    }
    return {.divisors = std::move(divisors), .rotation = {}};
}

/// Scales, then a rotation of as many channels.
[[nodiscard]] inline input_change then_rotated(input_change change, transforms::rotation reach) {
    change.rotation = {reach, change.divisors.size()};
    return change;
}

}  // namespace detail

/// Large activation channels move into the weights, by the exponent alpha.
///
/// Source   SmoothQuant, arXiv 2211.10438; transforms/smooth.hpp. Channels that the detector left out keep scale 1.
struct smooth {
    static constexpr std::string_view name = "smooth";
    using statistics = stats::absmax;

    float alpha = 0.5F;

    [[nodiscard]] input_change prepare(const stats::absmax& seen, const channel_set& channels,
                                       weight_views weights) const {
        return detail::divided_by(transforms::smooth_scales(seen.per_channel(), weights, {.alpha = alpha}), channels);
    }
};

/// Every outlier is spread over all channels, or over those of its block.
///
/// Source   QuaRot, arXiv 2404.00456; transforms/hadamard.hpp.
struct rotate {
    static constexpr std::string_view name = "rotate";
    using statistics = no_stats;

    transforms::rotation reach = transforms::rotation::full;

    template <typename Stats>
    [[nodiscard]] input_change prepare(const Stats&, const channel_set&, weight_views weights) const {
        return {.divisors = {}, .rotation = {reach, weights.empty() ? 0 : weights[0].cols()}};
    }
};

/// Smooths, then rotates: a massive value first shrinks to its square root, then it is spread. In the other order
/// nothing would be left to smooth.
///
/// Source   SmoothRot, arXiv 2506.05413; Czako et al., arXiv 2506.01967.
struct smooth_rotate {
    static constexpr std::string_view name = "smooth+rotate";
    using statistics = smooth::statistics;

    float alpha = 0.5F;
    transforms::rotation reach = transforms::rotation::full;

    [[nodiscard]] input_change prepare(const statistics& seen, const channel_set& channels,
                                       weight_views weights) const {
        return detail::then_rotated(smooth{.alpha = alpha}.prepare(seen, channels, weights), reach);
    }
};

/// Scales that balance the energy of activations and weights. A massive token counts no more than any other, where it
/// alone would rule maxima.
///
/// Source   Ours; transforms/smooth.hpp. Channels that the detector left out keep scale 1.
struct balance {
    static constexpr std::string_view name = "balance";
    using statistics = stats::token_energy;

    float alpha = 0.5F;

    [[nodiscard]] input_change prepare(const statistics& seen, const channel_set& channels,
                                       weight_views weights) const {
        return detail::divided_by(transforms::balance_scales(seen.shares(), weights, static_cast<double>(alpha)),
                                  channels);
    }
};

/// Balances, then takes the rotation for which those scales are the best.
///
/// Source   Ours; transforms/smooth.hpp.
struct balance_rotate {
    static constexpr std::string_view name = "balance+rotate";
    using statistics = balance::statistics;

    float alpha = 0.5F;
    transforms::rotation reach = transforms::rotation::full;

    [[nodiscard]] input_change prepare(const statistics& seen, const channel_set& channels,
                                       weight_views weights) const {
        return detail::then_rotated(balance{.alpha = alpha}.prepare(seen, channels, weights), reach);
    }
};

/// Channels that are large on average get finer weights; nothing is rotated, and activations are left to the weights.
///
/// Source   AWQ, arXiv 2306.00978; transforms/activation_scale.hpp. Channels that the detector left out keep scale 1.
struct activation_scale {
    static constexpr std::string_view name = "activation-scale";
    using statistics = stats::channel_magnitude;

    float alpha = 0.5F;

    [[nodiscard]] input_change prepare(const statistics& seen, const channel_set& channels, weight_views) const {
        return detail::divided_by(transforms::activation_scales(seen.mean_magnitudes(), static_cast<double>(alpha)),
                                  channels);
    }
};

/// The canonical codes as they are: for files and for people.
struct no_layout {
    using packed = quantized;
    [[nodiscard]] result<quantized> pack(quantized&& q, const executor&) const { return std::move(q); }
};

/// Panels for the integer kernels.
struct panels {
    using packed = packing::packed_matrix;
    [[nodiscard]] result<packing::packed_matrix> pack(quantized&& q, const executor& threads) const {
        return packing::pack(q, threads);
    }
};

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
