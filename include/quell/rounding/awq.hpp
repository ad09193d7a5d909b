// SPDX-License-Identifier: MIT
/// @file
/// The clip search of AWQ: how much of its range a group spans is decided by what the group's share of the output loses
/// on the calibration inputs, not by the error of the weights. Its other half, the scales of the input channels, is
/// `activation_scale` in quant/policies.hpp.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/linalg/ordered_product.hpp"
#include "quell/rounding/clip_search.hpp"
#include "quell/rounding/hessian.hpp"
#include "quell/rounding/nearest.hpp"
#include "quell/rounding/solver.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// Weights are clamped to 1 - i / grid of the largest magnitude of their group, for i = 0 ... candidates - 1.
///
/// Shapes   w [out, in]; known.gram [in, in].
/// Requires the forms of rtn.
/// Errors   errc::not_found, errc::bad_shape and errc::bad_value for the Gram matrix; errc::unsupported and
///          errc::bad_shape for another form; errc::bad_value for a weight that is not finite, named by row and column.
/// Cost     out * in * group * candidates multiply-subtracts.
/// Source   AWQ, arXiv 2306.00978, and its code. Differs: the loss e G e^T over all calibration tokens, G the group's
///          block of the Gram matrix, where the code sums over a few; every linear is clipped, where it spares q and k.
/// Oracle   reference::awq_least_loss (tests/reference/awq.hpp). The codes for a given Gram matrix are the same on
/// every
///          compiler, instruction set and thread count.
struct awq {
    static constexpr std::string_view name = "awq";
    int grid = 20;
    int candidates = 10;

    [[nodiscard]] static constexpr bool needs_gram() { return true; }
    [[nodiscard]] result<quantized> solve(matrix_view<const float> w, const scheme& form, const input_knowledge& known,
                                          const executor& threads = {}) const;
};

namespace detail {

/// Some rows of a weight, one group of columns at a time.
class awq_rows {
public:
    awq_rows(const awq& options, const input_knowledge& known, quantized& q, std::size_t first,
             matrix_view<const float> w)
        : options_(options), known_(known), q_(q), first_(first), w_(w) {}

    void solve() {
        const std::size_t length = group_length(q_.form, w_.cols());
        for (std::size_t begin = 0; begin < w_.cols(); begin += length) {
            solve_group(begin / length, begin, std::min(length, w_.cols() - begin));
        }
    }

private:
    void solve_group(std::size_t g, std::size_t begin, std::size_t n) {
        const matrix_view<const double> gram = known_.gram.block(begin, begin, n, n);
        std::vector<double> least(w_.rows(), std::numeric_limits<double>::infinity());
        for (int i = 0; i < options_.candidates; ++i) {
            std::vector<affine> tried(w_.rows());
            matrix<double> errors(w_.rows(), n);
            for (std::size_t r = 0; r < w_.rows(); ++r) {
                const std::span<const float> values = w_.row(r).subspan(begin, n);
                const std::vector<float> clamped = clamp_part(values, i);
                tried[r] = fit_range(q_.form, range_with_zero(clamped));
                put_errors(values, clamped, tried[r], errors.row(r));
            }
            const std::vector<double> losses = losses_of(errors, gram);
            for (std::size_t r = 0; r < w_.rows(); ++r) {
                if (losses[r] < least[r]) {
                    least[r] = losses[r];
                    keep(tried[r], r, g, clamp_part(w_.row(r).subspan(begin, n), i), begin);
                }
            }
        }
    }

    /// The values within 1 - i / grid of the largest magnitude.
    [[nodiscard]] std::vector<float> clamp_part(std::span<const float> values, int i) const {
        const auto [low, high] = std::minmax_element(values.begin(), values.end());
        const float largest = std::max(std::fabs(*low), std::fabs(*high));
        const float limit = largest * (static_cast<float>(options_.grid - i) / static_cast<float>(options_.grid));
        std::vector<float> clamped(values.size());
        std::transform(values.begin(), values.end(), clamped.begin(),
                       [limit](float v) { return std::clamp(v, -limit, limit); });
        return clamped;
    }

    void put_errors(std::span<const float> values, std::span<const float> clamped, const affine& a,
                    std::span<double> errors) const {
        const steps_range steps = steps_of(q_.form, a);
        for (std::size_t j = 0; j < values.size(); ++j) {
            const float rounded = a.scale * nearest_step(clamped[j], a.scale, steps);
            errors[j] = static_cast<double>(values[j]) - static_cast<double>(rounded);
        }
    }

    /// e G e^T of every row.
    [[nodiscard]] static std::vector<double> losses_of(const matrix<double>& errors, matrix_view<const double> gram) {
        matrix<double> products(errors.rows(), errors.cols());  // -E G
        linalg::subtract_product(products.view(), errors.view(), gram);
        std::vector<double> losses(errors.rows());
        for (std::size_t r = 0; r < errors.rows(); ++r) {
            for (std::size_t j = 0; j < errors.cols(); ++j) {
                losses[r] -= linalg::detail::unfused(products(r, j) * errors(r, j));
            }
        }
        return losses;
    }

    void keep(const affine& a, std::size_t r, std::size_t g, std::span<const float> values, std::size_t begin) {
        q_.scales(first_ + r, g) = a.scale;
        if (q_.form.zeros != zero_type::none) {
            q_.zeros(first_ + r, g) = a.zero;
        }
        round_to_codes(values, q_.form, a, q_.codes.row(first_ + r).subspan(begin, values.size()));
    }

    const awq& options_;
    const input_knowledge& known_;
    quantized& q_;
    std::size_t first_;
    matrix_view<const float> w_;
};

}  // namespace detail

inline result<quantized> awq::solve(matrix_view<const float> w, const scheme& form, const input_knowledge& known,
                                    const executor& threads) const {
    QUELL_EXPECTS(candidates >= 1 && candidates < grid, "clip ratios stay above zero");
    QUELL_TRY_VOID(check_integer_form(form));
    QUELL_TRY_VOID(detail::check_gram(known, w.cols()));
    QUELL_TRY_VOID(stats::check_finite(w));
    quantized q = make_quantized(form, w.rows(), w.cols());
    constexpr std::size_t rows_per_task = 32;
    threads.parallel_for((w.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
        const std::size_t first = task * rows_per_task;
        const std::size_t count = std::min(rows_per_task, w.rows() - first);
        detail::awq_rows(*this, known, q, first, w.block(first, 0, count, w.cols())).solve();
    });
    return q;
}

static_assert(solver<awq>);

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
