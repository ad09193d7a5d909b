// SPDX-License-Identifier: MIT
/// @file
/// Recipes by their names.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"
#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/allocation_rule.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/recipe.hpp"
#include "quell/quant/recipe_options.hpp"
#include "quell/quant/recipe_parts.hpp"
#include "quell/quant/tuning_rule.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace quell::quant {
inline namespace QUELL_BASELINE {
namespace detail {

/// squeeze10[-magnitude|-hessian|-compensated|-two-stage][-g32|-g128][-weights], or nothing: by which score the columns
/// are chosen (else pbar), or whether binarization starts from codes of 4 bits, groups of the signs (else 64), and
/// whether activations keep 16 bits.
[[nodiscard]] inline std::optional<recipe> squeezed_named(std::string_view name) {
    const std::pair<std::string_view, rounding::staged> solvers[] = {
        {"", {}},
        {"-magnitude", {.by = rounding::salience::magnitude}},
        {"-hessian", {.by = rounding::salience::hessian}},
        {"-compensated", {.by = rounding::salience::pbar_compensated}},
        {"-two-stage", {.first = rounding::first_stage::gptq}}};
    for (const auto& [solver_name, solver] : solvers) {
        for (const auto& [group_name, group] :
             {std::pair<std::string_view, std::size_t>{"", 64}, {"-g32", 32}, {"-g128", 128}}) {
            for (const bool weights : {false, true}) {
                const std::string own =
                    "squeeze10" + std::string(solver_name) + std::string(group_name) + (weights ? "-weights" : "");
                if (own == name) {
                    recipe found = squeezed(group);
                    found.solver = {solver};
                    found.activations = weights ? weight_only : found.activations;
                    return found;
                }
            }
        }
    }
    return std::nullopt;
}

/// pb-llm-<percent> keeps so many percent of the single weights in 8 bits, 1 ... 99; or nothing.
[[nodiscard]] inline std::optional<recipe> pb_llm_named(std::string_view name) {
    constexpr std::string_view prefix = "pb-llm-";
    const std::string_view percent = name.starts_with(prefix) ? name.substr(prefix.size()) : std::string_view();
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (percent.empty() || percent.size() > 2 || percent.front() == '0' ||
        !std::all_of(percent.begin(), percent.end(), is_digit)) {
        return std::nullopt;
    }
    const double share = std::stoi(std::string(percent)) / 100.0;
    return simulated_binary({rounding::masked_binary{.share = share}}, 128);
}

struct named_recipe {
    std::string_view name;
    recipe (*make)(const recipe_options&);
};

/// All recipes, one entry each.
inline constexpr named_recipe all_recipes[] = {
    {"fp32", [](const recipe_options&) { return recipe{}; }},
    {"absmax-w8a8", [](const recipe_options&) { return plain(int8_rows, {}); }},
    {"absmax-w4a8-g128", [](const recipe_options&) { return plain(int4_groups(128, scale_type::f32), {}); }},
    {"absmax-w4a8-g32", [](const recipe_options&) { return plain(int4_groups(32, scale_type::f32), {}); }},
    {"static-w8a8", [](const recipe_options&) { return searched(int8_rows, int8_static); }},
    {"dynamic-w8a8", [](const recipe_options&) { return searched(int8_rows, int8_dynamic); }},
    {"qfem-w8a8", [](const recipe_options&) { return exempting(searched(int8_rows, int8_static)); }},
    {"qfep-w8a8", [](const recipe_options&) { return prefixed(searched(int8_rows, int8_static)); }},
    {"qfem-qfep-w8a8", [](const recipe_options&) { return exempting(prefixed(searched(int8_rows, int8_static))); }},
    {"rtn-w8a8", [](const recipe_options&) { return searched(int8_rows, {}); }},
    {"rtn-w4a8-g128", [](const recipe_options&) { return searched(int4_groups(128, scale_type::f16), {}); }},
    {"rtn-w4a8-g32", [](const recipe_options&) { return searched(int4_groups(32, scale_type::f16), {}); }},
    {"gptq-w4a8-g128",
     [](const recipe_options&) { return with_gptq(searched(int4_groups(128, scale_type::f16), {})); }},
    {"rtn-w4a4", [](const recipe_options&) { return searched(int4_rows, int4_tokens); }},
    {"smoothquant-w8a8", [](const recipe_options& o) { return smoothed(searched(int8_rows, int8_zeros), o); }},
    {"smoothquant-w8a7", [](const recipe_options& o) { return smoothed(searched(int8_rows, int7_zeros), o); }},
    {"smoothquant-static-w8a8", [](const recipe_options& o) { return smoothed(searched(int8_rows, int8_static), o); }},
    {"smoothquant-w4a4", [](const recipe_options& o) { return smoothed(searched(int4_rows, int4_tokens), o); }},
    {"quarot-w4a4", [](const recipe_options& o) { return with_gptq(rotated(searched(int4_rows, int4_fitted), o)); }},
    {"smoothrot-w4a4",
     [](const recipe_options& o) { return with_gptq(smoothed_and_rotated(searched(int4_rows, int4_fitted), o)); }},
    {"hybrid-w4a4", [](const recipe_options& o) { return with_gptq(hybrid(searched(int4_rows, int4_fitted), o)); }},
    {"hybrid-w4a8", [](const recipe_options& o) { return with_gptq(hybrid(searched(int4_rows, {}), o)); }},
    {"hybrid-w8a8", [](const recipe_options& o) { return hybrid(searched(int8_rows, {}), o); }},
    {"hybrid-w8a7", [](const recipe_options& o) { return hybrid(searched(int8_rows, int7_zeros), o); }},
    {"quad-w4a4", quad_w4a4},
    {"quad-w4a4a8", quad_w4a4a8},
    {"quad-w4a4-tuned", [](const recipe_options& o) { return tuned(quad_w4a4(o)); }},
    {"quad-w4a4a8-tuned", [](const recipe_options& o) { return tuned(quad_w4a4a8(o)); }},
    {"squeeze10", [](const recipe_options&) { return squeezed(); }},
    {"billm", [](const recipe_options&) { return simulated_binary({rounding::billm{}}, 128); }},
    {"auto-transform-w4a4",
     [](const recipe_options& o) { return with_gptq(chosen(searched(int4_rows, int4_fitted), o)); }},
};

/// Recipes that differ in bits, group and activations only: <family>-w<bits>[a8]-g<group>, with 2, 3, 4 or 8 bits and
/// groups of 32, 64 or 128. Without a8 they are weight-only.
struct recipe_family {
    std::string_view name;
    std::string_view member;  ///< that stands for it in recipe_names()
    recipe (*make)(int bits, std::size_t group);
};

inline constexpr recipe_family all_families[] = {
    {"rtn", "rtn-w4-g64",
     [](int bits, std::size_t group) { return solved_by(plain_groups(bits, group), {rounding::rtn{}}); }},
    {"hqq", "hqq-w4-g64",
     [](int bits, std::size_t group) { return solved_by(real_groups(bits, group), {rounding::hqq{}}); }},
    {"awq", "awq-w4-g64",
     [](int bits, std::size_t group) {
         return with_activation_scales(solved_by(zero_groups(bits, group), {rounding::awq{}}));
     }},
    {"imatrix", "imatrix-w4-g64",
     [](int bits, std::size_t group) { return solved_by(real_groups(bits, group), {rounding::imatrix{}}); }},
    {"gptq", "gptq-w4-g64",
     [](int bits, std::size_t group) { return with_gptq(solved_by(plain_groups(bits, group), {})); }},
    {"gptq-fit", "gptq-fit-w4-g64",
     [](int bits, std::size_t group) { return solved_by(real_groups(bits, group), {fitted_gptq()}); }},
};

/// Of each way to spread bits one member, for recipe_names().
inline constexpr std::string_view all_allocations[] = {"mxq-3.25", "sensiboost-3.13-s2-m2", "kurtboost-3.13-s2-m2",
                                                       "auto-4.5"};

/// The member of a family that has this name, or nothing.
[[nodiscard]] inline std::optional<recipe> member_named(const recipe_family& family, std::string_view name) {
    for (const int bits : {2, 3, 4, 8}) {
        for (const std::size_t group : {32U, 64U, 128U}) {
            for (const activation_scheme& activations : {weight_only, activation_scheme{}}) {
                const std::string own = std::string(family.name) + "-w" + std::to_string(bits) +
                                        (activations.bits == 8 ? "a8" : "") + "-g" + std::to_string(group);
                if (own == name) {
                    recipe member = family.make(bits, group);
                    member.activations = activations;
                    return member;
                }
            }
        }
    }
    return std::nullopt;
}

}  // namespace detail

/// All recipes, but of each family one member.
[[nodiscard]] inline std::vector<std::string_view> recipe_names() {
    std::vector<std::string_view> names;
    for (const detail::named_recipe& entry : detail::all_recipes) {
        names.push_back(entry.name);
    }
    for (const detail::recipe_family& family : detail::all_families) {
        names.push_back(family.member);
    }
    names.emplace_back("pb-llm-10");
    names.insert(names.end(), std::begin(detail::all_allocations), std::end(detail::all_allocations));
    return names;
}

namespace detail {

/// The recipe of exactly this name, or nothing.
[[nodiscard]] inline std::optional<recipe> recipe_named(std::string_view name, const recipe_options& options) {
    for (const named_recipe& entry : all_recipes) {
        if (entry.name == name) {
            return entry.make(options);
        }
    }
    for (const recipe_family& family : all_families) {
        if (auto member = member_named(family, name)) {
            return member;
        }
    }
    auto squeezed = squeezed_named(name);
    return squeezed ? std::move(squeezed) : pb_llm_named(name);
}

/// Where a rule spreads bits over the linears: the base of a boost everywhere, before anything is decided.
[[nodiscard]] inline recipe allocating(const allocation_rule& rule, const recipe_options& o) {
    if (rule.goal == allocation_goal::whole_model) {
        recipe base = with_gptq(chosen(searched(int4_rows, {}), o));
        base.allocation = rule;
        return base;
    }
    return {.name = {},
            .weights = ladder_form(alloc::boost_ladder[rule.base]),
            .activations = weight_only,
            .solver = {rounding::hqq{}},
            .allocation = rule};
}

/// A recipe that solves by GPTQ, by its name and "-gptq", or rounding to nearest instead, by its name and "-rtn".
[[nodiscard]] inline std::optional<recipe> variant_named(std::string_view name, const recipe_options& options) {
    const std::size_t dash = std::min(name.rfind('-'), name.size());
    const std::string_view solver = name.substr(dash);
    auto base = recipe_named(name.substr(0, dash), options);
    const bool by_gptq = base && std::holds_alternative<rounding::gptq>(base->solver.policy);
    if (!by_gptq || base->weights.zeros == zero_type::real || (solver != "-gptq" && solver != "-rtn")) {
        return std::nullopt;
    }
    base->solver = solver == "-rtn" ? any_solver{rounding::rtn{}} : base->solver;
    return base;
}

/// Any recipe with "qfem-", "qfep-" or "qfem-qfep-" in front.
[[nodiscard]] inline std::optional<recipe> guarded_named(std::string_view name, const recipe_options& options) {
    constexpr std::string_view exemption = "qfem-";
    constexpr std::string_view prefix = "qfep-";
    const bool exempts = name.starts_with(exemption);
    name.remove_prefix(exempts ? exemption.size() : 0);
    const bool finds = name.starts_with(prefix);
    name.remove_prefix(finds ? prefix.size() : 0);
    auto base = recipe_named(name, options);
    base = base ? std::move(base) : variant_named(name, options);
    if ((!exempts && !finds) || !base || base->is_float() || base->tuning.steps > 0) {
        return std::nullopt;
    }
    base->exempts_spikes = base->exempts_spikes || exempts;
    base->finds_prefix = base->finds_prefix || finds;
    return base;
}

/// Any name that says how weights are rounded.
[[nodiscard]] inline std::optional<recipe> any_named(std::string_view name, const recipe_options& options) {
    auto found = recipe_named(name, options);
    found = found ? std::move(found) : variant_named(name, options);
    found = found ? std::move(found) : guarded_named(name, options);
    if (const auto rule = allocation_named(name); !found && rule) {
        found = allocating(*rule, options);
    }
    return found;
}

/// Any of those with "-propagated" behind it.
[[nodiscard]] inline std::optional<recipe> propagated_named(std::string_view name, const recipe_options& options) {
    constexpr std::string_view suffix = "-propagated";
    if (!name.ends_with(suffix)) {
        return std::nullopt;
    }
    auto base = any_named(name.substr(0, name.size() - suffix.size()), options);
    if (!base || base->is_float()) {
        return std::nullopt;
    }
    base->calibration.inputs = rounding::calibration_inputs::propagated;
    return base;
}

/// Any of all these with "-tuned" or "-qat" behind it, but those with a prefix, behind which nothing is tuned.
[[nodiscard]] inline std::optional<recipe> tuned_named(std::string_view name, const recipe_options& options) {
    const std::string_view untuned = without_tuning(name);
    if (untuned == name) {
        return std::nullopt;
    }
    auto base = any_named(untuned, options);
    base = base ? std::move(base) : propagated_named(untuned, options);
    if (!base || base->is_float() || base->finds_prefix || base->tuning.steps > 0) {
        return std::nullopt;
    }
    return tuned(*std::move(base), name.ends_with(ending_of(default_training)) ? default_training : default_tuning);
}

}  // namespace detail

/// A name of recipe_names(), another member of one of its families (<family>-w<bits>[a8]-g<group>, those of
/// allocation_named), the name of a recipe that solves by GPTQ with "-gptq" or "-rtn" behind it, or any of these with
/// "qfem-", "qfep-" or both in front, or "-propagated", one of "-tuned" and "-qat", or both behind.
///
/// Errors   errc::not_found, with the names that exist; errc::bad_value for an option out of range.
[[nodiscard]] inline result<recipe> find_recipe(std::string_view name, const recipe_options& options = {}) {
    if (options.alpha && !(*options.alpha >= 0.0F && *options.alpha <= 1.0F)) {
        return error{errc::bad_value, "alpha " + std::to_string(*options.alpha) + " is not in 0 ... 1"};
    }
    auto found = detail::any_named(name, options);
    found = found ? std::move(found) : detail::propagated_named(name, options);
    found = found ? std::move(found) : detail::tuned_named(name, options);
    if (found) {
        found->name = name;
        return *std::move(found);
    }
    std::string known;
    for (const std::string_view other : recipe_names()) {
        known += (known.empty() ? "" : ", ") + std::string(other);
    }
    return error{errc::not_found, "unknown recipe '" + std::string(name) + "'; known are " + known};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
