// SPDX-License-Identifier: MIT
/// @file
/// The plan as JSON that people can edit: what is written reads back the same, what is left out keeps its default, and
/// what is not understood is an error with its path.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/io/json.hpp"
#include "quell/model/names.hpp"
#include "quell/model/plan.hpp"
#include "quell/report/json_fields.hpp"

#include <nlohmann/json.hpp>

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace quell::quant {
inline namespace QUELL_BASELINE {

namespace detail {

template <typename Visit, typename Policy>
void options(Visit&, Policy&) {}  // a policy without options

template <typename Visit, typename Policy>
requires(std::same_as<std::remove_const_t<Policy>, smooth> || std::same_as<std::remove_const_t<Policy>, balance> ||
         std::same_as<std::remove_const_t<Policy>, activation_scale>) void options(Visit& visit, Policy& policy) {
    visit("alpha", policy.alpha);
}

template <typename Visit, typename Policy>
requires(std::same_as<std::remove_const_t<Policy>, rotate>) void options(Visit& visit, Policy& policy) {
    visit("reach", policy.reach);
}

template <typename Visit, typename Policy>
requires(std::same_as<std::remove_const_t<Policy>, smooth_rotate> ||
         std::same_as<std::remove_const_t<Policy>, balance_rotate>) void options(Visit& visit, Policy& policy) {
    visit("alpha", policy.alpha);
    visit("reach", policy.reach);
}

template <typename Visit, typename Clip>
void clip_options(Visit& visit, Clip& clip) {
    visit("clip_norm", clip.norm);
    visit("clip_grid", clip.grid);
    visit("clip_candidates", clip.candidates);
}

template <typename Visit, typename Fit>
void fit_options(Visit& visit, Fit& fit) {
    visit("fit_candidates", fit.candidates);
    visit("fit_lines", fit.lines);
}

template <typename Visit, typename Policy>
requires(std::same_as<std::remove_const_t<Policy>, rounding::rtn>) void options(Visit& visit, Policy& policy) {
    clip_options(visit, policy.clip);
}

template <typename Visit, typename Policy>
requires(std::same_as<std::remove_const_t<Policy>, rounding::gptq>) void options(Visit& visit, Policy& policy) {
    clip_options(visit, policy.clip);
    visit("clip_weighting", policy.weighting);
    visit("damping", policy.hessian.damping);
    visit("activation_noise", policy.hessian.activation_noise);
    visit("column_order", policy.hessian.order);
    fit_options(visit, policy.fit);
    visit("static_groups", policy.static_groups);
    visit("block", policy.block);
}

template <typename Visit, typename Policy>
requires(std::same_as<std::remove_const_t<Policy>, rounding::hqq>) void options(Visit& visit, Policy& policy) {
    visit("iterations", policy.iterations);
    visit("beta", policy.beta);
    visit("kappa", policy.kappa);
}

template <typename Visit, typename Policy>
requires(std::same_as<std::remove_const_t<Policy>, rounding::awq>) void options(Visit& visit, Policy& policy) {
    visit("clip_grid", policy.grid);
    visit("clip_candidates", policy.candidates);
}

template <typename Visit, typename Policy>
requires(std::same_as<std::remove_const_t<Policy>, rounding::imatrix>) void options(Visit& visit, Policy& policy) {
    fit_options(visit, policy.fit);
}

template <typename Visit, typename Policy>
requires(std::same_as<std::remove_const_t<Policy>, rounding::staged>) void options(Visit& visit, Policy& policy) {
    visit("high", policy.high);
    visit("share", policy.share);
    visit("salience", policy.by);
    visit("first_stage", policy.first);
    visit("rounds", policy.rounds);
    visit("damping", policy.damping);
    clip_options(visit, policy.clip);
}

template <typename Visit, typename Policy>
requires(std::same_as<std::remove_const_t<Policy>, rounding::masked_binary>) void options(Visit& visit,
                                                                                          Policy& policy) {
    visit("high", policy.high);
    visit("share", policy.share);
    visit("salience", policy.by);
    visit("damping", policy.damping);
}

template <typename Visit, typename Policy>
requires(std::same_as<std::remove_const_t<Policy>, rounding::billm>) void options(Visit& visit, Policy& policy) {
    visit("most_columns", policy.most_columns);
    visit("damping", policy.damping);
}

template <typename... Policies>
void policy_fields(report::json_writer& visit, const std::variant<Policies...>& chosen) {
    std::visit(
        [&](const auto& policy) {
            visit("kind", std::string(policy.name));
            options(visit, policy);
        },
        chosen);
}

template <typename... Policies>
void policy_fields(report::json_reader& visit, std::variant<Policies...>& chosen) {
    std::string kind;
    visit("kind", kind);
    const auto choose = [&]<typename Policy>(std::type_identity<Policy>) {
        return kind == Policy::name && (chosen.template emplace<Policy>(), true);
    };
    if (!(choose(std::type_identity<Policies>{}) || ...)) {
        std::string names;
        ((names += (names.empty() ? "" : ", ") + std::string(Policies::name)), ...);
        visit.refuse("kind", "one of " + names);
    }
    std::visit([&](auto& policy) { options(visit, policy); }, chosen);
}

}  // namespace detail

template <typename Visit, typename Any>
requires(std::same_as<std::remove_const_t<Any>, any_transform> ||
         std::same_as<std::remove_const_t<Any>, any_solver>) void fields(Visit& visit, Any& chosen) {
    detail::policy_fields(visit, chosen.policy);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant

namespace quell::rounding {
inline namespace QUELL_BASELINE {

template <typename Visit, typename Rule>
requires(std::same_as<std::remove_const_t<Rule>, calibration_rule>) void fields(Visit& visit, Rule& rule) {
    visit("inputs", rule.inputs);
    visit("strength", rule.strength);
    visit("damping", rule.damping);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding

namespace quell::model {
inline namespace QUELL_BASELINE {

template <typename Visit, typename Plan>
requires(std::same_as<std::remove_const_t<Plan>, input_plan>) void fields(Visit& visit, Plan& decided) {
    visit("name", decided.name);
    visit("transform", decided.transform);
    visit("candidates", decided.candidates);
    visit("target", decided.target);
    visit("folded_into", decided.folded_into);
    visit("reason", decided.reason);
}

template <typename Visit, typename Plan>
requires(std::same_as<std::remove_const_t<Plan>, site_plan>) void fields(Visit& visit, Plan& decided) {
    visit("name", decided.name);
    visit("weights", decided.weights);
    visit("activations", decided.activations);
    visit("solver", decided.solver);
    visit("fallback", decided.fallback);
    visit("reason", decided.reason);
    visit("score", decided.score);
    visit("flagged", decided.flagged);
}

template <typename Visit, typename Plan>
requires(std::same_as<std::remove_const_t<Plan>, table_plan>) void fields(Visit& visit, Plan& decided) {
    visit("weights", decided.weights);
    visit("activations", decided.activations);
    visit("transform", decided.transform);
    visit("solver", decided.solver);
    visit("reason", decided.reason);
}

namespace detail {

inline constexpr int plan_version = 2;

struct plan_file {
    int version = 0;
    plan content;
};

template <typename Visit, typename File>
requires(std::same_as<std::remove_const_t<File>, plan_file>) void fields(Visit& visit, File& file) {
    visit("quell_plan", file.version);
    visit("recipe", file.content.recipe);
    visit("stream", file.content.stream);
    visit("split_rank", file.content.split_rank);
    visit("tuning", file.content.tuning);
    visit("prefix", file.content.prefix);
    visit("inputs", file.content.inputs);
    visit("sites", file.content.sites);
    visit("tables", file.content.tables);
    visit("calibration", file.content.calibration);
}

}  // namespace detail

[[nodiscard]] inline nlohmann::ordered_json to_json(const plan& decided) {
    report::json_writer visit;
    visit("quell_plan", detail::plan_version);
    visit("recipe", decided.recipe);
    visit("stream", decided.stream);
    visit("split_rank", decided.split_rank);
    visit("tuning", decided.tuning);
    visit("prefix", decided.prefix);
    visit("inputs", decided.inputs);
    visit("sites", decided.sites);
    visit("tables", decided.tables);
    visit("calibration", decided.calibration);
    return std::move(visit).finish();
}

/// Text as a file holds it, two spaces a level.
[[nodiscard]] inline std::string to_text(const plan& decided) {
    return to_json(decided).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

/// Reads what to_text() wrote, perhaps edited. Whether it fits a model, check(plan, graph) says.
///
/// Errors   errc::bad_format, naming `file` and the path: no JSON, unknown or repeated keys, wrong types, unknown
/// words.
[[nodiscard]] inline result<plan> plan_from_text(std::string_view text, const std::string& file) {
    QUELL_TRY(const nlohmann::json document, io::parse_json(text, file));
    detail::plan_file read;
    report::json_reader visit(document, file);
    fields(visit, read);
    QUELL_TRY_VOID(visit.finish());
    if (read.version != detail::plan_version) {
        return error{errc::unsupported, file + ": quell_plan is " + std::to_string(read.version) +
                                            ", this version reads " + std::to_string(detail::plan_version)};
    }
    return std::move(read.content);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
