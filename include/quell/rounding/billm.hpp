// SPDX-License-Identifier: MIT
/// @file
/// BiLLM: all weights binary. A few salient columns of each block are binarized twice, what the first time left over
/// once more; the other weights of a row are binarized in two heaps, small ones and large ones. No kernel runs it: the
/// result is simulated.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/storage.hpp"
#include "quell/linalg/ordered_product.hpp"
#include "quell/rounding/binary.hpp"
#include "quell/rounding/hessian.hpp"
#include "quell/rounding/solver.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// Shapes   w [out, in]; known.gram [in, in].
/// Requires a binary form with groups, which are the blocks; most_columns > 0.
/// Errors   those of factor_hessian; errc::unsupported for another form.
/// Cost     out * in^2 / 2 multiply-subtracts, and for each block about 25 passes over its weights.
/// Source   BiLLM, arXiv 2402.04291, and its code: saliency w^2 / U_jj^2, errors go into the columns behind the block.
///          Differs: heaps are split by the magnitude of the weight, not of its saliency; 17 thresholds and some
///          numbers of columns are tried, not all.
/// Oracle   reference::billm (tests/reference/billm.hpp).
struct billm {
    static constexpr std::string_view name = "billm";
    std::size_t most_columns = 48;  ///< salient ones in a block
    double damping = 0.01;

    [[nodiscard]] static constexpr bool needs_gram() { return true; }
    [[nodiscard]] result<simulated> simulate(matrix_view<const float> w, const scheme& form,
                                             const input_knowledge& known, const executor& threads = {}) const;
};

namespace detail {

/// Which of the three kinds a weight of a block is.
enum class billm_kind : std::uint8_t { small, large, salient };

/// One row's weights of one kind, binarized `order` times; adds to `values` where the kind is theirs.
class billm_row {
public:
    billm_row(const scheme& form, std::span<const double> row) : form_(form), row_(row), values_(row.size(), 0.0) {}

    template <typename Member>
    void binarize(const Member& is_member, int order) {
        for (int time = 0; time < order; ++time) {
            open_.clear();
            for (std::size_t c = 0; c < row_.size(); ++c) {
                if (is_member(c)) {
                    open_.push_back(row_[c] - values_[c]);
                }
            }
            const binary_levels levels = fit_levels(form_, open_);
            for (std::size_t c = 0, i = 0; c < row_.size(); ++c) {
                if (is_member(c)) {
                    values_[c] += levels.value(levels.is_above(open_[i++]));
                }
            }
        }
    }
    [[nodiscard]] std::span<const double> values() const { return values_; }
    [[nodiscard]] double error() const {
        double sum = 0.0;
        for (std::size_t c = 0; c < row_.size(); ++c) {
            const double e = row_[c] - values_[c];
            sum += linalg::detail::unfused(e * e);
        }
        return sum;
    }

private:
    scheme form_;
    std::span<const double> row_;
    std::vector<double> values_;
    std::vector<double> open_;
};

/// The decisions of one block, the same for all rows.
struct billm_block {
    std::vector<bool> salient;  ///< by column of the block
    double threshold = 0.0;     ///< magnitude above which a weight is large

    [[nodiscard]] billm_kind kind(std::size_t c, double v) const {
        return salient[c] ? billm_kind::salient : std::abs(v) > threshold ? billm_kind::large : billm_kind::small;
    }
    /// A row of the block in all its kinds.
    [[nodiscard]] billm_row round(const scheme& form, std::span<const double> row) const {
        billm_row rounded(form, row);
        for (const billm_kind kind_of : {billm_kind::small, billm_kind::large, billm_kind::salient}) {
            rounded.binarize([&](std::size_t c) { return kind(c, row[c]) == kind_of; },
                             kind_of == billm_kind::salient ? 2 : 1);
        }
        return rounded;
    }
};

/// Rows of a block are tried in parallel and added up in their order.
template <typename Error>
[[nodiscard]] double sum_over_rows(std::size_t rows, const executor& threads, const Error& error_of) {
    std::vector<double> errors(rows);
    threads.parallel_for(rows, [&](std::size_t r) { errors[r] = error_of(r); });
    return std::accumulate(errors.begin(), errors.end(), 0.0);
}

/// The best number of salient columns: those, and apart from them the others, both binarized twice.
inline void choose_salient(const billm& options, const scheme& form, matrix_view<const double> open,
                           std::span<const double> scores, const executor& threads, billm_block& decided) {
    const std::vector<std::size_t> order = ranked(scores);
    double least = std::numeric_limits<double>::infinity();
    for (const std::size_t count : {1U, 2U, 3U, 4U, 6U, 8U, 12U, 16U, 24U, 32U, 48U}) {
        if (count > std::min(options.most_columns, open.cols())) {
            break;
        }
        std::vector<bool> salient(open.cols(), false);
        for (std::size_t i = 0; i < count; ++i) {
            salient[order[i]] = true;
        }
        const double error = sum_over_rows(open.rows(), threads, [&](std::size_t r) {
            billm_row row(form, open.row(r));
            row.binarize([&](std::size_t c) { return salient[c]; }, 2);
            row.binarize([&](std::size_t c) { return !salient[c]; }, 2);
            return row.error();
        });
        if (error < least) {
            least = error;
            decided.salient = std::move(salient);
        }
    }
}

/// The best of 17 quantiles of the magnitudes, 0.1 ... 0.9.
inline void choose_threshold(const scheme& form, matrix_view<const double> open, const executor& threads,
                             billm_block& decided) {
    std::vector<double> magnitudes;
    for (std::size_t r = 0; r < open.rows(); ++r) {
        for (std::size_t c = 0; c < open.cols(); ++c) {
            if (!decided.salient[c]) {
                magnitudes.push_back(std::abs(open(r, c)));
            }
        }
    }
    std::sort(magnitudes.begin(), magnitudes.end());
    double least = std::numeric_limits<double>::infinity();
    double best = 0.0;
    for (std::size_t step = 2; step <= 18 && !magnitudes.empty(); ++step) {
        decided.threshold = magnitudes[(magnitudes.size() - 1) * step / 20];
        const double error = sum_over_rows(open.rows(), threads,
                                           [&](std::size_t r) { return decided.round(form, open.row(r)).error(); });
        if (error < least) {
            least = error;
            best = decided.threshold;
        }
    }
    decided.threshold = best;
}

/// Codes twice for salient columns, a bit for each other weight that says its heap, a bit for each column; the levels
/// of two heaps, and of the salient columns two scales and one mean.
[[nodiscard]] inline storage_bits billm_storage(const scheme& form, std::size_t rows, std::size_t columns,
                                                std::size_t salient) {
    const auto number = static_cast<std::size_t>(bits_of(form.scales));
    const bool has_mean = form.zeros != zero_type::none;
    return {.codes = rows * (columns + salient),
            .scales = rows * 4 * number,
            .zeros = has_mean ? rows * 3 * number : 0,
            .mask = rows * (columns - salient) + columns};
}

}  // namespace detail

inline result<simulated> billm::simulate(matrix_view<const float> w, const scheme& form, const input_knowledge& known,
                                         const executor& threads) const {
    QUELL_EXPECTS(most_columns > 0, "some salient columns");
    QUELL_TRY_VOID(check_binary_form(form));
    QUELL_TRY_VOID(stats::check_finite(w));
    QUELL_TRY(const std::shared_ptr<const hessian_factor> factor,
              factor_hessian(known, w.cols(), {.damping = damping}, threads));
    const hessian_factor& f = *factor;
    const std::size_t n = w.cols();
    const std::size_t length = std::max<std::size_t>(group_length(form, n), 1);
    matrix<double> values = detail::in_factor_order(w, f);
    simulated s{.values = {w.rows(), n}, .stored = {}};
    matrix<double> errors(w.rows(), std::min(length, n));
    for (std::size_t begin = 0; begin < n; begin += length) {
        const std::size_t end = std::min(n, begin + length);
        const matrix_view<const double> open = std::as_const(values).view().block(0, begin, w.rows(), end - begin);
        std::vector<double> scores(end - begin, 0.0);
        for (std::size_t r = 0; r < w.rows(); ++r) {
            for (std::size_t c = begin; c < end; ++c) {
                scores[c - begin] += values(r, c) * values(r, c) / (f.u(c, c) * f.u(c, c));
            }
        }
        detail::billm_block decided;
        detail::choose_salient(*this, form, open, scores, threads, decided);
        detail::choose_threshold(form, open, threads, decided);
        threads.parallel_for(w.rows(), [&](std::size_t r) {
            const detail::billm_row rounded = decided.round(form, open.row(r));
            for (std::size_t c = begin; c < end; ++c) {
                s.values(r, c) = static_cast<float>(rounded.values()[c - begin]);
                errors(r, c - begin) = (values(r, c) - rounded.values()[c - begin]) / f.u(c, c);
            }
            linalg::subtract_product(values.view().block(r, end, 1, n - end),
                                     std::as_const(errors).view().block(r, 0, 1, end - begin),
                                     f.u.view().block(begin, end, end - begin, n - end));
        });
        const auto salient = static_cast<std::size_t>(std::count(decided.salient.begin(), decided.salient.end(), true));
        s.stored.add(detail::billm_storage(form, w.rows(), end - begin, salient));
    }
    return s;
}

static_assert(simulating_solver<billm>);

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
