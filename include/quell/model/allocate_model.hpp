// SPDX-License-Identifier: MIT
/// @file
/// quell's own choice for a whole model: every linear takes the number of bits that the divergence of the model's
/// predictions is worth, within a budget for all bytes, embedding and head included.
///
/// Each linear is rounded for a trial and the divergence that this causes is measured; its other forms are scored by
/// the error of their outputs against that of the trial. Divergences of single linears add up, nearly; so the choice is
/// a knapsack.
#pragma once

#include "quell/alloc/knapsack.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/model/apply.hpp"
#include "quell/model/engine.hpp"
#include "quell/model/make_plan.hpp"
#include "quell/model/plan.hpp"
#include "quell/packing/layout.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/policies.hpp"
#include "quell/quant/recipe_parts.hpp"
#include "quell/quant/sensitivity.hpp"
#include "quell/report/number_text.hpp"
#include "quell/rounding/gptq.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// What was found out about one linear: the divergence, in nats a token, that each of its forms would cause alone.
struct site_survey {
    std::string name;
    std::vector<double> divergences;  ///< by survey_forms

    friend bool operator==(const site_survey&, const site_survey&) = default;
};

/// Everything that an allocation needs to know of a model; it does not depend on the budget. The linears in the order
/// of the graph, and at last the head.
struct model_survey {
    std::string subject = {};             ///< model and calibration text, as allocate_options::subject names them
    std::vector<std::string> forms = {};  ///< labels of survey_forms
    std::vector<site_survey> sites = {};
    std::vector<input_plan> inputs = {};  ///< with the transforms that were chosen, once all is surveyed

    [[nodiscard]] const site_survey* find(const std::string& name) const {
        const auto at = std::find_if(sites.begin(), sites.end(), [&](const auto& s) { return s.name == name; });
        return at == sites.end() ? nullptr : &*at;
    }
};

/// The forms among which the allocation chooses. Nearly every input is rotated, so whole rows do; groups, whose zeros
/// the solver fits, are steps between the few bits where a step is large.
inline constexpr std::array<scheme, 9> survey_forms = {{{.bits = 2, .reach = granularity::channel},
                                                        quant::ladder_form({"", 2, 64}),
                                                        {.bits = 3, .reach = granularity::channel},
                                                        quant::ladder_form({"", 3, 64}),
                                                        {.bits = 4, .reach = granularity::channel},
                                                        quant::ladder_form({"", 4, 64}),
                                                        {.bits = 5, .reach = granularity::channel},
                                                        {.bits = 6, .reach = granularity::channel},
                                                        {.bits = 8, .reach = granularity::channel}}};

/// Such as "4 bits" and "3 bits in groups of 64".
[[nodiscard]] inline std::string survey_label(const scheme& form) {
    return std::to_string(form.bits) + " bits" +
           (form.reach == granularity::group ? " in groups of " + std::to_string(form.group) : "");
}

/// What a budget for the whole model must know of what the graph does not show.
struct model_size {
    std::size_t parameters = 0;   ///< of the whole model; 0: of its linears and tables alone
    std::size_t fixed_bytes = 0;  ///< of what is stored as it is: gains and biases
};

/// Nanoseconds that a linear of a form takes for one token.
using token_time =
    std::function<result<std::uint64_t>(const scheme& form, std::size_t out_features, std::size_t in_features)>;

struct allocate_options {
    executor threads = {};
    progress_callback progress = {};
    model_size size = {};
    token_time time = {};                               ///< as measured on the machine that will run the model
    std::uint64_t most_time = alloc::budget::no_limit;  ///< nanoseconds of all linears and the head together, a token
    std::string subject = {};  ///< what a survey is of, for one that is kept: any word that another model does not have
    model_survey known = {};   ///< what an earlier run found out; the rest is surveyed
    std::function<result<void>(const model_survey&)> keep =
        {};  ///< called whenever there is more, so that it can be stored
};

namespace detail {

/// Index into survey_forms of the form that is tried on the whole model.
inline constexpr std::size_t trial_form = 4;

[[nodiscard]] inline std::vector<std::string> survey_labels() {
    std::vector<std::string> labels(survey_forms.size());
    std::transform(survey_forms.begin(), survey_forms.end(), labels.begin(), survey_label);
    return labels;
}

/// Rows by clip search, groups by fitted scales and zeros.
[[nodiscard]] inline quant::any_solver solver_for(const scheme& form, const quant::any_solver& of_rows) {
    return form.zeros == zero_type::real ? quant::any_solver{quant::detail::fitted_gptq()} : of_rows;
}

/// Every `step`-th row.
[[nodiscard]] inline matrix<float> rows_of(matrix_view<const float> w, std::size_t step) {
    matrix<float> sample((w.rows() + step - 1) / step, w.cols());
    for (std::size_t r = 0; r < sample.rows(); ++r) {
        std::copy_n(w.row(r * step).begin(), w.cols(), sample.row(r).begin());
    }
    return sample;
}

/// Surveys one weight after the other, as apply() shows them.
class surveyor {
public:
    /// Rows of a weight on which forms are compared: errors of rows add up, and rows are rounded independently.
    static constexpr std::size_t most_rows = 96;

    surveyor(const engine& source, const plan& decided, const allocate_options& options)
        : source_(source), decided_(decided), options_(options) {
        survey_.subject = options.subject;
        survey_.forms = survey_labels();
    }

    result<void> look(const considered_weight& seen) {
        const bool is_table = seen.site == source_.graph.sites.size();
        site_survey found{.name = is_table ? source_.graph.stream.head : source_.graph.sites[seen.site].name,
                          .divergences = {}};
        if (const site_survey* before = options_.known.find(found.name)) {
            survey_.sites.push_back(*before);
            return {};
        }
        auto costs = is_table ? table_divergences(seen) : site_divergences(seen);
        if (!costs) {
            return costs.error().in(found.name);
        }
        found.divergences = *std::move(costs);
        survey_.sites.push_back(std::move(found));
        return options_.keep ? options_.keep(survey_) : result<void>();
    }

    [[nodiscard]] model_survey take() { return std::move(survey_); }

private:
    /// The divergence of the trial, and in its proportion those of all forms by the error of their outputs.
    result<std::vector<double>> site_divergences(const considered_weight& seen) {
        const quant::any_solver& solver = decided_.sites[seen.site].solver;
        const quant::output_cost cost(seen.known.gram, seen.known.tokens, options_.threads);
        const matrix<float> sample = rows_of(seen.w, std::max<std::size_t>(seen.w.rows() / most_rows, 1));
        std::vector<double> errors;
        for (const scheme& form : survey_forms) {
            QUELL_TRY(const quantized codes,
                      solver_for(form, solver).solve(sample.view(), form, seen.known, options_.threads));
            errors.push_back(cost.of(sample.view(), dequantize(codes).view()));
        }
        QUELL_TRY(const double divergence, try_form(seen, solver, survey_forms[trial_form]));
        const double worth = errors[trial_form] > 0.0 ? divergence / errors[trial_form] : 0.0;
        std::transform(errors.begin(), errors.end(), errors.begin(), [&](double e) { return worth * e; });
        return errors;
    }

    /// The head is one of a kind, and an error in a tied embedding is no error of outputs alone: each form is tried.
    result<std::vector<double>> table_divergences(const considered_weight& seen) {
        std::vector<double> costs;
        for (const scheme& form : survey_forms) {
            QUELL_TRY(const double divergence, try_form(seen, decided_.tables.solver, form));
            costs.push_back(divergence);
        }
        return costs;
    }

    result<double> try_form(const considered_weight& seen, const quant::any_solver& solver, const scheme& form) {
        QUELL_TRY(const quantized codes, solver.solve(seen.w, form, seen.known, options_.threads));
        matrix<float> rounded = dequantize(codes);
        seen.restore(rounded.view());
        const trial_weight trial{seen.site, std::as_const(rounded).view()};
        return source_.divergence({&trial, 1});
    }

    const engine& source_;
    const plan& decided_;
    const allocate_options& options_;
    model_survey survey_;
};

/// The survey of every linear that the plan rounds, and of the head.
[[nodiscard]] inline result<model_survey> survey(const engine& source, const plan& decided,
                                                 const allocate_options& options) {
    const bool fits = options.known.inputs.empty() || options.known.inputs.size() == source.graph.inputs.size();
    const bool is_of_this = fits && options.known.subject == options.subject && options.known.forms == survey_labels();
    if (!options.known.sites.empty() && !is_of_this) {
        return error{errc::bad_value, "the survey is of another model, another calibration text or other forms"};
    }
    const auto is_known = [&](const std::string& name) { return options.known.find(name) != nullptr; };
    if (!options.known.inputs.empty() && is_known(source.graph.stream.head) &&
        std::all_of(decided.sites.begin(), decided.sites.end(),
                    [&](const site_plan& s) { return s.is_float() || is_known(s.name); })) {
        return options.known;
    }
    surveyor all(source, decided, options);
    QUELL_TRY(quantized_model looked_at,
              apply(source, decided,
                    {.threads = options.threads,
                     .progress = options.progress,
                     .consider = [&](const considered_weight& seen) { return all.look(seen); }}));
    model_survey found = all.take();
    found.inputs = std::move(looked_at.decided.inputs);
    if (options.keep) {
        QUELL_TRY_VOID(options.keep(found));
    }
    return found;
}

/// One item of the knapsack.
struct surveyed_item {
    const site_survey* found = nullptr;
    std::size_t out_features = 0;
    std::size_t in_features = 0;
    std::size_t copies = 1;       ///< of it that are stored; one of them is multiplied with
    std::size_t extra_bytes = 0;  ///< beside the codes and their scales: what its input is multiplied by

    [[nodiscard]] std::size_t bytes(std::size_t form) const {
        return packing::stored_bytes(survey_forms[form], copies * out_features, in_features) + extra_bytes;
    }
    [[nodiscard]] result<alloc::menu> menu(const token_time& time) const {
        alloc::menu options;
        for (std::size_t form = 0; form < survey_forms.size(); ++form) {
            options.push_back({.cost = found->divergences[form], .bytes = bytes(form)});
            if (time) {
                QUELL_TRY(options.back().time, time(survey_forms[form], out_features, in_features));
            }
        }
        return options;
    }
    [[nodiscard]] std::string reason(std::size_t form) const {
        return survey_label(survey_forms[form]) + ": a divergence of " +
               report::number_text(found->divergences[form], 3) + " in " + std::to_string(bytes(form)) + " bytes";
    }
};

/// Linears first, the head at last.
[[nodiscard]] inline result<std::vector<surveyed_item>> items_of(const engine& source, const plan& decided,
                                                                 const model_survey& seen) {
    std::vector<surveyed_item> items;
    const auto floats = [](bool scales, std::size_t n) { return scales ? n * sizeof(float) : 0; };
    const auto add = [&](const std::string& name, surveyed_item item) -> result<void> {
        item.found = seen.find(name);
        if (item.found == nullptr || item.found->divergences.size() != survey_forms.size()) {
            return error{errc::bad_format, "the survey says nothing of " + name};
        }
        items.push_back(item);
        return {};
    };
    for (std::size_t s = 0; s < decided.sites.size(); ++s) {
        const site& where = source.graph.sites[s];
        const bool scales_online = decided.inputs[where.input].target == scale_target::online &&
                                   decided.inputs[where.input].transform.scales();
        if (!decided.sites[s].is_float()) {
            QUELL_TRY_VOID(add(where.name, {.out_features = where.out_features,
                                            .in_features = where.in_features,
                                            .extra_bytes = floats(scales_online, where.in_features)}));
        }
    }
    QUELL_TRY(const matrix<float> head, fetch_table(source, source.graph.stream.head));
    const std::size_t copies = source.graph.stream.head == source.graph.stream.embedding ? 1 : 2;
    QUELL_TRY_VOID(
        add(source.graph.stream.head, {.out_features = head.rows(),
                                       .in_features = head.cols(),
                                       .copies = copies,
                                       .extra_bytes = floats(decided.tables.transform.scales(), head.cols())}));
    return items;
}

/// What is left of the budget when all that has no choice is paid for.
[[nodiscard]] inline std::uint64_t bytes_to_spend(double bits, const std::vector<surveyed_item>& items,
                                                  const model_size& size) {
    std::size_t parameters = size.parameters;
    for (const surveyed_item& item : items) {
        parameters += size.parameters == 0 ? item.copies * item.out_features * item.in_features : 0;
    }
    const auto all = static_cast<std::uint64_t>(bits * static_cast<double>(parameters) / 8.0);
    return all - std::min<std::uint64_t>(all, size.fixed_bytes);
}

/// How embedding and head are rounded: scaled and rotated as every input, and with a damping that stands for the errors
/// of the embedding, which no Gram matrix knows.
[[nodiscard]] inline table_plan surveyed_tables() {
    return {.weights = survey_forms.back(),
            .activations = {},
            .transform = {quant::balance_rotate{}},
            .solver = {rounding::gptq{.hessian = {.damping = 0.1, .order = rounding::column_order::activation},
                                      .static_groups = true}}};
}

/// The plan of the least divergence within the budget of recipe.allocation.
[[nodiscard]] inline result<plan> least_divergence_plan(const engine& source, const quant::recipe& recipe,
                                                        const allocate_options& options) {
    QUELL_TRY(plan decided, make_plan(source.graph, recipe));
    decided.tables = surveyed_tables();
    QUELL_TRY(const model_survey seen, survey(source, decided, options));
    decided.inputs = seen.inputs;
    QUELL_TRY(const std::vector<surveyed_item> items, items_of(source, decided, seen));
    std::vector<alloc::menu> menus(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
        QUELL_TRY(menus[i], items[i].menu(options.time));
    }
    auto best = alloc::allocate(menus, {.bytes = bytes_to_spend(recipe.allocation->bits, items, options.size),
                                        .time = options.time ? options.most_time : alloc::budget::no_limit});
    if (!best) {
        return best.error().in(recipe.name);
    }
    std::size_t next = 0;
    for (site_plan& s : decided.sites) {
        if (!s.is_float()) {
            const std::size_t form = best->chosen[next];
            s.weights = survey_forms[form];
            s.solver = solver_for(s.weights, s.solver);
            s.score = items[next].found->divergences[form];
            s.reason = items[next].reason(form);
            ++next;
        }
    }
    decided.tables.weights = survey_forms[best->chosen[next]];
    decided.tables.reason =
        items[next].reason(best->chosen[next]) + "; of all linears, added up: " + report::number_text(best->cost, 3);
    return decided;
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::model
