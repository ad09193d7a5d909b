// SPDX-License-Identifier: MIT
/// @file
/// Oracle of the searches against activation spikes: every sequence run anew, everything in memory, everything tried.
#pragma once

#include "reference/outliers.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <tuple>
#include <vector>

namespace reference {

using ids = std::vector<std::int32_t>;

/// What enters each input at the tokens of a text behind a prefix: [input][token][channel].
using shown_inputs = std::function<std::vector<rows>(const ids& prefix, const ids& text)>;

/// Mean over tokens of the share of the energy that the scale max |x| / 127 costs.
inline double static_cost(const rows& x) {
    double scale = 0.0;
    for (const std::vector<float>& row : x) {
        for (const float v : row) {
            scale = std::max(scale, std::fabs(double{v}) / 127.0);
        }
    }
    double sum = 0.0;
    for (const std::vector<float>& row : x) {
        double noise = 0.0;
        double energy = 0.0;
        for (const float v : row) {
            noise += scale * scale / 12.0;
            energy += double{v} * double{v};
        }
        sum += noise == 0.0 ? 0.0 : energy == 0.0 ? 1.0 : std::min(1.0, noise / energy);
    }
    return sum / static_cast<double>(x.size());
}

struct prefix_question {
    ids starts;
    std::size_t window;
    std::size_t triggers;
    std::size_t largest;
    std::size_t contexts;
    std::size_t judged_windows;
    std::size_t most_tokens;
    double least_gain;
    std::vector<std::size_t> input_of_site;
};

struct prefix_answer {
    ids prefix;
    std::map<ids, double> costs;
};

class prefix_oracle {
public:
    prefix_oracle(shown_inputs show, const ids& text, const prefix_question& q) : show_(std::move(show)), q_(q) {
        for (std::size_t t = 0; t < text.size(); ++t) {
            if (t % q.window == 0) {
                texts_.emplace_back();
            }
            texts_.back().push_back(text[t]);
        }
    }

    prefix_answer answer() {
        const std::size_t input = worst_input();
        const ids triggers = triggers_at(input);
        std::vector<ids> tried = {{}};
        for (const std::int32_t start : q_.starts) {
            tried.push_back({start});
        }
        for (const std::int32_t trigger : triggers) {
            double best = 0.0;
            ids pair;
            for (const std::int32_t context : frequent()) {
                const ids five = {q_.starts[0], context, trigger, context, trigger};
                const std::vector<float> maxima = token_maxima(show_({}, five)[input]);
                if (maxima[4] > 0.0F && double{maxima[2] / maxima[4]} > best) {
                    best = double{maxima[2] / maxima[4]};
                    pair = {five[0], five[1], five[2]};
                }
            }
            if (!pair.empty()) {
                tried.push_back(pair);
            }
        }
        for (const ids& prefix : tried) {
            cost(prefix);
        }
        lengthen();
        return {best(), costs_};
    }

private:
    std::size_t worst_input() {
        std::vector<std::vector<rows>> by_input;
        for (const ids& text : texts_) {
            const auto shown = show_({}, text);
            by_input.resize(shown.size());
            for (std::size_t i = 0; i < shown.size(); ++i) {
                by_input[i].push_back(shown[i]);
            }
        }
        std::size_t worst = 0;
        for (std::size_t i = 0; i < by_input.size(); ++i) {
            worst = spike_ratio(by_input[i]) > spike_ratio(by_input[worst]) ? i : worst;
        }
        return worst;
    }

    /// Keys by value, the largest first, then by key.
    template <typename Value>
    static ids order(const std::map<std::int32_t, Value>& values, std::size_t most) {
        std::vector<std::tuple<Value, std::int32_t>> all;
        for (const auto& [key, value] : values) {
            all.emplace_back(-value, key);
        }
        std::sort(all.begin(), all.end());
        ids keys;
        for (std::size_t i = 0; i < all.size() && i < most; ++i) {
            keys.push_back(std::get<1>(all[i]));
        }
        return keys;
    }

    ids triggers_at(std::size_t input) {
        std::map<std::int32_t, double> spikes;
        for (const ids& text : texts_) {
            const std::vector<float> maxima = token_maxima(show_({}, text)[input]);
            std::vector<std::tuple<double, std::size_t>> all;
            for (std::size_t t = 1; t < maxima.size(); ++t) {
                all.emplace_back(-double{maxima[t]}, t);
            }
            std::sort(all.begin(), all.end());
            for (std::size_t i = 0; i < all.size() && i < q_.largest; ++i) {
                double& spike = spikes[text[std::get<1>(all[i])]];
                spike = std::max(spike, -std::get<0>(all[i]));
            }
        }
        return order(spikes, q_.triggers);
    }

    ids frequent() const {
        std::map<std::int32_t, double> counts;
        for (const ids& text : texts_) {
            for (std::size_t t = 1; t < text.size(); ++t) {
                counts[text[t]] += 1.0;
            }
        }
        return order(counts, q_.contexts);
    }

    /// All judged texts at each input, one behind the other.
    std::vector<rows> judged(const ids& prefix) {
        std::vector<rows> all;
        for (std::size_t w = 0; w < std::min(q_.judged_windows, texts_.size()); ++w) {
            const auto shown = show_(prefix, texts_[w]);
            all.resize(shown.size());
            for (std::size_t i = 0; i < shown.size(); ++i) {
                all[i].insert(all[i].end(), shown[i].begin(), shown[i].end());
            }
        }
        return all;
    }

    double cost(const ids& prefix) {
        const std::vector<rows> shown = judged(prefix);
        double sum = 0.0;
        for (const std::size_t input : q_.input_of_site) {
            sum += static_cost(shown[input]) / static_cast<double>(q_.input_of_site.size());
        }
        return costs_[prefix] = sum;
    }

    ids best() const {
        const auto cheaper = [](const auto& a, const auto& b) { return a.second < b.second; };
        return std::min_element(costs_.begin(), costs_.end(), cheaper)->first;
    }

    void lengthen() {
        double before = std::numeric_limits<double>::infinity();
        while (costs_.at(best()) < (1.0 - q_.least_gain) * before && best().size() < q_.most_tokens) {
            const ids base = best();
            before = costs_.at(base);
            std::map<std::int32_t, double> worst;
            for (const rows& x : judged(base)) {
                const std::vector<float> maxima = token_maxima(x);
                const auto at =
                    static_cast<std::size_t>(std::max_element(maxima.begin(), maxima.end()) - maxima.begin());
                worst[texts_[at / q_.window][at % q_.window]] += static_cost(x);
            }
            for (const std::int32_t trigger : order(worst, q_.triggers)) {
                ids longer = base;
                longer.push_back(trigger);
                cost(longer);
            }
        }
    }

    shown_inputs show_;
    prefix_question q_;
    std::vector<ids> texts_;
    std::map<ids, double> costs_;
};

}  // namespace reference
