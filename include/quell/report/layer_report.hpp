// SPDX-License-Identifier: MIT
/// @file
/// What was done to each linear and what it cost: bits twice (nominal and stored), bytes, errors, time, and every
/// deviation from what the recipe asked for. Plain structs; report_json.hpp writes them.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/storage.hpp"
#include "quell/core/target.hpp"
#include "quell/report/error_stats.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace quell::report {
inline namespace QUELL_BASELINE {

/// One linear. A linear that stays in float has weights.bits == 32.
struct layer_report {
    std::string site = {};
    std::string module = {};
    std::size_t layer = 0;
    std::size_t out_features = 0;
    std::size_t in_features = 0;
    scheme weights{.bits = 32};
    int activation_bits = 32;
    std::string transform = {};                    ///< empty: none
    std::string scales_folded_into = {};           ///< name of the norm gain, "online", or empty
    std::string online_reason = {};                ///< why the scales are not folded
    std::string solver = {};                       ///< empty: not rounded
    std::string fallback = {};                     ///< why the site is not as the recipe asked; empty: it is
    std::string reason = {};                       ///< why the recipe treats it unlike others; empty: it does not
    double score = 0.0;                            ///< by which it was compared with others; 0: it was not
    bool flagged = false;                          ///< it stands out by its score
    std::size_t stored_bytes = 0;                  ///< codes, scales and zeros as a file stores them
    storage_bits stored = {};                      ///< what those bytes are, by name
    std::size_t memory_bytes = 0;                  ///< the packed layer in memory, padding and bias included
    error_stats weight_error = {};                 ///< in the basis of the original weight
    std::optional<error_stats> output_error = {};  ///< over the sampled calibration rows
    double clip_share = 0.0;                       ///< share of the weights beyond the outermost code
    double seconds = 0.0;

    [[nodiscard]] std::size_t parameters() const { return out_features * in_features; }
    /// Bits of codes per weight that has one; where two forms are mixed, their mean.
    [[nodiscard]] double nominal_bits() const {
        const std::size_t in_float = stored.side / 32;
        return stored.codes == 0 ? weights.bits
                                 : static_cast<double>(stored.codes) / static_cast<double>(parameters() - in_float);
    }
};

/// Sums over sites. Bits are per weight of the sites counted.
struct totals {
    std::size_t parameters = 0;
    std::size_t stored_bytes = 0;
    storage_bits stored = {};
    std::size_t memory_bytes = 0;
    double nominal_bits = 0.0;
    double stored_bits = 0.0;
    double clip_share = 0.0;
    error_stats weight_error = {};
    std::optional<error_stats> output_error = {};

    void add(const layer_report& layer) {
        const auto before = static_cast<double>(parameters);
        const auto share = static_cast<double>(layer.parameters());
        parameters += layer.parameters();
        if (parameters > 0) {
            const auto all = static_cast<double>(parameters);
            nominal_bits = (before * nominal_bits + share * layer.nominal_bits()) / all;
            clip_share = (before * clip_share + share * layer.clip_share) / all;
        }
        stored_bytes += layer.stored_bytes;
        stored.add(layer.stored);
        memory_bytes += layer.memory_bytes;
        stored_bits = parameters == 0 ? 0.0 : 8.0 * static_cast<double>(stored_bytes) / static_cast<double>(parameters);
        weight_error.merge(layer.weight_error);
        if (layer.output_error) {
            output_error = output_error.value_or(error_stats{});
            output_error->merge(*layer.output_error);
        }
    }
};

struct model_report {
    std::string recipe = {};
    std::vector<layer_report> layers = {};
    double captured_energy = 0.0;  ///< of a split residual stream: the share of its leading directions
    double calibration_seconds = 0.0;
    double seconds = 0.0;  ///< all of apply, calibration included
};

/// The sums over the quantized sites, or over all sites where none is quantized (fp32).
[[nodiscard]] inline totals totals_of(const model_report& report) {
    totals quantized_sites;
    totals all_sites;
    for (const layer_report& layer : report.layers) {
        all_sites.add(layer);
        if (layer.weights.bits != 32) {
            quantized_sites.add(layer);
        }
    }
    return quantized_sites.parameters > 0 ? quantized_sites : all_sites;
}

[[nodiscard]] inline std::size_t fallbacks_of(const model_report& report) {
    std::size_t count = 0;
    for (const layer_report& layer : report.layers) {
        count += layer.fallback.empty() ? 0U : 1U;
    }
    return count;
}

/// Stored bits per parameter of the whole model: all its sites, and what is no site (embedding, norms, biases).
[[nodiscard]] inline double model_bits_stored(const model_report& report, std::size_t other_parameters,
                                              std::size_t other_bytes) {
    std::size_t parameters = other_parameters;
    std::size_t bytes = other_bytes;
    for (const layer_report& layer : report.layers) {
        parameters += layer.parameters();
        bytes += layer.stored_bytes;
    }
    return parameters == 0 ? 0.0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::report
