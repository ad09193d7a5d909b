// SPDX-License-Identifier: MIT
/// @file
/// Which input columns of a weight deserve more bits than the others: scores from the weight, from the inputs, or from
/// what binarization does to the outputs.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/views.hpp"
#include "quell/linalg/ordered_product.hpp"
#include "quell/rounding/binary.hpp"
#include "quell/rounding/hessian.hpp"
#include "quell/rounding/solver.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// How a column is scored, with e_ij the error of weight ij if all were binarized, G the Gram matrix of the inputs and
/// H its damped form.
enum class salience : std::uint8_t {
    magnitude,         ///< sum over rows of w_ij^2
    hessian,           ///< G_jj: the energy of the input
    pbar,              ///< sum over rows of e_ij^2, times G_jj: what binarization adds to the outputs
    pbar_compensated,  ///< sum over rows of e_ij^2, over (H^-1)_jj: what is left when all other columns make up for it
};

namespace detail {

/// Sums over the rows, in their order.
template <typename Square>
[[nodiscard]] std::vector<double> column_sums(matrix_view<const float> w, const Square& square) {
    std::vector<double> sums(w.cols(), 0.0);
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t c = 0; c < w.cols(); ++c) {
            sums[c] += square(r, c);
        }
    }
    return sums;
}

/// Over the rows, the squared errors of binary codes.
[[nodiscard]] inline result<std::vector<double>> binary_errors(matrix_view<const float> w, const scheme& form,
                                                               const executor& threads) {
    QUELL_TRY(const quantized q, binary{}.solve(w, form, {}, threads));
    return column_sums(w, [&](std::size_t r, std::size_t c) {
        const double e = static_cast<double>(w(r, c)) - static_cast<double>(value_of(q, r, c));
        return linalg::detail::unfused(e * e);
    });
}

/// The diagonal of H^-1 = U^T U, by column.
[[nodiscard]] inline std::vector<double> inverse_diagonal(const hessian_factor& f) {
    std::vector<double> diagonal(f.order.size(), 0.0);
    for (std::size_t k = 0; k < diagonal.size(); ++k) {
        for (std::size_t i = k; i < diagonal.size(); ++i) {
            diagonal[f.order[i]] += linalg::detail::unfused(f.u(k, i) * f.u(k, i));
        }
    }
    return diagonal;
}

}  // namespace detail

/// One score a column; a larger one deserves the bits more.
///
/// Shapes   w [out, in]; known.gram [in, in].
/// Requires a binary form, whose groups binarization is tried in; finite weights.
/// Errors   those of binary and of factor_hessian.
/// Cost     one pass over w; pbar_compensated factors the Hessian.
/// Source   PBAR of Squeeze10-LLM, arXiv 2507.18073, of which only the abstract was at hand. Differs: the formulas are
///          our reconstruction.
/// Oracle   reference::salience_scores (tests/reference/staged.hpp).
[[nodiscard]] inline result<std::vector<double>> score_columns(salience by, matrix_view<const float> w,
                                                               const scheme& form, const input_knowledge& known,
                                                               const hessian_options& options,
                                                               const executor& threads = {}) {
    QUELL_TRY_VOID(detail::check_gram(known, w.cols()));
    const bool tries_codes = by == salience::pbar || by == salience::pbar_compensated;
    std::vector<double> scores(w.cols(), 1.0);
    if (by == salience::magnitude) {
        scores = detail::column_sums(w, [&](std::size_t r, std::size_t c) {
            return linalg::detail::unfused(static_cast<double>(w(r, c)) * static_cast<double>(w(r, c)));
        });
    } else if (tries_codes) {
        QUELL_TRY(scores, detail::binary_errors(w, form, threads));
    }
    if (by == salience::hessian || by == salience::pbar) {
        for (std::size_t j = 0; j < scores.size(); ++j) {
            scores[j] *= known.gram(j, j);
        }
    } else if (by == salience::pbar_compensated) {
        QUELL_TRY(const std::shared_ptr<const hessian_factor> factor,
                  factor_hessian(known, w.cols(), options, threads));
        const hessian_factor& f = *factor;
        const std::vector<double> inverse = detail::inverse_diagonal(f);
        std::transform(scores.begin(), scores.end(), inverse.begin(), scores.begin(), std::divides<>{});
    }
    return scores;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
