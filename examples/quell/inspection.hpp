// SPDX-License-Identifier: MIT
/// @file
/// What `quell inspect` found: the study of a model with where it comes from, ranked, and said in a few sentences that
/// are made from the numbers alone.
#pragma once

#include "quell/core/graph.hpp"
#include "quell/model/study.hpp"
#include "quell/outliers/channel_rules.hpp"
#include "quell/quant/transform_study.hpp"
#include "quell/report/number_text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace program {

using quell::quant::input_transform;
using quell::quant::input_transforms;
using quell::quant::name_of;
using quell::report::count_text;
using quell::report::number_text;
using quell::report::percent_text;

struct inspection {
    std::string model;
    std::string text;
    std::size_t tokens = 0;
    std::size_t window = 0;
    std::size_t sample_rows = 0;
    float alpha = 0.5F;
    int bits = 4;
    quell::graph graph = {};
    std::vector<quell::model::input_study> inputs = {};
    std::vector<std::int32_t> prefix = {};         ///< that draws the spikes to itself; empty where none does
    quell::model::profile_set behind_prefix = {};  ///< what the inputs see of the same text behind it
};

/// One linear: where its numbers stand.
struct site_place {
    std::size_t study = 0;   ///< index into inspection::inputs
    std::size_t reader = 0;  ///< index into the weights of its effects
};

[[nodiscard]] inline const quell::site& site_at(const inspection& found, const site_place& p) {
    return found.graph.sites[found.inputs[p.study].readers[p.reader]];
}

[[nodiscard]] inline const quell::quant::output_error& error_at(const inspection& found, const site_place& p,
                                                                input_transform t) {
    return found.inputs[p.study].effects[static_cast<std::size_t>(t)].weights[p.reader].error;
}

/// The share of its output that the linear loses, on the mean over tokens.
[[nodiscard]] inline double lost_at(const inspection& found, const site_place& p, input_transform t) {
    return error_at(found, p, t).per_token;
}

[[nodiscard]] inline input_transform best_at(const inspection& found, const site_place& p) {
    return *std::min_element(
        input_transforms.begin(), input_transforms.end(),
        [&](input_transform a, input_transform b) { return lost_at(found, p, a) < lost_at(found, p, b); });
}

/// All linears, those that lose most without a transform first.
[[nodiscard]] inline std::vector<site_place> worst_first(const inspection& found) {
    std::vector<site_place> all;
    for (std::size_t i = 0; i < found.inputs.size(); ++i) {
        for (std::size_t r = 0; r < found.inputs[i].readers.size(); ++r) {
            all.push_back({i, r});
        }
    }
    std::stable_sort(all.begin(), all.end(), [&](const site_place& a, const site_place& b) {
        return lost_at(found, a, input_transform::none) > lost_at(found, b, input_transform::none);
    });
    return all;
}

/// The inputs in the order in which their worst linears come.
[[nodiscard]] inline std::vector<std::size_t> inputs_in_order(const std::vector<site_place>& sites) {
    std::vector<std::size_t> order;
    for (const site_place& p : sites) {
        if (std::find(order.begin(), order.end(), p.study) == order.end()) {
            order.push_back(p.study);
        }
    }
    return order;
}

/// "q, k, v".
[[nodiscard]] inline std::string reader_names(const inspection& found, const quell::model::input_study& input) {
    std::string names;
    for (const std::size_t s : input.readers) {
        names += (names.empty() ? "" : ", ") + found.graph.sites[s].module;
    }
    return names;
}

/// Those to look at first: of every kind of input (those of one set of modules) the worst, and the one with the largest
/// spike ratio. `order` has the worst first.
[[nodiscard]] inline std::vector<std::size_t> telling_inputs(const inspection& found,
                                                             const std::vector<std::size_t>& order) {
    std::vector<std::size_t> telling;
    std::vector<std::string> kinds;
    std::size_t spiky = order.front();
    for (const std::size_t study : order) {
        const std::string kind = reader_names(found, found.inputs[study]);
        if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
            kinds.push_back(kind);
            telling.push_back(study);
        }
        const auto ratio = [&](std::size_t s) { return found.inputs[s].profile.spikes.mean(); };
        spiky = ratio(study) > ratio(spiky) ? study : spiky;
    }
    if (std::find(telling.begin(), telling.end(), spiky) == telling.end()) {
        telling.insert(telling.begin(), spiky);
    }
    return telling;
}

[[nodiscard]] inline std::size_t outlier_channels(const quell::model::input_study& input) {
    return quell::outliers::mad_rule{}.detect(input.profile.magnitude.norms()).size();
}

namespace detail {

[[nodiscard]] inline double median_of(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0.0 : values[(values.size() - 1) / 2];
}

[[nodiscard]] inline std::string plural(std::size_t n, const std::string& noun) {
    return count_text(n) + " " + noun + (n == 1 ? "" : "s");
}

/// "a, b, c and 4 more".
[[nodiscard]] inline std::string some_of(const std::vector<std::string>& names, std::size_t most) {
    std::string text;
    for (std::size_t i = 0; i < std::min(most, names.size()); ++i) {
        text += (i == 0 ? "" : ", ") + names[i];
    }
    return text + (names.size() > most ? " and " + count_text(names.size() - most) + " more" : "");
}

[[nodiscard]] inline std::string say_loss(const inspection& found, const std::vector<site_place>& sites) {
    std::vector<double> lost;
    for (const site_place& p : sites) {
        lost.push_back(lost_at(found, p, input_transform::none));
    }
    const std::string bits = std::to_string(found.bits);
    return "Rounded to " + bits + " bits as they are, half of the " + plural(sites.size(), "linear") +
           " lose more than " + percent_text(median_of(lost)) + " of their output; the worst is " +
           site_at(found, sites.front()).name + " with " + percent_text(lost.front()) + ".";
}

/// Where in their windows the massive tokens stand, of those that are described.
[[nodiscard]] inline std::string say_positions(const quell::outliers::massive_tokens& massive) {
    const auto all = massive.examples();
    const auto first = static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [](const auto& m) { return m.token.position == 0; }));
    if (first == all.size()) {
        return first == 1 ? "the first of its window" : "each the first of its window";
    }
    const std::string of_what = all.size() == massive.found() ? "" : " of the largest " + count_text(all.size());
    return first == 0 ? "none of them the first of its window"
                      : count_text(first) + of_what + " the first of their window";
}

[[nodiscard]] inline std::string say_massive(const inspection& found) {
    std::size_t inputs = 0;
    const quell::model::input_study* worst = nullptr;
    for (const auto& input : found.inputs) {
        if (input.profile.massive.found() > 0) {
            ++inputs;
            worst = worst == nullptr || input.profile.spikes.mean() > worst->profile.spikes.mean() ? &input : worst;
        }
    }
    if (worst == nullptr) {
        return "No massive tokens: nowhere does a token exceed the median of its window by " +
               number_text(static_cast<double>(quell::outliers::massive_tokens::default_times), 2) + " times.";
    }
    const auto& massive = worst->profile.massive;
    const auto& example = massive.examples().front();
    return "Massive tokens at " + count_text(inputs) + " of " + plural(found.inputs.size(), "input") +
           ". The worst is " + found.graph.inputs[worst->input].name + ": " +
           plural(static_cast<std::size_t>(massive.found()), "token") + " of " +
           count_text(static_cast<std::size_t>(massive.count())) + ", " + say_positions(massive) + ", up to " +
           number_text(static_cast<double>(example.token.largest)) + " against a median token maximum of " +
           number_text(static_cast<double>(example.median)) + ".";
}

/// What the layer error of an input is multiplied by when it goes from one transform to another.
[[nodiscard]] inline double factor_of(const quell::model::input_study& input, input_transform from,
                                      input_transform to) {
    return input.effects[static_cast<std::size_t>(to)].error() / input.effects[static_cast<std::size_t>(from)].error();
}

[[nodiscard]] inline std::string say_rotation(const inspection& found) {
    using enum input_transform;
    std::vector<std::string> useless;
    const quell::model::input_study* least = &found.inputs.front();
    for (const auto& input : found.inputs) {
        const double factor = factor_of(input, none, rotate);
        if (factor >= 1.0) {
            useless.push_back(found.graph.inputs[input.input].name);
        }
        least = factor > factor_of(*least, none, rotate) ? &input : least;
    }
    const std::string where = useless.empty() ? "Rotation alone lowers the layer error at every input, least at "
                                              : "Rotation alone does not lower the layer error at " +
                                                    plural(useless.size(), "input") + " (" + some_of(useless, 4) +
                                                    "), least of all at ";
    return where + found.graph.inputs[least->input].name + ": " + number_text(factor_of(*least, none, rotate)) +
           " times the error without it; smoothing alone " + number_text(factor_of(*least, none, smooth)) +
           " times, smoothing before rotation " + number_text(factor_of(*least, none, smooth_rotate)) + " times.";
}

[[nodiscard]] inline std::string say_best(const inspection& found, const std::vector<site_place>& sites) {
    std::array<std::size_t, input_transforms.size()> times{};
    std::vector<double> lost;
    const site_place* worst = &sites.front();
    for (const site_place& p : sites) {
        const input_transform best = best_at(found, p);
        ++times[static_cast<std::size_t>(best)];
        lost.push_back(lost_at(found, p, best));
        worst = lost.back() > lost_at(found, *worst, best_at(found, *worst)) ? &p : worst;
    }
    std::string counts;
    for (const input_transform t :
         {input_transform::smooth_rotate, input_transform::rotate, input_transform::smooth, input_transform::none}) {
        counts += (counts.empty() ? "" : ", ") + std::string(name_of(t)) + " at " +
                  count_text(times[static_cast<std::size_t>(t)]);
    }
    return "Best of the four: " + counts + ". With the best at each linear the loss at the median is " +
           percent_text(median_of(lost)) + ", at the worst (" + site_at(found, *worst).name + ") " +
           percent_text(lost_at(found, *worst, best_at(found, *worst))) + ".";
}

}  // namespace detail

/// What is the matter with this model, in a few sentences.
[[nodiscard]] inline std::vector<std::string> sentences(const inspection& found, const std::vector<site_place>& sites) {
    return {detail::say_loss(found, sites), detail::say_massive(found), detail::say_rotation(found),
            detail::say_best(found, sites)};
}

}  // namespace program
