// SPDX-License-Identifier: MIT
/// @file
/// The report as JSON, keys in a fixed order: the same model, recipe and build give the same text but for the seconds.
#pragma once

#include "quell/core/target.hpp"
#include "quell/report/error_stats.hpp"
#include "quell/report/json_fields.hpp"
#include "quell/report/layer_report.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <utility>

namespace quell::report {
inline namespace QUELL_BASELINE {

[[nodiscard]] inline nlohmann::ordered_json to_json(const error_stats& stats) {
    json_writer visit;
    visit("count", stats.count);
    visit("max", stats.max);
    visit("mean_square", stats.mean_square());
    visit("relative", stats.relative());
    visit("snr_db", stats.snr_db());
    return std::move(visit).finish();
}

namespace detail {

template <typename Part>  // layer_report or totals
void add_errors(nlohmann::ordered_json& object, const Part& part) {
    object["weight_error"] = to_json(part.weight_error);
    object["output_error"] = part.output_error ? to_json(*part.output_error) : nlohmann::ordered_json(nullptr);
}

}  // namespace detail

/// f(name, bits) for each part.
template <typename F>
void for_each_part(const storage_bits& stored, const F& f) {
    f("codes", stored.codes);
    f("scales", stored.scales);
    f("zeros", stored.zeros);
    f("order", stored.order);
    f("mask", stored.mask);
    f("online", stored.online);
    f("side", stored.side);
}

/// In bytes.
[[nodiscard]] inline nlohmann::ordered_json to_json(const storage_bits& stored) {
    json_writer visit;
    for_each_part(stored, [&](const char* name, std::size_t bits) { visit(name, static_cast<double>(bits) / 8.0); });
    return std::move(visit).finish();
}

[[nodiscard]] inline nlohmann::ordered_json to_json(const layer_report& layer) {
    totals sums;
    sums.add(layer);
    json_writer visit;
    visit("site", layer.site);
    visit("module", layer.module);
    visit("layer", layer.layer);
    visit("out_features", layer.out_features);
    visit("in_features", layer.in_features);
    visit("weights", describe(layer.weights));
    visit("activation_bits", layer.activation_bits);
    visit("weight_bits_nominal", layer.nominal_bits());
    visit("weight_bits_stored", sums.stored_bits);
    visit("stored_bytes", layer.stored_bytes);
    visit("memory_bytes", layer.memory_bytes);
    visit("transform", layer.transform);
    visit("scales_folded_into", layer.scales_folded_into);
    visit("online_reason", layer.online_reason);
    visit("solver", layer.solver);
    visit("fallback", layer.fallback);
    visit("reason", layer.reason);
    visit("score", layer.score);
    visit("flagged", layer.flagged);
    visit("clip_share", layer.clip_share);
    visit("seconds", layer.seconds);
    nlohmann::ordered_json object = std::move(visit).finish();
    object["stored"] = to_json(layer.stored);
    detail::add_errors(object, layer);
    return object;
}

[[nodiscard]] inline nlohmann::ordered_json to_json(const totals& sums) {
    json_writer visit;
    visit("parameters", sums.parameters);
    visit("weight_bits_nominal", sums.nominal_bits);
    visit("weight_bits_stored", sums.stored_bits);
    visit("stored_bytes", sums.stored_bytes);
    visit("memory_bytes", sums.memory_bytes);
    visit("clip_share", sums.clip_share);
    nlohmann::ordered_json object = std::move(visit).finish();
    object["stored"] = to_json(sums.stored);
    detail::add_errors(object, sums);
    return object;
}

[[nodiscard]] inline nlohmann::ordered_json to_json(const model_report& report) {
    json_writer visit;
    visit("recipe", report.recipe);
    visit("seconds", report.seconds);
    visit("captured_energy", report.captured_energy);
    visit("calibration_seconds", report.calibration_seconds);
    visit("fallbacks", fallbacks_of(report));
    nlohmann::ordered_json object = std::move(visit).finish();
    object["totals"] = to_json(totals_of(report));
    object["layers"] = nlohmann::ordered_json::array();
    for (const layer_report& layer : report.layers) {
        object["layers"].push_back(to_json(layer));
    }
    return object;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::report
