// SPDX-License-Identifier: MIT
/// @file
/// Importance-weighted rounding: scale and zero of every group minimize the squared error of its weights, each weighted
/// by the energy of its input. What engines call an importance matrix.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/rounding/real_zero.hpp"
#include "quell/rounding/solver.hpp"
#include "quell/rounding/weighted_fit.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// Shapes   w [out, in]; known.importance [in], the mean of x_j^2.
/// Requires the forms of check_real_form: 2 to 8 bits with real zeros, per channel or group.
/// Errors   errc::not_found without importance; errc::unsupported and errc::bad_shape for another form; errc::bad_value
///          for a weight or an importance that is not finite, named by row and column.
/// Cost     out * in * candidates * lines.
/// Source   The importance matrix of llama.cpp: the weight of v_j in a row is E[x_j^2] sqrt(s^2 + v_j^2), s^2 the mean
///          of v^2 over the row. Differs: the search of weighted_fit.hpp.
/// Oracle   reference::weighted_error (tests/reference/weighted_fit.hpp). The codes are the same on every compiler,
///          instruction set and thread count.
struct imatrix {
    static constexpr std::string_view name = "imatrix";
    weighted_fit fit = {};

    [[nodiscard]] static constexpr bool needs_importance() { return true; }
    [[nodiscard]] result<quantized> solve(matrix_view<const float> w, const scheme& form, const input_knowledge& known,
                                          const executor& threads = {}) const;
};

namespace detail {

/// E[x_j^2] sqrt(s^2 + v_j^2) for the weights of one row, into `weights`.
inline void weigh_row(std::span<const float> row, column_weights importance, std::span<float> weights) {
    double squares = 0.0;
    for (const float v : row) {
        squares += static_cast<double>(v) * static_cast<double>(v);
    }
    const double mean = squares / static_cast<double>(std::max<std::size_t>(row.size(), 1));
    for (std::size_t j = 0; j < row.size(); ++j) {
        const double v = static_cast<double>(row[j]);
        weights[j] = static_cast<float>(static_cast<double>(importance[j]) * std::sqrt(mean + v * v));
    }
}

/// Rows of a weight, each group fitted with the weights of its values.
class fitted_rows {
public:
    fitted_rows(const weighted_fit& options, quantized& q)
        : q_(q),
          length_(group_length(q.form, q.in_features())),
          fitter_(options, q.form, std::min(length_, q.in_features())) {}

    /// All scales first, which may be stored together; then the zeros that are best for them.
    void solve(std::span<const float> row, column_weights weights, std::size_t r) {
        std::vector<double> wanted;
        for (std::size_t begin = 0; begin < row.size(); begin += length_) {
            load(row, weights, begin);
            wanted.push_back(fitter_.search());
        }
        const float unit = unit_for(wanted);
        for (std::size_t g = 0; g < wanted.size(); ++g) {
            const std::span<const float> values = load(row, weights, g * length_);
            const affine a = fitter_.store(wanted[g], unit);
            q_.scales(r, g) = a.scale;
            q_.zeros(r, g) = a.zero;
            round_to_real_codes(values, q_.form, a, q_.codes.row(r).subspan(g * length_, values.size()));
        }
    }

private:
    std::span<const float> load(std::span<const float> row, column_weights weights, std::size_t begin) {
        const std::size_t n = std::min(length_, row.size() - begin);
        fitter_.load(row.subspan(begin, n), weights.subspan(begin, n));
        return row.subspan(begin, n);
    }

    quantized& q_;
    std::size_t length_;
    group_fitter fitter_;
};

}  // namespace detail

inline result<quantized> imatrix::solve(matrix_view<const float> w, const scheme& form, const input_knowledge& known,
                                        const executor& threads) const {
    QUELL_EXPECTS(fit.candidates >= 1 && fit.candidates <= 25 && fit.lines >= 1, "something to try");
    QUELL_TRY_VOID(check_real_form(form));
    if (known.importance.empty() && w.cols() > 0) {
        return error{errc::not_found, "the solver needs the importance of the inputs"};
    }
    QUELL_TRY_VOID(check_importance(known.importance, w.cols()));
    QUELL_TRY_VOID(stats::check_finite(w));
    quantized q = make_quantized(form, w.rows(), w.cols());
    constexpr std::size_t rows_per_task = 8;
    threads.parallel_for((w.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
        detail::fitted_rows rows(fit, q);
        std::vector<float> weights(w.cols());
        const std::size_t end = std::min(w.rows(), (task + 1) * rows_per_task);
        for (std::size_t r = task * rows_per_task; r < end; ++r) {
            detail::weigh_row(w.row(r), known.importance, weights);
            rows.solve(w.row(r), weights, r);
        }
    });
    return q;
}

static_assert(solver<imatrix>);

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
