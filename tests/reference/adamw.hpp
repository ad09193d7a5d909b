// SPDX-License-Identifier: MIT
/// @file
/// Oracle of the optimizer: clipping and AdamW as the papers write them, one number at a time, in double.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace reference {

/// The gradient, no longer than `longest`.
inline std::vector<double> clip(std::vector<double> gradient, double longest) {
    double squares = 0.0;
    for (const double g : gradient) {
        squares += g * g;
    }
    const double length = std::sqrt(squares);
    for (double& g : gradient) {
        g = length > longest ? g * longest / length : g;
    }
    return gradient;
}

struct adamw_rule {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double eps = 1e-8;
    double weight_decay = 0.0;
};

/// One parameter with its moments; step t counts from 1.
struct adamw_value {
    double value = 0.0;
    double first = 0.0;
    double second = 0.0;

    void step(double gradient, double rate, std::size_t t, const adamw_rule& rule, double unit = 1.0) {
        first = rule.beta1 * first + (1.0 - rule.beta1) * gradient;
        second = rule.beta2 * second + (1.0 - rule.beta2) * gradient * gradient;
        const double first_hat = first / (1.0 - std::pow(rule.beta1, static_cast<double>(t)));
        const double second_hat = second / (1.0 - std::pow(rule.beta2, static_cast<double>(t)));
        value -= rate * rule.weight_decay * value + rate * unit * first_hat / (std::sqrt(second_hat) + rule.eps);
    }
};

}  // namespace reference
