// SPDX-License-Identifier: MIT
/// @file
/// GPTQ: columns are rounded one after the other, and the error of each goes into the columns still open, along the
/// inverse of the inputs' Hessian. Needs the Gram matrix of calibration inputs.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/linalg/ordered_product.hpp"
#include "quell/rounding/clip_search.hpp"
#include "quell/rounding/hessian.hpp"
#include "quell/rounding/nearest.hpp"
#include "quell/rounding/real_zero.hpp"
#include "quell/rounding/solver.hpp"
#include "quell/rounding/weighted_fit.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// What an error in a column costs where a group's scale is searched.
enum class clip_weighting : std::uint8_t {
    none,      ///< as the norm of the search says
    diagonal,  ///< squares, times the diagonal of the Gram matrix
    schur,     ///< squares, times 1 / U_ii^2: what the error costs after the open columns made up for it
};

/// Shapes   w [out, in]; known.gram [in, in].
/// Requires the forms of rtn, or those of check_real_form: then scale and zero of a group are fitted, not its range
/// cut;
///          block > 0.
/// Errors   those of factor_hessian; errc::unsupported and errc::bad_shape for another form, or for groups in
/// activation
///          order without static_groups; errc::bad_value for a weight that is not finite, named by row and column.
/// Cost     out * in^2 / 2 multiply-subtracts (three times that with activation noise) and in^3 / 3 for the factor.
/// Source   GPTQ, arXiv 2210.17323, algorithm 1, and its code: dead columns become 0, a group takes its scale from the
///          weights as compensated so far. Differs: the clip search is on, and blocks end where groups do, so that the
///          block size changes nothing at all. Activation noise and fitted zeros are ours.
/// Oracle   reference::gptq (tests/reference/gptq.hpp): the same codes. The codes for a given Gram matrix are the same
/// on
///          every compiler, instruction set and thread count.
struct gptq {
    static constexpr std::string_view name = "gptq";
    clip_search clip = {};
    clip_weighting weighting = clip_weighting::none;
    hessian_options hessian = {};
    weighted_fit fit = {};       ///< with real zeros, instead of the clip search
    bool static_groups = false;  ///< all scales from the weights before the first is rounded
    std::size_t block = 64;      ///< columns that are rounded before the rest of the matrix learns of their errors

    [[nodiscard]] static constexpr bool needs_gram() { return true; }
    [[nodiscard]] result<quantized> solve(matrix_view<const float> w, const scheme& form, const input_knowledge& known,
                                          const executor& threads = {}) const;
    /// Errors   errc::unsupported for groups whose columns are not rounded in one go, unless their scales are static.
    [[nodiscard]] result<void> check_order(const scheme& form) const;
};

namespace detail {

/// What all rows share.
struct gptq_problem {
    const gptq& options;
    bool fixed_scales;
    std::shared_ptr<const hessian_factor> factor = {};
    matrix<double> u_transposed = {};  ///< empty without noise
    buffer<float> clip_weights = {};   ///< [in] by column, in 0 ... 1; empty: none
};

/// Some rows of the weight, from float to codes.
class gptq_rows {
public:
    gptq_rows(const gptq_problem& problem, quantized& q, std::size_t first, std::size_t count)
        : problem_(problem),
          q_(q),
          first_(first),
          length_(group_length(q.form, q.in_features())),
          errors_(count, std::min(problem.options.block, q.in_features())),
          values_(std::min(length_, q.in_features())),
          room_(values_.size()),
          fitter_(problem.options.fit, q.form, values_.size()) {}

    void solve(matrix_view<const float> w) {
        w_ = in_factor_order(w, *problem_.factor);
        choose_units(w);
        toward_noise(w_.view(), *problem_.factor, problem_.u_transposed.view());
        if (problem_.fixed_scales) {
            find_all_scales();
        }
        const std::size_t n = w_.cols();
        for (std::size_t begin = 0; begin < n;) {
            const std::size_t end = block_end(begin);
            for (std::size_t r = 0; r < w_.rows(); ++r) {
                round_block(r, begin, end);
            }
            linalg::subtract_product(w_.view().block(0, end, w_.rows(), n - end),
                                     errors_.view().block(0, 0, w_.rows(), end - begin),
                                     problem_.factor->u.view().block(begin, end, end - begin, n - end));
            begin = end;
        }
    }

private:
    /// Scales of 8 bits count units that are fixed before the first group is fitted: with room for one that grows.
    void choose_units(matrix_view<const float> w) {
        for (std::size_t r = 0; r < w.rows() && is_real(); ++r) {
            std::vector<double> scales;
            for (std::size_t begin = 0; begin < w.cols(); begin += length_) {
                const std::span<const float> group = w.row(r).subspan(begin, std::min(length_, w.cols() - begin));
                scales.push_back(1.25 * spanning_scale(q_.form, real_range(q_.form, group)));
            }
            units_.push_back(unit_for(scales));
        }
    }

    [[nodiscard]] bool is_real() const { return q_.form.zeros == zero_type::real; }

    void find_all_scales() {
        std::vector<std::size_t> position(w_.cols());
        for (std::size_t i = 0; i < position.size(); ++i) {
            position[problem_.factor->order[i]] = i;
        }
        for (std::size_t r = 0; r < w_.rows(); ++r) {
            for (std::size_t begin = 0; begin < w_.cols(); begin += length_) {
                find_scale(r, begin, [&](std::size_t column) { return w_(r, position[column]); });
            }
        }
    }

    /// Scale and zero of the group that starts at column `begin`.
    template <typename ValueOf>
    void find_scale(std::size_t r, std::size_t begin, const ValueOf& value_of) {
        const std::size_t n = std::min(length_, w_.cols() - begin);
        for (std::size_t i = 0; i < n; ++i) {
            values_[i] = static_cast<float>(value_of(begin + i));
        }
        const std::span<const float> all = problem_.clip_weights;
        const std::span<const float> values = std::span<const float>(values_).first(n);
        const std::span<const float> weights = all.empty() ? all : all.subspan(begin, n);
        const affine a =
            is_real() ? fit(r, values, weights) : find_clip(problem_.options.clip, q_.form, values, weights, room_);
        q_.scales(first_ + r, begin / length_) = a.scale;
        if (q_.form.zeros != zero_type::none) {
            q_.zeros(first_ + r, begin / length_) = a.zero;
        }
    }

    [[nodiscard]] affine fit(std::size_t r, std::span<const float> values, std::span<const float> weights) {
        fitter_.load(values, weights);
        return fitter_.store(fitter_.search(), units_[r]);
    }

    /// No group starts in one block and ends in another, unless its scale is known before.
    [[nodiscard]] std::size_t block_end(std::size_t begin) const {
        const std::size_t n = w_.cols();
        const std::size_t most = problem_.options.block;
        if (problem_.fixed_scales) {
            return std::min(n, begin + most);
        }
        return length_ <= most ? std::min(n, begin + most / length_ * length_)
                               : std::min({n, begin + most, (begin / length_ + 1) * length_});
    }

    void round_block(std::size_t r, std::size_t begin, std::size_t end) {
        double* row = &w_(r, 0);
        for (std::size_t i = begin; i < end; ++i) {
            if (!problem_.fixed_scales && i % length_ == 0) {
                find_scale(r, i, [&](std::size_t column) { return row[column]; });
            }
            const std::span<const double> u = problem_.factor->u.row(i);
            const double error = (row[i] - static_cast<double>(round(r, i))) / u[i];
            errors_(r, i - begin) = error;
            for (std::size_t j = i + 1; j < end; ++j) {
                row[j] -= linalg::detail::unfused(error * u[j]);
            }
        }
    }

    /// Rounds one weight and returns its new value.
    float round(std::size_t r, std::size_t position) {
        const std::size_t column = problem_.factor->order[position];
        const std::size_t g = column / length_;
        const affine a{q_.scales(first_ + r, g), q_.form.zeros == zero_type::none ? 0.0F : q_.zeros(first_ + r, g)};
        const auto v = static_cast<float>(w_(r, position));
        if (is_real()) {
            const double code = nearest_code(v / a.scale, a.zero, codes_of(q_.form));
            q_.codes(first_ + r, column) = static_cast<std::int8_t>(code);
            return value_of(q_.form.codes, a.scale, a.zero, static_cast<float>(code));
        }
        const float step = nearest_step(v, a.scale, steps_of(q_.form, a));
        q_.codes(first_ + r, column) =
            static_cast<std::int8_t>(static_cast<std::int32_t>(step) + static_cast<std::int32_t>(a.zero));
        return a.scale * step;
    }

    const gptq_problem& problem_;
    quantized& q_;
    std::size_t first_;
    std::size_t length_;
    matrix<double> w_;       ///< in the factor's order, as compensated so far
    matrix<double> errors_;  ///< of the columns of one block, each over U_ii
    std::vector<float> values_;
    clip_workspace room_;
    group_fitter fitter_;
    std::vector<float> units_;  ///< of each row, with real zeros
};

[[nodiscard]] inline buffer<float> clip_weights_of(clip_weighting wanted, const hessian_factor& f,
                                                   matrix_view<const double> gram) {
    buffer<float> weights(wanted == clip_weighting::none ? 0 : f.order.size());
    double largest = 0.0;
    const auto weight = [&](std::size_t i) {
        const double pivot = f.u(i, i);
        return wanted == clip_weighting::schur ? 1.0 / (pivot * pivot) : gram(f.order[i], f.order[i]);
    };
    for (std::size_t i = 0; i < weights.size(); ++i) {
        largest = std::max(largest, weight(i));
    }
    for (std::size_t i = 0; i < weights.size(); ++i) {
        weights[f.order[i]] = largest > 0.0 ? static_cast<float>(weight(i) / largest) : 1.0F;
    }
    return weights;
}

}  // namespace detail

inline result<void> gptq::check_order(const scheme& form) const {
    if (form.reach == granularity::group && hessian.order != column_order::natural && !static_groups) {
        return error{errc::unsupported, "groups in activation order need static groups"};
    }
    return {};
}

inline result<quantized> gptq::solve(matrix_view<const float> w, const scheme& form, const input_knowledge& known,
                                     const executor& threads) const {
    QUELL_EXPECTS(block > 0, "a block without columns");
    QUELL_TRY_VOID(form.zeros == zero_type::real ? check_real_form(form) : check_integer_form(form));
    QUELL_TRY_VOID(check_order(form));
    QUELL_TRY_VOID(stats::check_finite(w));
    detail::gptq_problem problem{.options = *this, .fixed_scales = static_groups || form.reach == granularity::channel};
    QUELL_TRY(problem.factor, factor_hessian(known, w.cols(), hessian, threads));
    problem.clip_weights = detail::clip_weights_of(weighting, *problem.factor, known.gram);
    if (problem.factor->noise > 0.0) {
        problem.u_transposed = transposed<double>(problem.factor->u.view());
    }
    quantized q = make_quantized(form, w.rows(), w.cols());
    constexpr std::size_t rows_per_task = 32;
    threads.parallel_for((w.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
        const std::size_t first = task * rows_per_task;
        const std::size_t count = std::min(rows_per_task, w.rows() - first);
        detail::gptq_rows(problem, q, first, count).solve(w.block(first, 0, count, w.cols()));
    });
    return q;
}

static_assert(solver<gptq>);

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
