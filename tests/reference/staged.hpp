// SPDX-License-Identifier: MIT
/// @file
/// Oracle of rounding/staged and rounding/salience: a row at a time, one column after the other, without blocks; in
/// the rounds of refinement every slope is summed up anew.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/scheme.hpp"
#include "reference/binary.hpp"
#include "reference/gptq.hpp"
#include "reference/inverse_factor.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

namespace reference {

/// The damped Hessian in an order of columns, and the factor of its inverse.
struct ordered_hessian {
    std::vector<std::size_t> order;
    std::vector<bool> dead;
    square h;
    square u;
};

inline ordered_hessian order_hessian(const square& gram, std::vector<std::size_t> order, double damping) {
    const std::size_t n = gram.size();
    double sum = 0.0;
    double live = 0.0;
    for (std::size_t j = 0; j < n; ++j) {
        sum += gram[j][j];
        live += gram[j][j] > 0.0 ? 1.0 : 0.0;
    }
    ordered_hessian p{.order = std::move(order), .dead = {}, .h = square(n, std::vector<double>(n)), .u = {}};
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            p.h[i][j] = gram[p.order[i]][p.order[j]];
        }
        p.dead.push_back(p.h[i][i] == 0.0);
        p.h[i][i] = p.dead[i] ? 1.0 : p.h[i][i] + damping * (sum / std::max(live, 1.0));
    }
    p.u = inverse_factor(p.h);
    return p;
}

/// By column; `how` is "magnitude", "hessian", "pbar" or "pbar_compensated".
inline std::vector<double> salience_scores(const std::string& how, const quell::matrix<float>& w, const square& gram,
                                           const quell::scheme& form, double damping) {
    const std::size_t n = w.cols();
    const std::size_t length = quell::group_length(form, n);
    std::vector<std::size_t> natural(n);
    std::iota(natural.begin(), natural.end(), std::size_t{0});
    const ordered_hessian p = order_hessian(gram, natural, damping);
    std::vector<double> scores(n, how == "hessian" ? 1.0 : 0.0);
    for (std::size_t r = 0; r < w.rows() && how != "hessian"; ++r) {
        for (std::size_t begin = 0; begin < n; begin += length) {
            const std::size_t end = std::min(n, begin + length);
            std::vector<double> group;
            for (std::size_t j = begin; j < end; ++j) {
                group.push_back(double{w(r, j)});
            }
            const levels fitted = binary_levels(group, form);
            for (std::size_t j = begin; j < end; ++j) {
                const double v = group[j - begin];
                const double e = how == "magnitude" ? v : v - fitted.nearest(v);
                scores[j] += e * e;
            }
        }
    }
    for (std::size_t j = 0; j < n; ++j) {
        double inverse = 0.0;
        for (std::size_t k = 0; k <= j; ++k) {
            inverse += p.u[k][j] * p.u[k][j];
        }
        scores[j] *= how == "magnitude" ? 1.0 : how == "pbar_compensated" ? 1.0 / inverse : gram[j][j];
    }
    return scores;
}

/// The binary columns by falling energy of their inputs, then those with the highest scores, likewise.
inline std::vector<std::size_t> staged_order(const std::vector<double>& scores, std::size_t high_columns,
                                             const square& gram) {
    std::vector<std::size_t> by_score(scores.size());
    std::iota(by_score.begin(), by_score.end(), std::size_t{0});
    std::stable_sort(by_score.begin(), by_score.end(),
                     [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    std::vector<std::size_t> order;
    for (const bool high : {false, true}) {
        std::vector<std::size_t> part;
        for (std::size_t j = 0; j < scores.size(); ++j) {
            const auto rank =
                static_cast<std::size_t>(std::find(by_score.begin(), by_score.end(), j) - by_score.begin());
            if ((rank < high_columns) == high) {
                part.push_back(j);
            }
        }
        std::stable_sort(part.begin(), part.end(),
                         [&](std::size_t a, std::size_t b) { return gram[a][a] > gram[b][b]; });
        order.insert(order.end(), part.begin(), part.end());
    }
    return order;
}

/// One group of a row: its form, its columns in the order of the Hessian, its numbers.
struct staged_group {
    std::size_t begin;
    std::size_t end;
    bool binary;
    double scale = 1.0;
    double beside = 0.0;  ///< mean or zero
};

struct staged_row {
    std::vector<int> codes;  ///< by position
    std::vector<staged_group> groups;
};

class staged_solver {
public:
    staged_solver(const ordered_hessian& p, quell::scheme low, quell::scheme high, std::size_t n_low, int rounds)
        : p_(p), low_(low), high_(high), n_low_(n_low), rounds_(rounds) {}

    [[nodiscard]] staged_row solve(const std::vector<double>& target, std::vector<double> open) {
        const std::size_t n = target.size();
        staged_row row{.codes = std::vector<int>(n), .groups = {}};
        cut(row.groups, 0, n_low_, low_, true);
        cut(row.groups, n_low_, n, high_, false);
        std::vector<double> values(n);
        for (staged_group& g : row.groups) {
            fit(g, {open.begin() + static_cast<std::ptrdiff_t>(g.begin),
                    open.begin() + static_cast<std::ptrdiff_t>(g.end)});
            for (std::size_t i = g.begin; i < g.end; ++i) {
                values[i] = round(g, open[i], row.codes[i]);
                const double error = (open[i] - values[i]) / p_.u[i][i];
                for (std::size_t j = i + 1; j < n; ++j) {
                    open[j] = minus_product(open[j], error, p_.u[i][j]);
                }
            }
        }
        for (int round_number = 0; round_number < rounds_; ++round_number) {
            for (staged_group& g : row.groups) {
                refine(g, target, values, row.codes);
            }
        }
        return row;
    }

private:
    static void cut(std::vector<staged_group>& groups, std::size_t begin, std::size_t end, const quell::scheme& form,
                    bool binary) {
        const std::size_t length = quell::group_length(form, end - begin);
        for (; begin < end; begin += length) {
            groups.push_back({begin, std::min(end, begin + length), binary});
        }
    }

    void fit(staged_group& g, const std::vector<double>& values) const {
        if (g.binary) {
            const levels fitted = binary_levels(values, low_);
            g.scale = fitted.scale;
            g.beside = fitted.mean;
        } else {
            const group_codes fitted = round_group({values.begin(), values.end()}, high_, 1.0);
            g.scale = double{fitted.scale};
            g.beside = fitted.zero;
        }
    }

    double round(const staged_group& g, double v, int& code) const {
        if (g.binary) {
            code = v >= g.beside ? 1 : 0;
            return g.beside + (2 * code - 1) * g.scale;
        }
        const int lowest = high_.codes == quell::code_set::symmetric ? -(1 << (high_.bits - 1)) : 0;
        const auto steps = double{std::nearbyint(static_cast<float>(v) / static_cast<float>(g.scale))};
        code = static_cast<int>(std::clamp(steps + g.beside, double(lowest), double(lowest + (1 << high_.bits) - 1)));
        return g.scale * (code - g.beside);
    }

    [[nodiscard]] double slope(const std::vector<double>& target, const std::vector<double>& values,
                               std::size_t i) const {
        double sum = 0.0;
        for (std::size_t j = 0; j < target.size(); ++j) {
            sum += (target[j] - values[j]) * p_.h[j][i];
        }
        return sum;
    }

    void refine(staged_group& g, const std::vector<double>& target, std::vector<double>& values,
                std::vector<int>& codes) const {
        for (std::size_t i = g.begin; i < g.end; ++i) {
            values[i] = round(g, values[i] + slope(target, values, i) / p_.h[i][i], codes[i]);
        }
        double uhu = 0.0, uh1 = 0.0, h1 = 0.0, ug = 0.0, sum = 0.0;
        const auto unit = [&](std::size_t i) { return g.binary ? 2.0 * codes[i] - 1.0 : codes[i] - g.beside; };
        for (std::size_t i = g.begin; i < g.end; ++i) {
            for (std::size_t j = g.begin; j < g.end; ++j) {
                uhu += unit(i) * p_.h[i][j] * unit(j);
                uh1 += unit(i) * p_.h[i][j];
                h1 += p_.h[i][j];
            }
            ug += unit(i) * slope(target, values, i);
            sum += slope(target, values, i);
        }
        const bool has_mean = g.binary && low_.codes == quell::code_set::sign_mean;
        const double determinant = uhu * h1 - uh1 * uh1;
        const bool joint = has_mean && determinant > 1e-9 * uhu * h1;
        const double by_scale = joint ? (ug * h1 - sum * uh1) / determinant : uhu > 0.0 ? ug / uhu : 0.0;
        const double by_mean = joint ? (sum * uhu - ug * uh1) / determinant : 0.0;
        const quell::scheme& form = g.binary ? low_ : high_;
        const double ds = g.scale + by_scale > 0.0 ? double{as_stored(form.scales, g.scale + by_scale)} - g.scale : 0.0;
        const double dm = has_mean ? double{as_stored(form.scales, g.beside + by_mean)} - g.beside : 0.0;
        if (2.0 * (ug * ds + sum * dm) > uhu * ds * ds + 2.0 * uh1 * ds * dm + h1 * dm * dm) {
            for (std::size_t i = g.begin; i < g.end; ++i) {
                values[i] += ds * unit(i) + dm;
            }
            g.scale += ds;
            g.beside += dm;
        }
    }

    const ordered_hessian& p_;
    quell::scheme low_;
    quell::scheme high_;
    std::size_t n_low_;
    int rounds_;
};

}  // namespace reference
