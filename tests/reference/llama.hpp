// SPDX-License-Identifier: MIT
/// @file
/// The whole forward pass of a LLaMA or Qwen2 in plain loops and double, one token after the other, without a cache of
/// anything but the definition: token t attends to tokens 0 ... t. Weights by their Hugging Face names.
#pragma once

#include "transformer/config.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace reference {

using vector = std::vector<double>;
using rows = std::vector<vector>;

class llama {
public:
    llama(transformer::config c, std::map<std::string, std::vector<float>> weights)
        : c_(std::move(c)), weights_(std::move(weights)) {}

    /// Divisors of the frequencies; empty for none.
    vector rope_factors;

    /// [tokens][vocab]
    [[nodiscard]] rows logits(const std::vector<std::int32_t>& ids) const {
        rows x;
        for (const std::int32_t id : ids) {
            vector row(c_.width);
            for (std::size_t i = 0; i < c_.width; ++i) {
                row[i] =
                    static_cast<double>(weight("model.embed_tokens").at(static_cast<std::size_t>(id) * c_.width + i));
            }
            x.push_back(row);
        }
        for (std::size_t l = 0; l < c_.layers; ++l) {
            const std::string name = "model.layers." + std::to_string(l) + ".";
            add(x, attention(name + "self_attn.", norm(name + "input_layernorm", x)));
            add(x, feed_forward(name + "mlp.", norm(name + "post_attention_layernorm", x)));
        }
        return linear(c_.tied_head ? "model.embed_tokens" : "lm_head", norm("model.norm", x), c_.vocab);
    }

private:
    [[nodiscard]] const std::vector<float>& weight(const std::string& name) const {
        return weights_.at(name + ".weight");
    }

    static void add(rows& x, const rows& delta) {
        for (std::size_t t = 0; t < x.size(); ++t) {
            for (std::size_t i = 0; i < x[t].size(); ++i) {
                x[t][i] += delta[t][i];
            }
        }
    }

    [[nodiscard]] rows norm(const std::string& name, const rows& x) const {
        const std::vector<float>& gain = weight(name);
        rows y = x;
        for (vector& row : y) {
            double squares = 0;
            for (const double v : row) {
                squares += v * v;
            }
            const double root = std::sqrt(squares / static_cast<double>(row.size()) + static_cast<double>(c_.norm_eps));
            for (std::size_t i = 0; i < row.size(); ++i) {
                row[i] = row[i] / root * static_cast<double>(gain.at(i));
            }
        }
        return y;
    }

    [[nodiscard]] rows linear(const std::string& name, const rows& x, std::size_t out) const {
        const std::vector<float>& w = weight(name);
        const auto bias = weights_.find(name + ".bias");
        rows y(x.size(), vector(out));
        for (std::size_t t = 0; t < x.size(); ++t) {
            for (std::size_t o = 0; o < out; ++o) {
                double sum = bias == weights_.end() ? 0.0 : static_cast<double>(bias->second.at(o));
                for (std::size_t i = 0; i < x[t].size(); ++i) {
                    sum += x[t][i] * static_cast<double>(w.at(o * x[t].size() + i));
                }
                y[t][o] = sum;
            }
        }
        return y;
    }

    /// Turns every head of every row by its position.
    void rotate(rows& x) const {
        for (std::size_t t = 0; t < x.size(); ++t) {
            for (std::size_t head = 0; head < x[t].size(); head += c_.head_size) {
                for (std::size_t i = 0; i < c_.head_size / 2; ++i) {
                    const bool halves = c_.rope == transformer::rope_order::halves;
                    double& a = x[t][head + (halves ? i : 2 * i)];
                    double& b = x[t][head + (halves ? i + c_.head_size / 2 : 2 * i + 1)];
                    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(c_.head_size);
                    const double slowed = rope_factors.empty() ? 1.0 : rope_factors[i];
                    const double angle = static_cast<double>(t) * std::pow(c_.rope_base, exponent) / slowed;
                    const double turned = a * std::cos(angle) - b * std::sin(angle);
                    b = a * std::sin(angle) + b * std::cos(angle);
                    a = turned;
                }
            }
        }
    }

    [[nodiscard]] rows attention(const std::string& name, const rows& x) const {
        rows q = linear(name + "q_proj", x, c_.heads * c_.head_size);
        rows k = linear(name + "k_proj", x, c_.kv_heads * c_.head_size);
        const rows v = linear(name + "v_proj", x, c_.kv_heads * c_.head_size);
        rotate(q);
        rotate(k);
        rows mixed(x.size(), vector(c_.heads * c_.head_size));
        for (std::size_t t = 0; t < x.size(); ++t) {
            for (std::size_t h = 0; h < c_.heads; ++h) {
                const std::size_t from = h / (c_.heads / c_.kv_heads) * c_.head_size;
                vector p(t + 1);
                double sum = 0;
                for (std::size_t s = 0; s <= t; ++s) {
                    double score = 0;
                    for (std::size_t d = 0; d < c_.head_size; ++d) {
                        score += q[t][h * c_.head_size + d] * k[s][from + d];
                    }
                    p[s] = std::exp(score / std::sqrt(static_cast<double>(c_.head_size)));
                    sum += p[s];
                }
                for (std::size_t s = 0; s <= t; ++s) {
                    for (std::size_t d = 0; d < c_.head_size; ++d) {
                        mixed[t][h * c_.head_size + d] += p[s] / sum * v[s][from + d];
                    }
                }
            }
        }
        return linear(name + "o_proj", mixed, c_.width);
    }

    [[nodiscard]] rows feed_forward(const std::string& name, const rows& x) const {
        rows up = linear(name + "up_proj", x, c_.ff_width);
        const bool gated = c_.act == transformer::activation::swiglu;
        const rows gate = gated ? linear(name + "gate_proj", x, c_.ff_width) : rows();
        for (std::size_t t = 0; t < up.size(); ++t) {
            for (std::size_t i = 0; i < c_.ff_width; ++i) {
                up[t][i] = gated ? up[t][i] * gate[t][i] / (1.0 + std::exp(-gate[t][i])) : gelu(up[t][i]);
            }
        }
        return linear(name + "down_proj", up, c_.width);
    }

    [[nodiscard]] double gelu(double x) const {
        if (c_.gelu == transformer::gelu_form::erf) {
            return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
        }
        return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    }

    transformer::config c_;
    std::map<std::string, std::vector<float>> weights_;
};

}  // namespace reference
