// SPDX-License-Identifier: MIT
/// @file
/// Oracle of rounding/gptq: row by row, one column after the other, without blocks; a column's error goes into all
/// columns that follow at once. Scales span the full range (no clip search) of rows or of groups.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/scheme.hpp"
#include "reference/inverse_factor.hpp"
#include "reference/rtn.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

namespace reference {

struct gptq_options {
    double damping = 0.01;
    double noise = 0.0;
    bool activation_order = false;
    bool static_groups = false;
};

/// Columns in the order in which they are rounded: a bubble sort, so that equals keep theirs.
inline std::vector<std::size_t> column_order(const square& g, bool by_activation) {
    std::vector<std::size_t> order(g.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t i = 0; by_activation && i < order.size(); ++i) {
        for (std::size_t j = order.size() - 1; j > i; --j) {
            if (g[order[j]][order[j]] > g[order[j - 1]][order[j - 1]]) {
                std::swap(order[j], order[j - 1]);
            }
        }
    }
    return order;
}

/// The Hessian's factor and what belongs to it, all in the order of the columns.
struct gptq_problem {
    std::vector<std::size_t> order;
    std::vector<bool> dead;
    square u;
    double lambda = 0.0;
};

inline gptq_problem make_problem(const square& gram, const gptq_options& options) {
    const std::size_t n = gram.size();
    double sum = 0.0;
    double live = 0.0;
    for (std::size_t j = 0; j < n; ++j) {
        sum += gram[j][j];
        live += gram[j][j] > 0.0 ? 1.0 : 0.0;
    }
    gptq_problem p{.order = column_order(gram, options.activation_order), .dead = {}, .u = {}};
    p.lambda = options.noise * (sum / static_cast<double>(n));
    const double delta = options.damping * (sum / std::max(live, 1.0));
    square h(n, std::vector<double>(n));
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            h[i][j] = gram[p.order[i]][p.order[j]];
        }
        p.dead.push_back(h[i][i] == 0.0);
        h[i][i] = p.dead[i] ? 1.0 : h[i][i] + (p.lambda + delta);
    }
    p.u = inverse_factor(h);
    return p;
}

/// W - lambda W H^-1, with H^-1 = U^T U.
inline std::vector<double> best_under_noise(std::vector<double> row, const gptq_problem& p) {
    const std::size_t n = row.size();
    std::vector<double> t(n, 0.0);
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t k = j; k < n; ++k) {
            t[j] = minus_product(t[j], row[k], p.u[j][k]);
        }
        t[j] *= -p.lambda;
    }
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t k = 0; k <= j; ++k) {
            row[j] = minus_product(row[j], t[k], p.u[k][j]);
        }
    }
    return row;
}

inline std::vector<double> row_to_round(const quell::matrix<float>& w, std::size_t r, const gptq_problem& p) {
    std::vector<double> row(p.order.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
        row[i] = p.dead[i] ? 0.0 : static_cast<double>(w(r, p.order[i]));
    }
    return p.lambda > 0.0 ? best_under_noise(row, p) : row;
}

/// Scale and zero of group g as the row stands.
inline group_codes fit_group(const std::vector<double>& row, const gptq_problem& p, const quell::scheme& form,
                             std::size_t g) {
    const std::size_t n = row.size();
    const std::size_t length = quell::group_length(form, n);
    std::vector<float> by_column(n);
    for (std::size_t i = 0; i < n; ++i) {
        by_column[p.order[i]] = static_cast<float>(row[i]);
    }
    const auto at = [&](std::size_t j) { return by_column.begin() + static_cast<std::ptrdiff_t>(std::min(n, j)); };
    return round_group({at(g * length), at((g + 1) * length)}, form, 1.0);
}

struct rounded_row {
    std::vector<int> codes;           ///< by column
    std::vector<group_codes> groups;  ///< scales and zeros
};

inline rounded_row gptq_row(std::vector<double> row, const gptq_problem& p, const quell::scheme& form,
                            bool static_groups) {
    const std::size_t n = row.size();
    const std::size_t length = quell::group_length(form, n);
    rounded_row result{std::vector<int>(n), std::vector<group_codes>(quell::groups_per_row(form, n))};
    for (std::size_t g = 0; g < result.groups.size(); ++g) {
        result.groups[g] = fit_group(row, p, form, g);
    }
    const int lowest = form.bits == 8 ? -127 : form.codes == quell::code_set::symmetric ? -(1 << (form.bits - 1)) : 0;
    const int highest = form.bits == 8 ? 127 : lowest + (1 << form.bits) - 1;
    for (std::size_t i = 0; i < n; ++i) {
        group_codes& group = result.groups[p.order[i] / length];
        if (!static_groups && form.reach == quell::granularity::group && i % length == 0) {
            group = fit_group(row, p, form, i / length);
        }
        const auto steps = static_cast<double>(std::nearbyint(static_cast<float>(row[i]) / group.scale));
        const int code = static_cast<int>(std::clamp<double>(steps + group.zero, lowest, highest));
        result.codes[p.order[i]] = code;
        const float value = group.scale * static_cast<float>(code - group.zero);
        const double error = (row[i] - static_cast<double>(value)) / p.u[i][i];
        for (std::size_t j = i + 1; j < n; ++j) {
            row[j] = minus_product(row[j], error, p.u[i][j]);
        }
    }
    return result;
}

inline std::vector<rounded_row> gptq(const quell::matrix<float>& w, const square& gram, const quell::scheme& form,
                                     const gptq_options& options) {
    const gptq_problem p = make_problem(gram, options);
    std::vector<rounded_row> rows;
    for (std::size_t r = 0; r < w.rows(); ++r) {
        rows.push_back(gptq_row(row_to_round(w, r, p), p, form, options.static_groups));
    }
    return rows;
}

}  // namespace reference
