// SPDX-License-Identifier: MIT
/// @file
/// The page of `quell inspect`: a summary, heat maps over layers and modules, tables with the worst first, and a
/// section for every input.
#pragma once

#include "inspect_pictures.hpp"
#include "inspection.hpp"
#include "quell/report/html_table.hpp"
#include "quell/report/page.hpp"
#include "spike_pictures.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace program {

namespace detail {

/// The element that tells about an input.
[[nodiscard]] inline std::string anchor_of(std::size_t study) {
    return report::numbered("input-", study);
}

[[nodiscard]] inline double median_token(const quell::quant::transform_effect& effect) {
    return median_of({effect.token_maxima.begin(), effect.token_maxima.end()});
}

/// A row a transform: both difficulties, maxima, and what every reader loses.
[[nodiscard]] inline report::markup effect_table(const inspection& found, const quell::model::input_study& input) {
    using enum report::column_kind;
    report::html_table table{.columns = {{"transform", text},
                                         {"D(X)", number, "standard deviation of the channel magnitudes"},
                                         {"D / mean", number, "the same in units of their mean"},
                                         {"max |X|", number, ""},
                                         {"median token", number, "median of the token maxima"}}};
    for (const std::size_t s : input.readers) {
        table.columns.push_back({"D(W) " + found.graph.sites[s].module, number, "of the weight"});
        table.columns.push_back(
            {"E " + found.graph.sites[s].module, number, "layer error: squares of the output's error"});
        table.columns.push_back(
            {"lost " + found.graph.sites[s].module, number, "share of the output, mean over tokens"});
    }
    for (const auto& effect : input.effects) {
        std::vector<report::table_cell> row = {std::string(name_of(effect.transform)), effect.difficulty.deviation,
                                               effect.difficulty.relative(), static_cast<double>(effect.largest),
                                               median_token(effect)};
        for (const auto& w : effect.weights) {
            row.insert(row.end(), {w.difficulty.deviation, w.error.squares, percent_text(w.error.per_token)});
        }
        table.rows.push_back(std::move(row));
    }
    return report::draw_table(table);
}

[[nodiscard]] inline std::string input_facts(const inspection& found, const quell::model::input_study& input) {
    const auto& profile = input.profile;
    std::string facts = plural(found.graph.inputs[input.input].features, "channel") + ", " +
                        count_text(outlier_channels(input)) + " of them outliers; spike ratio " +
                        number_text(profile.spikes.mean());
    if (profile.massive.found() > 0) {
        facts += "; " + plural(static_cast<std::size_t>(profile.massive.found()), "massive token") + ", " +
                 say_positions(profile.massive);
    }
    return facts + ".";
}

enum class section_state { open, folded };

[[nodiscard]] inline report::markup input_section(const inspection& found, std::size_t study, section_state state) {
    const quell::model::input_study& input = found.inputs[study];
    const std::string name = found.graph.inputs[input.input].name;
    report::markup inside = report::text_element(
        "summary", {}, name + " \xe2\x86\x92 " + reader_names(found, input) + ": " + input_facts(found, input));
    inside += effect_table(found, input) + transform_legend();
    const report::markup charts =
        magnitude_chart(input, "Channels of the activations", &quell::quant::transform_effect::activation_magnitudes) +
        magnitude_chart(input, "Channels of the weights", &quell::quant::transform_effect::weight_magnitudes) +
        token_chart(found, input);
    inside += report::markup::element("div", {{"class", "row"}}, charts);
    return state == section_state::open
               ? report::markup::element("details", {{"id", anchor_of(study)}, {"open", "open"}}, inside)
               : report::markup::element("details", {{"id", anchor_of(study)}}, inside);
}

[[nodiscard]] inline report::markup site_table(const inspection& found, std::span<const site_place> sites) {
    using enum report::column_kind;
    report::html_table table{.columns = {{"linear", text}, {"max |X|", number, ""}, {"D(X)", number, ""}}};
    for (const input_transform t : input_transforms) {
        table.columns.push_back({"lost, " + std::string(name_of(t)), number, "share of the output, mean over tokens"});
    }
    for (const input_transform t : input_transforms) {
        table.columns.push_back(
            {"E, " + std::string(name_of(t)), number, "squares of the output's error over the sample"});
    }
    for (const site_place& p : sites) {
        const auto& plain = found.inputs[p.study].effects[0];
        report::table_cell name(site_at(found, p).name);
        name.link = anchor_of(p.study);
        std::vector<report::table_cell> row = {name, static_cast<double>(plain.largest), plain.difficulty.deviation};
        for (const input_transform t : input_transforms) {
            row.emplace_back(percent_text(lost_at(found, p, t)));
            row.back().stands_out = t == best_at(found, p);
        }
        for (const input_transform t : input_transforms) {
            row.emplace_back(error_at(found, p, t).squares);
        }
        table.rows.push_back(std::move(row));
    }
    return report::draw_table(table);
}

[[nodiscard]] inline report::markup input_table(const inspection& found, std::span<const std::size_t> order) {
    using enum report::column_kind;
    report::html_table table{.columns = {{"input", text},
                                         {"outlier channels", number, "by median and median absolute deviation"},
                                         {"spike ratio", number, "largest over median token, mean over windows"},
                                         {"massive tokens", number, "above twenty times the median of their window"}}};
    for (const input_transform t : input_transforms) {
        table.columns.push_back(
            {"D(X) " + std::string(name_of(t)), number, "standard deviation of the channel magnitudes"});
    }
    for (const input_transform t : input_transforms) {
        table.columns.push_back({"D(W) " + std::string(name_of(t)), number, "the largest of the weights that read it"});
    }
    for (const std::size_t study : order) {
        const quell::model::input_study& input = found.inputs[study];
        report::table_cell name(found.graph.inputs[input.input].name);
        name.link = anchor_of(study);
        std::vector<report::table_cell> row = {name, count_text(outlier_channels(input)), input.profile.spikes.mean(),
                                               count_text(static_cast<std::size_t>(input.profile.massive.found()))};
        for (const auto& effect : input.effects) {
            row.emplace_back(effect.difficulty.deviation);
        }
        for (const auto& effect : input.effects) {
            double hardest = 0.0;
            for (const auto& w : effect.weights) {
                hardest = std::max(hardest, w.difficulty.deviation);
            }
            row.emplace_back(hardest);
        }
        table.rows.push_back(std::move(row));
    }
    return report::draw_table(table);
}

/// The first rows open, the rest behind a line to click on.
template <typename Place, typename Draw>
[[nodiscard]] report::markup folded(std::span<const Place> all, std::size_t most, const std::string& what, Draw draw) {
    if (all.size() <= most + most / 2) {
        return draw(all);
    }
    const std::string line = "The other " + count_text(all.size() - most) + " " + what;
    return draw(all.first(most)) +
           report::markup::element("details", {}, report::text_element("summary", {}, line) + draw(all.subspan(most)));
}

[[nodiscard]] inline report::markup summary_of(const inspection& found, const std::vector<site_place>& sites) {
    report::markup items;
    for (const std::string& sentence : sentences(found, sites)) {
        items += report::text_element("li", {}, sentence);
    }
    return report::markup::element("div", {{"class", "summary"}}, report::markup::element("ul", {}, items));
}

/// What stands behind the last slash of a path.
[[nodiscard]] inline std::string base_name(const std::string& path) {
    return path.substr(path.find_last_of('/') + 1);
}

[[nodiscard]] inline std::string facts_of(const inspection& found) {
    return found.model + ", " + found.text + ": " + plural(found.tokens, "token") + " in windows of " +
           count_text(found.window) + "; errors on " + count_text(found.sample_rows) +
           " tokens of each input and its largest one, activations of each token and weights of each output channel "
           "rounded to " +
           std::to_string(found.bits) + " bits without clipping; smoothing with alpha " +
           number_text(static_cast<double>(found.alpha), 2) + ".";
}

inline void add_maps(report::page& p, const inspection& found, const std::vector<site_place>& sites) {
    p.heading("Layer error", "maps");
    p.paragraph(
        "What each linear loses when its input and its weight are both rounded: the share of the output's energy, "
        "token by token and then the mean, so that a massive token counts like any other. Point at a cell for "
        "its value.");
    p.add(maps_of(found, sites, "lost share of the output, %",
                  [&](const site_place& s, input_transform t) { return 100.0 * lost_at(found, s, t); }));
    p.add(gain_map(found, sites));
    p.paragraph(
        "The same as E, the squared error summed over all outputs and tokens of the sample. It grows with the "
        "output, and massive tokens rule it.");
    p.add(maps_of(found, sites, "E, squared error of the output",
                  [&](const site_place& s, input_transform t) { return error_at(found, s, t).squares; }));
    p.add(transform_legend()).add(error_over_difficulty(found));
}

inline void add_spikes(report::page& p, const inspection& found) {
    const token_scales scales = scales_of(found);
    p.heading("Activation spikes", "spikes");
    p.paragraph(
        "Where a few tokens are far above all others, one static scale for all of them rounds the others to zero. A "
        "prefix kept in float in front of every text can draw such spikes to itself; its own tokens are never seen by "
        "the quantized linears. " +
        say_prefix(found, scales));
    p.add(spike_maps(found, scales));
    p.add(token_scale_charts(found, scales));
}

inline void add_tables(report::page& p, const inspection& found, const std::vector<site_place>& sites,
                       const std::vector<std::size_t>& order) {
    p.heading("Linears, worst first", "linears");
    p.add(folded<site_place>(sites, 24, "linears", [&](auto some) { return site_table(found, some); }));
    p.heading("Inputs, hardest first", "difficulty");
    p.paragraph(
        "D is the standard deviation of the channel magnitudes (L2 norms): 0 where all channels are alike. "
        "Smoothing moves it from the activations into the weights; rotation spreads it over all channels.");
    std::vector<std::size_t> hardest = order;
    std::stable_sort(hardest.begin(), hardest.end(), [&](std::size_t a, std::size_t b) {
        return found.inputs[a].effects[0].difficulty.deviation > found.inputs[b].effects[0].difficulty.deviation;
    });
    p.add(folded<std::size_t>(hardest, 16, "inputs", [&](auto some) { return input_table(found, some); }));
}

}  // namespace detail

[[nodiscard]] inline std::string inspect_page(const inspection& found) {
    const std::vector<site_place> sites = worst_first(found);
    const std::vector<std::size_t> order = inputs_in_order(sites);
    report::page p("Outliers of " + detail::base_name(found.model));
    p.add(report::text_element("p", {{"class", "facts"}}, detail::facts_of(found)));
    p.add(detail::summary_of(found, sites));
    detail::add_maps(p, found, sites);
    detail::add_spikes(p, found);
    detail::add_tables(p, found, sites, order);
    p.heading("Channels and tokens of the inputs", "inputs");
    p.paragraph(
        "Channels sorted by magnitude: a flat curve is easy to quantize. Token maxima: a massive token stands far "
        "above "
        "the rest, often as the first of a window. First the most telling input of each kind, then all others, worst "
        "first.");
    const std::vector<std::size_t> telling = telling_inputs(found, order);
    for (const std::size_t study : telling) {
        p.add(detail::input_section(found, study, detail::section_state::open));
    }
    for (const std::size_t study : order) {
        if (std::find(telling.begin(), telling.end(), study) == telling.end()) {
            p.add(detail::input_section(found, study, detail::section_state::folded));
        }
    }
    return p.finish();
}

}  // namespace program
