// SPDX-License-Identifier: MIT
/// @file
/// Whether a plan can be carried out on a model, and what keeps a scale or a rotation from being folded there.
#pragma once

#include "quell/core/graph.hpp"
#include "quell/core/result.hpp"
#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"
#include "quell/model/plan.hpp"
#include "quell/packing/layout.hpp"
#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/any_quantizer.hpp"

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// Why a per-channel scale of this input cannot go into the norm gain in front of it; empty: it can.
///
/// A gain that feeds two inputs would change both, and a weight whose storage a site of another input shares cannot be
/// scaled for one of them alone: folding there would happen twice.
[[nodiscard]] inline std::string fold_obstacle(const graph& g, std::size_t input) {
    const input_point& point = g.inputs[input];
    if (point.kind != producer_kind::norm_gain) {
        return "no norm gain stands in front of it";
    }
    for (std::size_t other = 0; other < g.inputs.size(); ++other) {
        const input_point& rival = g.inputs[other];
        if (other != input && rival.kind == producer_kind::norm_gain && rival.producer == point.producer) {
            return "the gain " + point.producer + " also feeds " + rival.name;
        }
    }
    for (const std::size_t reader : g.readers_of(input)) {
        for (const site& other : g.sites) {
            if (other.input != input && !other.storage.empty() && other.storage == g.sites[reader].storage) {
                return g.sites[reader].name + " shares its weight with " + other.name;
            }
        }
    }
    return {};
}

/// Why a per-channel scale of this input cannot go into the rows of a linear in front of it; empty: it can.
///
/// Behind grouped-query attention the scale would be the same for all heads that share a value; so it stays online.
[[nodiscard]] inline std::string producer_obstacle(const graph& g, std::size_t input) {
    const input_point& point = g.inputs[input];
    if (point.kind != producer_kind::product) {
        return "no product with a linear stands in front of it";
    }
    const std::size_t producer = g.site_named(point.producer);
    if (producer == g.sites.size() || g.sites[producer].out_features != point.features) {
        return point.producer + " is no linear of " + std::to_string(point.features) + " outputs";
    }
    if (g.sites[producer].input >= input) {
        return point.producer + " stands behind it";  // its own input must be decided later, so that it sees the scale
    }
    for (std::size_t other = 0; other < g.inputs.size(); ++other) {
        if (other != input && g.inputs[other].producer == point.producer) {
            return point.producer + " also feeds " + g.inputs[other].name;
        }
    }
    for (std::size_t s = 0; s < g.sites.size(); ++s) {
        if (s != producer && !g.sites[s].storage.empty() && g.sites[s].storage == g.sites[producer].storage) {
            return point.producer + " shares its weight with " + g.sites[s].name;
        }
    }
    return {};
}

/// Why the residual stream of this model cannot be rotated; empty: it can.
[[nodiscard]] inline std::string rotation_obstacle(const graph& g) {
    if (g.stream.empty()) {
        return "the engine does not name embedding, head and final norm";
    }
    for (const input_point& point : g.inputs) {
        if (point.reads_residual && (point.kind != producer_kind::norm_gain || point.features != g.stream.width)) {
            return point.name + " reads it without a norm gain, or in another width";
        }
    }
    for (const site& s : g.sites) {
        if (s.writes_residual && s.out_features != g.stream.width) {
            return s.name + " writes " + std::to_string(s.out_features) + " of its " + std::to_string(g.stream.width) +
                   " channels";
        }
    }
    return {};
}

namespace detail {

template <typename Named>
[[nodiscard]] result<void> check_names(const std::vector<Named>& things, const char* what) {
    std::set<std::string_view> seen;
    for (const Named& thing : things) {
        if (thing.name.empty() || !seen.insert(thing.name).second) {
            return error{errc::bad_format, std::string(what) + " '" + thing.name + "' has no name or has it twice"};
        }
    }
    return {};
}

/// Every name of the graph is planned, in the same place, and nothing else is.
template <typename Planned, typename Named>
[[nodiscard]] result<void> check_match(const std::vector<Planned>& planned, const std::vector<Named>& things,
                                       const char* what) {
    const auto name_at = [](const auto& list, std::size_t i) { return i < list.size() ? list[i].name : "nothing"; };
    for (std::size_t i = 0; i < std::max(planned.size(), things.size()); ++i) {
        const std::string wanted = name_at(things, i);
        const std::string found = name_at(planned, i);
        if (i >= planned.size() || i >= things.size() || wanted != found) {
            std::string message = "plan: ";
            message.append(what).append(" ").append(std::to_string(i)).append(" is ").append(found);
            return error{errc::bad_format, message.append(", the model has ").append(wanted).append(" there")};
        }
    }
    return {};
}

[[nodiscard]] inline result<void> check_options(const quant::any_transform& transform) {
    const float alpha = std::visit(
        [](const auto& policy) {
            if constexpr (requires { policy.alpha; }) {
                return policy.alpha;
            } else {
                return 0.0F;
            }
        },
        transform.policy);
    if (!(alpha >= 0.0F && alpha <= 1.0F)) {
        return error{errc::bad_value, "alpha " + std::to_string(alpha) + " is not in 0 ... 1"};
    }
    return {};
}

[[nodiscard]] inline result<void> check_clip(const rounding::clip_search& clip) {
    if (clip.candidates < 1 || clip.candidates >= clip.grid || clip.grid > 1000) {
        return error{errc::bad_value, "a clip search of " + std::to_string(clip.candidates) +
                                          " candidates on a grid of " + std::to_string(clip.grid) +
                                          "; 1 ... grid - 1 and a grid of at most 1000 are possible"};
    }
    return {};
}

[[nodiscard]] inline result<void> check_gptq(const rounding::gptq& solver, const scheme& form) {
    for (const double share : {solver.hessian.damping, solver.hessian.activation_noise}) {
        if (!(share >= 0.0 && share <= 1000.0)) {
            return error{errc::bad_value, "a damping or an activation noise of " + std::to_string(share) +
                                              " times the mean is not in 0 ... 1000"};
        }
    }
    if (solver.block == 0) {
        return error{errc::bad_value, "a block without columns"};
    }
    return solver.check_order(form);
}

[[nodiscard]] inline result<void> check_hqq(const rounding::hqq& solver, const scheme& form) {
    if (solver.iterations < 0 || solver.iterations > 1000 || !(solver.beta > 0.0F) || !(solver.kappa >= 1.0F)) {
        return error{errc::bad_value, "hqq takes 0 ... 1000 iterations, a beta above 0 and a kappa of at least 1"};
    }
    return rounding::check_real_form(form);
}

[[nodiscard]] inline result<void> check_fit(const rounding::weighted_fit& fit) {
    if (fit.candidates < 1 || fit.candidates > 25 || fit.lines < 1 || fit.lines > 100) {
        return error{errc::bad_value, "a fit takes 1 ... 25 candidates and 1 ... 100 lines"};
    }
    return {};
}

[[nodiscard]] inline bool is_damping(double damping) {
    return damping >= 0.0 && damping <= 1000.0;
}

[[nodiscard]] inline result<void> check_staged(const rounding::staged& solver, const scheme& form) {
    if (!(solver.share >= 0.0 && solver.share <= 1.0) || solver.rounds < 0 || solver.rounds > 100 ||
        !is_damping(solver.damping)) {
        return error{errc::bad_value, "staged takes a share in 0 ... 1, 0 ... 100 rounds and a damping in 0 ... 1000"};
    }
    QUELL_TRY_VOID(rounding::check_integer_form(solver.high));
    QUELL_TRY_VOID(check_clip(solver.clip));
    return rounding::check_binary_form(form);
}

[[nodiscard]] inline result<void> check_masked(const rounding::masked_binary& solver, const scheme& form) {
    if (!(solver.share >= 0.0 && solver.share <= 1.0) || !is_damping(solver.damping)) {
        return error{errc::bad_value, "masked-binary takes a share in 0 ... 1 and a damping in 0 ... 1000"};
    }
    QUELL_TRY_VOID(rounding::check_integer_form(solver.high));
    return rounding::check_binary_form(form);
}

[[nodiscard]] inline result<void> check_billm(const rounding::billm& solver, const scheme& form) {
    if (solver.most_columns == 0 || !is_damping(solver.damping)) {
        return error{errc::bad_value, "billm takes at least one salient column and a damping in 0 ... 1000"};
    }
    return rounding::check_binary_form(form);
}

[[nodiscard]] inline result<void> check_options(const quant::any_solver& solver, const scheme& form) {
    if (const auto* gptq = std::get_if<rounding::gptq>(&solver.policy)) {
        QUELL_TRY_VOID(check_clip(gptq->clip));
        QUELL_TRY_VOID(check_fit(gptq->fit));
        return check_gptq(*gptq, form);
    }
    if (const auto* hqq = std::get_if<rounding::hqq>(&solver.policy)) {
        return check_hqq(*hqq, form);
    }
    if (const auto* awq = std::get_if<rounding::awq>(&solver.policy)) {
        return check_clip({.grid = awq->grid, .candidates = awq->candidates});
    }
    if (const auto* imatrix = std::get_if<rounding::imatrix>(&solver.policy)) {
        QUELL_TRY_VOID(check_fit(imatrix->fit));
        return rounding::check_real_form(form);
    }
    if (const auto* staged = std::get_if<rounding::staged>(&solver.policy)) {
        return check_staged(*staged, form);
    }
    if (const auto* masked = std::get_if<rounding::masked_binary>(&solver.policy)) {
        return check_masked(*masked, form);
    }
    if (const auto* billm = std::get_if<rounding::billm>(&solver.policy)) {
        return check_billm(*billm, form);
    }
    if (std::holds_alternative<rounding::binary>(solver.policy)) {
        return rounding::check_binary_form(form);
    }
    return check_clip(std::get<rounding::rtn>(solver.policy).clip);
}

/// What keeps the change of an input from going where the plan wants it; empty: nothing.
[[nodiscard]] inline std::string obstacle_to(scale_target target, const graph& g, std::size_t input) {
    switch (target) {
        case scale_target::gain: return fold_obstacle(g, input);
        case scale_target::producer: return producer_obstacle(g, input);
        default: return {};
    }
}

[[nodiscard]] inline result<void> check_input(const graph& g, std::size_t index, const plan& all) {
    const input_plan& decided = all.inputs[index];
    const bool unchanged =
        decided.candidates.empty() && std::holds_alternative<quant::no_transform>(decided.transform.policy);
    if (unchanged != (decided.target == scale_target::none)) {
        return error{errc::bad_format, unchanged ? "a target, but no transform" : "a transform without a target"};
    }
    const bool in_turned_stream = all.stream != stream_basis::original && g.inputs[index].reads_residual;
    if (in_turned_stream != (decided.target == scale_target::stream)) {
        return error{errc::bad_format, in_turned_stream ? "it reads the rotated stream and its target is not 'stream'"
                                                        : "its target is a rotated stream, which it does not read"};
    }
    if (in_turned_stream && !std::holds_alternative<quant::rotate>(decided.transform.policy)) {
        return error{errc::unsupported, "in a rotated stream the transform is 'rotate'"};
    }
    if (const std::string obstacle = obstacle_to(decided.target, g, index); !obstacle.empty()) {
        return error{errc::unsupported, "its scale cannot be folded: " + obstacle};
    }
    const bool folds = decided.target == scale_target::gain || decided.target == scale_target::producer;
    if (folds && decided.folded_into != g.inputs[index].producer) {
        return error{errc::bad_format,
                     "its scale folds into " + g.inputs[index].producer + ", not into '" + decided.folded_into + "'"};
    }
    for (const quant::any_transform& candidate : decided.candidates) {
        QUELL_TRY_VOID(check_options(candidate));
    }
    return check_options(decided.transform);
}

[[nodiscard]] inline result<void> check_calibration(const rounding::calibration_rule& rule) {
    if (!(rule.strength >= 0.0 && rule.strength <= 1.0) || !(rule.damping >= 0.0 && rule.damping <= 1000.0)) {
        return error{errc::bad_value, "plan: calibration takes a strength in 0 ... 1 and a damping in 0 ... 1000"};
    }
    return {};
}

[[nodiscard]] inline result<void> check_stream(const plan& decided, const graph& g) {
    const std::string obstacle = decided.stream == stream_basis::original ? std::string() : rotation_obstacle(g);
    if (!obstacle.empty()) {
        return error{errc::unsupported, "plan: the residual stream cannot be rotated: " + obstacle};
    }
    const bool is_split = decided.stream == stream_basis::split;
    if (is_split ? decided.split_rank == 0 || decided.split_rank >= g.stream.width : decided.split_rank != 0) {
        return error{errc::bad_value, "plan: split_rank is " + std::to_string(decided.split_rank) + "; a stream of " +
                                          std::to_string(g.stream.width) +
                                          " channels can be split at 1 and more, less than all; others at 0"};
    }
    return {};
}

/// What comes from the statistics of single channels says nothing of what a rotation mixes: a scale for the whole
/// tensor, the importance of columns.
[[nodiscard]] inline result<void> check_static(const site_plan& decided, const input_plan& input) {
    const bool rotates = std::any_of(input.candidates.begin(), input.candidates.end(),
                                     [](const quant::any_transform& t) { return t.rotates(); });
    if (decided.activations.needs_scale() && (rotates || input.transform.rotates())) {
        return error{errc::unsupported, "a static activation scale behind a rotation"};
    }
    if (!decided.is_float() && decided.solver.needs_importance() && (rotates || input.transform.rotates())) {
        return error{errc::unsupported, "the importance of channels that a rotation mixes"};
    }
    return {};
}

[[nodiscard]] inline result<void> check_site(const site& s, const site_plan& decided) {
    QUELL_TRY_VOID(quant::check(decided.activations));
    const bool runs_in_float = decided.is_float() || decided.solver.simulates();
    if (runs_in_float != decided.activations.is_float()) {
        return error{errc::unsupported, decided.is_float() == runs_in_float
                                            ? "weights and activations are both in float or both in integers"
                                            : "a simulated weight takes activations in float"};
    }
    if (decided.is_float()) {
        return {};
    }
    QUELL_TRY_VOID(quant::check_pair(decided.activations, decided.weights));
    QUELL_TRY_VOID(check_options(decided.solver, decided.weights));
    if (const auto* staged = std::get_if<rounding::staged>(&decided.solver.policy)) {
        QUELL_TRY_VOID(packing::panel_shape_of(staged->high, s.out_features, s.in_features));
    }
    QUELL_TRY_VOID(packing::panel_shape_of(decided.weights, s.out_features, s.in_features));
    return {};
}

/// Embedding and head, whose number of rows only the engine knows.
[[nodiscard]] inline result<void> check_tables(const plan& decided, const graph& g) {
    const table_plan& tables = decided.tables;
    if (tables.is_float()) {
        return {};
    }
    if (g.stream.empty() || decided.stream != stream_basis::original) {
        return error{errc::unsupported, g.stream.empty() ? "the engine names none" : "the residual stream is rotated"};
    }
    if (tables.activations.needs_calibration()) {
        return error{errc::unsupported, "activations of the head whose scale is still to be found"};
    }
    QUELL_TRY_VOID(check_options(tables.transform));
    return check_site(
        {.out_features = 1, .in_features = g.stream.width},
        {.name = {}, .weights = tables.weights, .activations = tables.activations, .solver = tables.solver});
}

[[nodiscard]] inline std::string named(const char* what, const std::string& name) {
    return what + (" " + name);
}

}  // namespace detail

/// Errors   errc::bad_format, errc::bad_shape: names that are empty or twice there, inputs that do not exist, features
///          that contradict each other.
[[nodiscard]] inline result<void> check(const graph& g) {
    QUELL_TRY_VOID(detail::check_names(g.inputs, "input"));
    QUELL_TRY_VOID(detail::check_names(g.sites, "site"));
    for (const site& s : g.sites) {
        if (s.input >= g.inputs.size()) {
            return error{errc::bad_shape, s.name + ": reads input " + std::to_string(s.input) + " of " +
                                              std::to_string(g.inputs.size())};
        }
        if (g.inputs[s.input].features != s.in_features) {
            return error{errc::bad_shape, s.name + ": has " + std::to_string(s.in_features) + " input features, " +
                                              g.inputs[s.input].name + " carries " +
                                              std::to_string(g.inputs[s.input].features)};
        }
    }
    return {};
}

/// Whether the plan can be carried out on this model. Run before any work, so that a plan edited by hand cannot fail
/// half way.
[[nodiscard]] inline result<void> check(const plan& decided, const graph& g) {
    QUELL_TRY_VOID(check(g));
    QUELL_TRY_VOID(detail::check_match(decided.inputs, g.inputs, "input"));
    QUELL_TRY_VOID(detail::check_match(decided.sites, g.sites, "site"));
    QUELL_TRY_VOID(detail::check_stream(decided, g));
    QUELL_TRY_VOID(detail::check_calibration(decided.calibration));
    if (const auto status = quant::check(decided.tuning); !status) {
        return status.error().in("plan");
    }
    for (std::size_t i = 0; i < g.inputs.size(); ++i) {
        if (const auto status = detail::check_input(g, i, decided); !status) {
            return status.error().in(detail::named("plan: input", g.inputs[i].name));
        }
    }
    if (const auto status = detail::check_tables(decided, g); !status) {
        return status.error().in("plan: tables");
    }
    for (std::size_t s = 0; s < g.sites.size(); ++s) {
        auto status = detail::check_site(g.sites[s], decided.sites[s]);
        status = status ? detail::check_static(decided.sites[s], decided.inputs[g.sites[s].input]) : status;
        if (!status) {
            return status.error().in(detail::named("plan: site", g.sites[s].name));
        }
    }
    return {};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
