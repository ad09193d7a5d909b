// SPDX-License-Identifier: MIT
/// @file
/// The smallest engine that quell can work on: two blocks with norm gains, a gated product, residual stream; random
/// weights; two channels of every norm gain planted as outliers.
#pragma once

#include "quell/model/engine.hpp"
#include "support/linear_outputs.hpp"
#include "support/planted.hpp"

#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

class fake_engine {
public:
    static constexpr std::size_t width = 48;
    static constexpr std::size_t hidden = 80;
    static constexpr std::size_t blocks = 2;
    static constexpr float outlier = 40.0F;

    fake_engine() : input_(random_matrix(40, width, 99)) {
        for (std::size_t b = 0; b < blocks; ++b) {
            add_block(b);
        }
    }

    quell::graph graph;
    std::vector<quell::matrix<float>> weights;  ///< by site index
    std::vector<std::vector<float>> biases;
    std::map<std::string, std::vector<float>> gains;

    /// What quell gets to see; refers to this object.
    [[nodiscard]] quell::model::engine lend() {
        return {.graph = graph,
                .weight = [this](const quell::site& s) -> quell::result<quell::matrix<float>> {
                    return quell::matrix<float>::copy_of(std::as_const(weights[index_of(s)]).view());
                },
                .bias = [this](const quell::site& s) -> std::span<const float> { return biases[index_of(s)]; },
                .gain = [this](const std::string& name) -> quell::result<quell::buffer<float>> {
                    return quell::buffer<float>::copy_of(gains.at(name));
                },
                .calibrate = [this](const quell::model::input_observer& see) -> quell::result<void> {
                    (void)run(float_linears(), {}, see);
                    return {};
                },
                .replay = [this](std::size_t layer, std::span<const quell::model::trial_weight> trial,
                                 const quell::model::input_observer& see) -> quell::result<void> {
                    (void)run(with_trial(trial), {}, [&](std::size_t input, quell::matrix_view<const float> x) {
                        input / inputs_per_block == layer ? see(input, x) : void();
                    });
                    return {};
                },
                .propagate = [this](std::size_t layer, std::span<const quell::model::trial_weight> trial,
                                    const quell::model::paired_look& look) -> quell::result<void> {
                    propagate(layer, trial, look);
                    return {};
                }};
    }

    /// What propagate() was given for each site and keeps; empty: nothing yet.
    std::vector<quell::matrix<float>> kept = {};
    /// What it was given for each input, and what that made of rows_for(it).
    std::map<std::size_t, std::function<void(quell::matrix_view<float>)>> kept_rounding = {};
    std::map<std::size_t, quell::matrix<float>> rounded_rows = {};
    /// For each site that was given a linear, what that makes of rows_for(its input).
    std::map<std::size_t, quell::matrix<float>> outputs_as_given = {};
    [[nodiscard]] quell::matrix<float> rows_for(std::size_t input) const {
        return random_matrix(20, graph.inputs[input].features, 77);
    }

    using input_rewriter = std::function<void(std::size_t input, quell::matrix_view<float> x)>;

    [[nodiscard]] std::vector<quell::quant::linear> with_trial(
        std::span<const quell::model::trial_weight> trial) const {
        std::vector<quell::quant::linear> linears = float_linears();
        for (const quell::model::trial_weight& t : trial) {
            linears[t.site] = quell::quant::float_linear(t.w, biases[t.site]);
        }
        return linears;
    }

    [[nodiscard]] std::vector<quell::quant::linear> float_linears() const {
        std::vector<quell::quant::linear> linears;
        for (std::size_t s = 0; s < weights.size(); ++s) {
            linears.emplace_back(quell::quant::float_linear(weights[s].view(), biases[s]));
        }
        return linears;
    }

    /// The output of the network with these linears, and with these norm gains where they are given.
    [[nodiscard]] quell::matrix<float> run(const std::vector<quell::quant::linear>& linears,
                                           const std::map<std::string, quell::buffer<float>>& changed_gains = {},
                                           const quell::model::input_observer& see = {},
                                           const input_rewriter& rewrite = {}) const {
        const auto enter = [&](std::size_t input, quell::matrix<float> rows) {
            see ? see(input, rows.view()) : void();
            rewrite ? rewrite(input, rows.view()) : void();
            return rows;
        };
        quell::matrix<float> x = quell::matrix<float>::copy_of(input_.view());
        for (std::size_t b = 0; b < blocks; ++b) {
            const std::size_t s = b * sites_per_block;
            const std::string name = "blk." + std::to_string(b) + ".";
            const auto normed = enter(3 * b, normalize(x, gain_of(name + "attn_norm", changed_gains)));
            const auto q = outputs_of(linears[s], normed);
            const auto k = outputs_of(linears[s + 1], normed);
            add(x, outputs_of(linears[s + 2], enter(3 * b + 1, multiply(q, k))));
            const auto second = enter(3 * b + 2, normalize(x, gain_of(name + "ffn_norm", changed_gains)));
            const auto gate = outputs_of(linears[s + 3], second);
            const auto up = outputs_of(linears[s + 4], second);
            quell::matrix<float> product = multiply(gate, up);
            add(x, project(product));
        }
        return x;
    }

private:
    void propagate(std::size_t layer, std::span<const quell::model::trial_weight> trial,
                   const quell::model::paired_look& look) {
        if (layer == 0 && trial.empty()) {
            kept.clear();
            kept_rounding.clear();
            rounded_rows.clear();
            outputs_as_given.clear();
            for (const quell::matrix<float>& w : weights) {
                kept.push_back(quell::matrix<float>::copy_of(w.view()));
            }
        }
        for (const quell::model::trial_weight& t : trial) {
            kept[t.site] = quell::matrix<float>::copy_of(t.w);
            const std::size_t input = graph.sites[t.site].input;
            kept_rounding[input] = t.round_input;
            rounded_rows[input] = rows_for(input);
            t.round_input ? t.round_input(rounded_rows[input].view()) : void();
            if (t.quantized != nullptr) {
                outputs_as_given[t.site] = outputs_of(*t.quantized, rows_for(input));
            }
        }
        if (!look.see) {
            return;
        }
        std::map<std::size_t, quell::matrix<float>> before;
        (void)run(float_linears(), {}, [&](std::size_t input, quell::matrix_view<const float> x) {
            before.insert_or_assign(input, quell::matrix<float>::copy_of(x));
        });
        std::vector<quell::quant::linear> linears;
        for (std::size_t s = 0; s < kept.size(); ++s) {
            linears.emplace_back(quell::quant::float_linear(kept[s].view(), biases[s]));
        }
        const auto see = [&](std::size_t input, quell::matrix_view<const float> x) {
            input == look.input ? look.see(before[input].view(), x) : void();
        };
        (void)run(linears, {}, see, [&](std::size_t input, quell::matrix_view<float> x) {
            const auto found = kept_rounding.find(input);
            found != kept_rounding.end() && found->second ? found->second(x) : void();
        });
    }

    static constexpr std::size_t sites_per_block = 5;
    static constexpr std::size_t inputs_per_block = 3;

    void add_site(std::size_t layer, const char* module, std::size_t out, std::size_t input) {
        const std::string name = "blk." + std::to_string(layer) + "." + module;
        const std::size_t in = graph.inputs[input].features;
        graph.sites.push_back({.name = name,
                               .module = module,
                               .layer = layer,
                               .out_features = out,
                               .in_features = in,
                               .storage = name,
                               .input = input});
        const double sigma = 1.0 / std::sqrt(static_cast<double>(in));
        weights.push_back(random_matrix(out, in, 1000 + weights.size(), sigma));
        biases.emplace_back(out, 0.125F);
    }

    void add_gain(const std::string& name, std::size_t input) {
        std::vector<float> gain(width, 1.0F);
        gain[3] = outlier;
        gain[20] = -outlier;
        gains[name] = gain;
        graph.inputs[input].producer = name;
    }

    void add_block(std::size_t b) {
        const std::string name = "blk." + std::to_string(b) + ".";
        using enum quell::producer_kind;
        graph.inputs.push_back({.name = name + "attn_in", .features = width, .kind = norm_gain, .producer = {}});
        graph.inputs.push_back({.name = name + "o_in", .features = width, .kind = product, .producer = name + "k"});
        graph.inputs.push_back({.name = name + "ffn_in", .features = width, .kind = norm_gain, .producer = {}});
        add_gain(name + "attn_norm", 3 * b);
        add_gain(name + "ffn_norm", 3 * b + 2);
        add_site(b, "q", width, 3 * b);
        add_site(b, "k", width, 3 * b);
        add_site(b, "o", width, 3 * b + 1);
        add_site(b, "gate", hidden, 3 * b + 2);
        add_site(b, "up", hidden, 3 * b + 2);
        // An outlier channel reaches a column that carries little, as in real models.
        for (std::size_t s = graph.sites.size() - sites_per_block; s < graph.sites.size(); ++s) {
            for (std::size_t r = 0; graph.sites[s].module != "o" && r < weights[s].rows(); ++r) {
                weights[s](r, 3) *= 0.02F;
                weights[s](r, 20) *= 0.02F;
            }
        }
    }

    [[nodiscard]] std::size_t index_of(const quell::site& s) const {
        for (std::size_t i = 0; i < graph.sites.size(); ++i) {
            if (graph.sites[i].name == s.name) {
                return i;
            }
        }
        return graph.sites.size();
    }

    [[nodiscard]] std::span<const float> gain_of(const std::string& name,
                                                 const std::map<std::string, quell::buffer<float>>& changed) const {
        const auto found = changed.find(name);
        return found == changed.end() ? std::span<const float>(gains.at(name)) : std::span<const float>(found->second);
    }

    static quell::matrix<float> normalize(const quell::matrix<float>& x, std::span<const float> gain) {
        quell::matrix<float> y(x.rows(), x.cols());
        for (std::size_t r = 0; r < x.rows(); ++r) {
            double squares = 1e-6;
            for (const float v : x.row(r)) {
                squares += double{v} * double{v} / static_cast<double>(x.cols());
            }
            for (std::size_t c = 0; c < x.cols(); ++c) {
                y(r, c) = static_cast<float>(double{x(r, c)} / std::sqrt(squares)) * gain[c];
            }
        }
        return y;
    }

    static quell::matrix<float> multiply(const quell::matrix<float>& a, const quell::matrix<float>& b) {
        quell::matrix<float> y(a.rows(), a.cols());
        for (std::size_t i = 0; i < y.elements().size(); ++i) {
            y.elements()[i] = std::tanh(a.elements()[i]) * b.elements()[i];
        }
        return y;
    }

    /// Folds the hidden channels back onto the residual stream; no linear, so that nothing here is quantized.
    static quell::matrix<float> project(const quell::matrix<float>& h) {
        quell::matrix<float> y(h.rows(), width);
        for (std::size_t r = 0; r < h.rows(); ++r) {
            for (std::size_t c = 0; c < h.cols(); ++c) {
                y(r, c % width) += 0.1F * h(r, c);
            }
        }
        return y;
    }

    static void add(quell::matrix<float>& x, const quell::matrix<float>& y) {
        for (std::size_t i = 0; i < x.elements().size(); ++i) {
            x.elements()[i] += y.elements()[i];
        }
    }

    quell::matrix<float> input_;
};

/// sqrt(sum (a - b)^2 / sum a^2).
inline double relative_difference(const quell::matrix<float>& a, const quell::matrix<float>& b) {
    double error = 0.0;
    double power = 0.0;
    for (std::size_t i = 0; i < a.elements().size(); ++i) {
        error += std::pow(double{a.elements()[i]} - double{b.elements()[i]}, 2);
        power += std::pow(double{a.elements()[i]}, 2);
    }
    return std::sqrt(error / power);
}
