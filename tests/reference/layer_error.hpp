// SPDX-License-Identifier: MIT
/// @file
/// Oracle of quant/layer_error and quant/transform_study: the four transforms, both roundings, the error and the
/// difficulty from their definitions, in double; what the library keeps in float is rounded to float here too.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/transforms/hadamard.hpp"
#include "reference/hadamard.hpp"
#include "reference/quantized_product.hpp"
#include "reference/rtn.hpp"
#include "reference/smooth.hpp"
#include "reference/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace reference {

inline std::vector<float> to_floats(const std::vector<double>& row) {
    return {row.begin(), row.end()};
}

/// Rows rounded like activations: a scale a row, multiplied by its inverse.
inline table rounded_activations(const table& x, int bits, float clip) {
    table rounded;
    for (const std::vector<double>& row : x) {
        rounded.push_back(rounded_row(to_floats(row), {.bits = bits, .clip = clip}));
    }
    return rounded;
}

/// Rows rounded like weights: a scale a row, divided by it.
inline table rounded_weight(const table& w, int bits) {
    table rounded;
    for (const std::vector<double>& row : w) {
        const group_codes g = round_group(to_floats(row), quell::scheme{.bits = bits}, 1.0);
        rounded.emplace_back();
        for (const int code : g.codes) {
            rounded.back().push_back(static_cast<double>(g.scale) * code);
        }
    }
    return rounded;
}

struct layer_error_value {
    double squares = 0.0;
    double energy = 0.0;
    double per_token = 0.0;
};

/// Of rounded operands against exact ones, which may be in another basis.
inline layer_error_value layer_error(const table& exact, const table& rounded) {
    layer_error_value sum;
    for (std::size_t t = 0; t < exact.size(); ++t) {
        layer_error_value token;
        for (std::size_t o = 0; o < exact[t].size(); ++o) {
            token.squares += std::pow(exact[t][o] - rounded[t][o], 2);
            token.energy += std::pow(exact[t][o], 2);
        }
        sum.squares += token.squares;
        sum.energy += token.energy;
        sum.per_token += token.squares / token.energy / static_cast<double>(exact.size());
    }
    return sum;
}

/// The sample standard deviation of the L2 norms of the columns.
inline double difficulty(const table& m) {
    std::vector<double> norms(m.front().size(), 0.0);
    for (const std::vector<double>& row : m) {
        for (std::size_t j = 0; j < row.size(); ++j) {
            norms[j] += row[j] * row[j];
        }
    }
    for (double& v : norms) {
        v = std::sqrt(v);
    }
    return sample_deviation(norms);
}

inline table smoothed(table m, const std::vector<double>& scales, bool is_weight) {
    for (std::vector<double>& row : m) {
        for (std::size_t j = 0; j < row.size(); ++j) {
            const auto s = static_cast<double>(static_cast<float>(scales[j]));
            row[j] = static_cast<double>(static_cast<float>(is_weight ? row[j] * s : row[j] / s));
        }
    }
    return m;
}

inline table rotated(table m) {
    const quell::transforms::hadamard h(m.front().size());
    for (std::vector<double>& row : m) {
        row = hadamard_product(h.shape(), {h.signs().begin(), h.signs().end()}, row);
        for (double& v : row) {
            v = static_cast<double>(static_cast<float>(v));
        }
    }
    return m;
}

/// A row of the table of a study for one weight.
struct studied {
    layer_error_value error;
    double activation_difficulty = 0.0;
    double weight_difficulty = 0.0;
    double largest = 0.0;
};

inline studied study(const table& x, const table& w, bool smooth, bool rotate, double alpha) {
    std::vector<double> maxima(x.front().size(), 0.0);
    for (const std::vector<double>& row : x) {
        for (std::size_t j = 0; j < row.size(); ++j) {
            maxima[j] = std::max(maxima[j], std::fabs(row[j]));
        }
    }
    const std::vector<double> scales = smooth_scales(maxima, {w}, alpha);
    table changed_x = smooth ? smoothed(x, scales, false) : x;
    table changed_w = smooth ? smoothed(w, scales, true) : w;
    changed_x = rotate ? rotated(changed_x) : changed_x;
    changed_w = rotate ? rotated(changed_w) : changed_w;
    studied s;
    s.error =
        layer_error(multiply(x, w), multiply(rounded_activations(changed_x, 4, 1.0F), rounded_weight(changed_w, 4)));
    s.activation_difficulty = difficulty(changed_x);
    s.weight_difficulty = difficulty(changed_w);
    for (const std::vector<double>& row : changed_x) {
        for (const double v : row) {
            s.largest = std::max(s.largest, std::fabs(v));
        }
    }
    return s;
}

}  // namespace reference
