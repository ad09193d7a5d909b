// SPDX-License-Identifier: MIT
/// @file
/// Binary weights but for a share of single weights, wherever they stand, that keep more bits: PB-LLM, and the
/// unstructured form of Squeeze10. A mask of one bit a weight says which. No kernel runs it: the result is simulated.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/storage.hpp"
#include "quell/linalg/ordered_product.hpp"
#include "quell/rounding/binary.hpp"
#include "quell/rounding/feedback.hpp"
#include "quell/rounding/hessian.hpp"
#include "quell/rounding/nearest.hpp"
#include "quell/rounding/rtn.hpp"
#include "quell/rounding/salience.hpp"
#include "quell/rounding/solver.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// Each block of columns, of the length of the form's group, keeps its share of weights with the highest scores over
/// all rows. Scores are those of score_columns() for single weights: w^2, w^2 / U_jj^2 (hessian), e^2 G_jj (pbar), e^2
/// / (H^-1)_jj (pbar_compensated).
///
/// Shapes   w [out, in]; known.gram [in, in].
/// Requires share in 0 ... 1; a binary form with groups, and a high form that rtn takes, with scales of rows.
/// Errors   those of factor_hessian and of rtn; errc::unsupported for another form.
/// Cost     out * in^2 / 2 multiply-subtracts.
/// Source   PB-LLM, arXiv 2310.00034, and its code. Differs: mean and scale are those of the binary weights alone.
/// Oracle   reference::masked_binary (tests/reference/masked_binary.hpp).
struct masked_binary {
    static constexpr std::string_view name = "masked-binary";
    scheme high = {.bits = 8,
                   .codes = code_set::zero_point,
                   .reach = granularity::channel,
                   .scales = scale_type::f16,
                   .zeros = zero_type::integer};
    double share = 0.1;  ///< of the weights that keep the high form
    salience by = salience::hessian;
    double damping = 0.01;

    [[nodiscard]] static constexpr bool needs_gram() { return true; }
    [[nodiscard]] result<simulated> simulate(matrix_view<const float> w, const scheme& form,
                                             const input_knowledge& known, const executor& threads = {}) const;
};

namespace detail {

/// Which of the weights of a block keep more bits: exactly the share of them, equals in the order of rows.
inline void select_weights(matrix_view<const double> scores, double share, std::size_t begin, std::size_t end,
                           matrix<std::uint8_t>& mask) {
    const std::size_t length = end - begin;
    std::vector<std::size_t> order(scores.rows() * length);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto score = [&](std::size_t i) { return scores(i / length, begin + i % length); };
    const auto count = static_cast<std::size_t>(std::nearbyint(share * static_cast<double>(order.size())));
    const auto border = order.begin() + static_cast<std::ptrdiff_t>(count);
    std::nth_element(order.begin(), border, order.end(), [&](std::size_t a, std::size_t b) {
        return score(a) > score(b) || (score(a) == score(b) && a < b);
    });
    std::for_each(order.begin(), border, [&](std::size_t i) { mask(i / length, begin + i % length) = 1; });
}

/// By weight; see masked_binary.
[[nodiscard]] inline result<matrix<double>> score_weights(salience by, matrix_view<const float> w, const scheme& form,
                                                          matrix_view<const double> gram, const hessian_factor& f,
                                                          const executor& threads) {
    QUELL_TRY(const quantized codes, binary{}.solve(w, form, {}, threads));
    const std::vector<double> inverse = inverse_diagonal(f);
    matrix<double> scores(w.rows(), w.cols());
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t c = 0; c < w.cols(); ++c) {
            const auto v = static_cast<double>(w(r, c));
            const double e = v - static_cast<double>(value_of(codes, r, c));
            switch (by) {
                case salience::magnitude: scores(r, c) = v * v; break;
                case salience::hessian: scores(r, c) = v * v / (f.u(c, c) * f.u(c, c)); break;
                case salience::pbar: scores(r, c) = e * e * gram(c, c); break;
                case salience::pbar_compensated: scores(r, c) = e * e / inverse[c]; break;
            }
        }
    }
    return scores;
}

[[nodiscard]] inline storage_bits masked_storage(const scheme& low, const scheme& high, std::size_t rows,
                                                 std::size_t cols, std::size_t kept) {
    const std::size_t weights = rows * cols;
    const std::size_t levels = rows * groups_per_row(low, cols) * static_cast<std::size_t>(bits_of(low.scales));
    const std::size_t means = low.zeros == zero_type::none ? 0 : levels;
    const auto high_bits = static_cast<std::size_t>(high.bits);
    return {.codes = (weights - kept) + kept * high_bits,
            .scales = levels + rows * static_cast<std::size_t>(bits_of(high.scales)),
            .zeros = means + (high.zeros == zero_type::none ? 0 : rows * high_bits),
            .mask = weights};
}

}  // namespace detail

inline result<simulated> masked_binary::simulate(matrix_view<const float> w, const scheme& form,
                                                 const input_knowledge& known, const executor& threads) const {
    QUELL_EXPECTS(share >= 0.0 && share <= 1.0, "a share in 0 ... 1");
    QUELL_TRY_VOID(check_binary_form(form));
    if (high.reach != granularity::channel) {
        return error{errc::unsupported, "the weights of more bits share a scale over their row"};
    }
    QUELL_TRY(const quantized fine, rtn{no_clip_search}.solve(w, high, {}, threads));  // for its scales
    QUELL_TRY(const std::shared_ptr<const hessian_factor> factor,
              factor_hessian(known, w.cols(), {.damping = damping}, threads));
    const hessian_factor& f = *factor;
    QUELL_TRY(const matrix<double> scores, detail::score_weights(by, w, form, known.gram, f, threads));
    matrix<std::uint8_t> mask(w.rows(), w.cols());
    matrix<double> values = detail::in_factor_order(w, f);
    std::vector<binary_levels> levels(w.rows());
    const auto prepare = [&](std::size_t begin, std::size_t end) {
        detail::select_weights(scores.view(), share, begin, end, mask);
        threads.parallel_for(w.rows(), [&](std::size_t r) {
            std::vector<double> open;
            for (std::size_t c = begin; c < end; ++c) {
                if (mask(r, c) == 0) {
                    open.push_back(values(r, c));
                }
            }
            levels[r] = fit_levels(form, open);
        });
    };
    const auto round = [&](std::size_t r, std::size_t c, double v) {
        if (mask(r, c) == 0) {
            return levels[r].value(levels[r].is_above(v));
        }
        const affine a{fine.scales(r, 0), high.zeros == zero_type::none ? 0.0F : fine.zeros(r, 0)};
        return static_cast<double>(a.scale *
                                   detail::nearest_step(static_cast<float>(v), a.scale, detail::steps_of(high, a)));
    };
    detail::round_with_feedback(values, f.u, group_length(form, w.cols()), threads, prepare, round);
    simulated s{.values = {w.rows(), w.cols()}, .stored = {}};
    std::transform(values.elements().begin(), values.elements().end(), s.values.elements().begin(),
                   [](double v) { return static_cast<float>(v); });
    const auto kept = static_cast<std::size_t>(std::count(mask.elements().begin(), mask.elements().end(), 1));
    s.stored = detail::masked_storage(form, high, w.rows(), w.cols(), kept);
    return s;
}

static_assert(simulating_solver<masked_binary>);

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
