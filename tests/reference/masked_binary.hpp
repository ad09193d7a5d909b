// SPDX-License-Identifier: MIT
/// @file
/// Oracles of rounding/masked_binary and rounding/billm: block after block, the errors of a block into all columns
/// behind it, one column after the other.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/scheme.hpp"
#include "reference/binary.hpp"
#include "reference/inverse_factor.hpp"
#include "reference/staged.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace reference {

inline ordered_hessian natural_hessian(const square& gram, double damping) {
    std::vector<std::size_t> natural(gram.size());
    std::iota(natural.begin(), natural.end(), std::size_t{0});
    return order_hessian(gram, natural, damping);
}

inline square rows_of_weight(const quell::matrix<float>& w, const ordered_hessian& p) {
    square rows(w.rows(), std::vector<double>(w.cols()));
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t j = 0; j < w.cols(); ++j) {
            rows[r][j] = p.dead[j] ? 0.0 : double{w(r, j)};
        }
    }
    return rows;
}

/// Which weights of columns begin ... end - 1 keep more bits: a full sort by `scores`.
inline std::vector<std::vector<bool>> best_weights(const square& scores, std::size_t begin, std::size_t end,
                                                   double share) {
    std::vector<std::pair<std::size_t, std::size_t>> all;
    for (std::size_t r = 0; r < scores.size(); ++r) {
        for (std::size_t j = begin; j < end; ++j) {
            all.emplace_back(r, j);
        }
    }
    std::stable_sort(all.begin(), all.end(), [&](const auto& a, const auto& b) {
        return scores[a.first][a.second] > scores[b.first][b.second];
    });
    all.resize(static_cast<std::size_t>(std::nearbyint(share * static_cast<double>(all.size()))));
    std::vector<std::vector<bool>> kept(scores.size(), std::vector<bool>(end, false));
    for (const auto& [r, j] : all) {
        kept[r][j] = true;
    }
    return kept;
}

/// The score of PB-LLM, w^2 / U_jj^2, and a high form of 8 bits a row with a zero.
inline square masked_binary(const quell::matrix<float>& w, const square& gram, const quell::scheme& low,
                            const quell::scheme& high, double share, double damping) {
    const ordered_hessian p = natural_hessian(gram, damping);
    square rows = rows_of_weight(w, p);
    const std::size_t n = w.cols();
    square scores(w.rows(), std::vector<double>(n));
    std::vector<group_codes> fine;
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t j = 0; j < n; ++j) {
            scores[r][j] = double{w(r, j)} * double{w(r, j)} / (p.u[j][j] * p.u[j][j]);
        }
        fine.push_back(round_group({w.row(r).begin(), w.row(r).end()}, high, 1.0));
    }
    const std::size_t length = quell::group_length(low, n);
    for (std::size_t begin = 0; begin < n; begin += length) {
        const std::size_t end = std::min(n, begin + length);
        const auto kept = best_weights(scores, begin, end, share);
        for (std::size_t r = 0; r < rows.size(); ++r) {
            std::vector<double> open;
            for (std::size_t j = begin; j < end; ++j) {
                if (!kept[r][j]) {
                    open.push_back(rows[r][j]);
                }
            }
            const levels fitted = binary_levels(open, low);
            for (std::size_t j = begin; j < end; ++j) {
                const auto scale = double{fine[r].scale};
                const double steps =
                    double{std::nearbyint(static_cast<float>(rows[r][j]) / fine[r].scale)} + fine[r].zero;
                const double value =
                    kept[r][j] ? scale * (std::clamp(steps, -127.0, 127.0) - fine[r].zero) : fitted.nearest(rows[r][j]);
                const double error = (rows[r][j] - value) / p.u[j][j];
                rows[r][j] = value;
                for (std::size_t k = j + 1; k < n; ++k) {
                    rows[r][k] = minus_product(rows[r][k], error, p.u[j][k]);
                }
            }
        }
    }
    return rows;
}

/// Members of a row binarized some times, each time what is left.
inline void binarize_again(const std::vector<double>& row, const std::vector<bool>& member, int times,
                           const quell::scheme& form, std::vector<double>& values) {
    for (int time = 0; time < times; ++time) {
        std::vector<double> rest;
        for (std::size_t c = 0; c < row.size(); ++c) {
            if (member[c]) {
                rest.push_back(row[c] - values[c]);
            }
        }
        const levels fitted = binary_levels(rest, form);
        for (std::size_t c = 0; c < row.size(); ++c) {
            values[c] += member[c] ? fitted.nearest(row[c] - values[c]) : 0.0;
        }
    }
}

inline double squared_distance(const square& a, const square& b) {
    double sum = 0.0;
    for (std::size_t r = 0; r < a.size(); ++r) {
        for (std::size_t c = 0; c < a[r].size(); ++c) {
            sum += (a[r][c] - b[r][c]) * (a[r][c] - b[r][c]);
        }
    }
    return sum;
}

/// A block in its three kinds: small, large, salient.
inline square billm_values(const square& block, const std::vector<bool>& salient, double threshold,
                           const quell::scheme& form) {
    square values(block.size());
    for (std::size_t r = 0; r < block.size(); ++r) {
        values[r].assign(block[r].size(), 0.0);
        std::vector<bool> small(block[r].size());
        std::vector<bool> large(block[r].size());
        for (std::size_t c = 0; c < block[r].size(); ++c) {
            small[c] = !salient[c] && std::fabs(block[r][c]) <= threshold;
            large[c] = !salient[c] && !small[c];
        }
        binarize_again(block[r], small, 1, form, values[r]);
        binarize_again(block[r], large, 1, form, values[r]);
        binarize_again(block[r], salient, 2, form, values[r]);
    }
    return values;
}

inline std::vector<bool> billm_columns(const square& block, const std::vector<double>& scores, std::size_t most,
                                       const quell::scheme& form) {
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    double least = std::numeric_limits<double>::infinity();
    std::vector<bool> best(scores.size(), false);
    for (const std::size_t count : {1U, 2U, 3U, 4U, 6U, 8U, 12U, 16U, 24U, 32U, 48U}) {
        std::vector<bool> salient(scores.size(), false);
        for (std::size_t i = 0; i < std::min(count, scores.size()); ++i) {
            salient[order[i]] = true;
        }
        square values(block.size(), std::vector<double>(scores.size(), 0.0));
        std::vector<bool> others = salient;
        others.flip();
        for (std::size_t r = 0; r < block.size(); ++r) {
            binarize_again(block[r], salient, 2, form, values[r]);
            binarize_again(block[r], others, 2, form, values[r]);
        }
        if (count <= most && count <= scores.size() && squared_distance(block, values) < least) {
            least = squared_distance(block, values);
            best = salient;
        }
    }
    return best;
}

inline square billm(const quell::matrix<float>& w, const square& gram, const quell::scheme& form, std::size_t most,
                    double damping) {
    const ordered_hessian p = natural_hessian(gram, damping);
    square rows = rows_of_weight(w, p);
    square result(w.rows(), std::vector<double>(w.cols()));
    const std::size_t n = w.cols();
    const std::size_t length = quell::group_length(form, n);
    for (std::size_t begin = 0; begin < n; begin += length) {
        const std::size_t end = std::min(n, begin + length);
        square block;
        std::vector<double> scores(end - begin, 0.0);
        for (const std::vector<double>& row : rows) {
            block.emplace_back(row.begin() + static_cast<std::ptrdiff_t>(begin),
                               row.begin() + static_cast<std::ptrdiff_t>(end));
            for (std::size_t c = begin; c < end; ++c) {
                scores[c - begin] += row[c] * row[c] / (p.u[c][c] * p.u[c][c]);
            }
        }
        const std::vector<bool> salient = billm_columns(block, scores, most, form);
        std::vector<double> magnitudes;
        for (const std::vector<double>& row : block) {
            for (std::size_t c = 0; c < row.size(); ++c) {
                if (!salient[c]) {
                    magnitudes.push_back(std::fabs(row[c]));
                }
            }
        }
        std::sort(magnitudes.begin(), magnitudes.end());
        square best;
        for (std::size_t step = 2; step <= 18 && !magnitudes.empty(); ++step) {
            const square values = billm_values(block, salient, magnitudes[(magnitudes.size() - 1) * step / 20], form);
            if (best.empty() || squared_distance(block, values) < squared_distance(block, best)) {
                best = values;
            }
        }
        best = best.empty() ? billm_values(block, salient, 0.0, form) : best;
        for (std::size_t r = 0; r < rows.size(); ++r) {
            for (std::size_t c = begin; c < end; ++c) {
                result[r][c] = best[r][c - begin];
                for (std::size_t k = end; k < n; ++k) {
                    rows[r][k] =
                        minus_product(rows[r][k], (block[r][c - begin] - best[r][c - begin]) / p.u[c][c], p.u[c][k]);
                }
            }
        }
    }
    return result;
}

}  // namespace reference
