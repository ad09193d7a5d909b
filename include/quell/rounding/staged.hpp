// SPDX-License-Identifier: MIT
/// @file
/// Staged rounding, 16 -> 4 -> 1 bit: the columns that matter least become binary, one after the other, and their
/// errors go into the columns still open; the columns of more bits come last and take up what is left. Then all codes
/// and scales are gone through again, each set to its best while the others stay.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/split_quantized.hpp"
#include "quell/linalg/ordered_product.hpp"
#include "quell/rounding/binary.hpp"
#include "quell/rounding/clip_search.hpp"
#include "quell/rounding/gptq.hpp"
#include "quell/rounding/hessian.hpp"
#include "quell/rounding/nearest.hpp"
#include "quell/rounding/salience.hpp"
#include "quell/rounding/solver.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// From which weights binarization starts.
enum class first_stage : std::uint8_t {
    none,  ///< from the float weights; the columns of more bits are rounded once, behind the binary ones
    gptq,  ///< from codes of more bits for all columns, as the paper does
};

/// A solver of two forms: a share of the columns gets the form `high`, the others that of the call.
///
/// Shapes   w [out, in]; known.gram [in, in], of the float model's inputs: full information (FIAS).
/// Requires share in 0 ... 1, rounds >= 0.
/// Errors   those of factor_hessian; errc::unsupported and errc::bad_shape for a form that is not binary, or a high
/// form
///          that rtn would not take; errc::bad_value for a weight that is not finite, by row and column.
/// Cost     out * in^2 / 2 multiply-subtracts, twice that once and again for each round, and in^3 / 3 for the
///          factor.
/// Source   Squeeze10-LLM, arXiv 2507.18073, of which only the abstract was at hand: a reconstruction. Differs: the
///          columns of more bits are rounded last (their errors are small and they have room for those of the others),
///          and there are refinement rounds.
/// Oracle   reference::staged (tests/reference/staged.hpp): the same order, codes and scales. They are the same on
/// every
///          compiler, instruction set and thread count for a given Gram matrix.
struct staged {
    static constexpr std::string_view name = "staged";
    scheme high = {.bits = 4,
                   .codes = code_set::zero_point,
                   .reach = granularity::group,
                   .group = 128,
                   .scales = scale_type::f16,
                   .zeros = zero_type::integer};
    double share = 0.2;  ///< of the columns
    salience by = salience::pbar;
    first_stage first = first_stage::none;
    int rounds = 2;         ///< of refinement
    double damping = 0.01;  ///< as hessian_options has it
    clip_search clip = {};  ///< of the high form

    [[nodiscard]] static constexpr bool needs_gram() { return true; }
    /// Columns that get the high form.
    [[nodiscard]] std::size_t high_columns(std::size_t in_features) const {
        return static_cast<std::size_t>(std::nearbyint(share * static_cast<double>(in_features)));
    }
    [[nodiscard]] result<split_quantized> solve_split(matrix_view<const float> w, const scheme& form,
                                                      const input_knowledge& known, const executor& threads = {}) const;
};

namespace detail {

/// Columns side by side in the factor's order that have one form, in groups of `length`.
struct column_part {
    std::size_t begin;
    std::size_t end;
    std::size_t length;
};

/// What all rows share. Positions are those of the factor: the binary columns, then those of more bits.
struct staged_problem {
    static constexpr std::size_t longest_block = 128;

    const staged& options;
    hessian_factor factor = {};
    matrix<double> hessian = {};
    column_part low = {};
    column_part high = {};
};

/// Some rows of the weight, from float to codes.
class staged_rows {
public:
    staged_rows(const staged_problem& problem, split_quantized& q, std::size_t first, std::size_t count)
        : problem_(problem),
          q_(q),
          first_(first),
          values_(count, q.in_features()),
          changes_(count, staged_problem::longest_block),
          room_(std::max<std::size_t>(problem.high.length, 1)) {}

    /// `start` is where the first sweep begins, `w` what the codes are to stand for.
    void solve(matrix_view<const float> w, matrix_view<const float> start) {
        target_ = in_factor_order(w, problem_.factor);
        open_ = in_factor_order(start, problem_.factor);
        for_blocks([&](const column_part& part, std::size_t begin, std::size_t end) { sweep(part, begin, end); });
        if (problem_.options.rounds > 0) {
            measure_slopes();
        }
        for (int round = 0; round < problem_.options.rounds; ++round) {
            for_blocks([&](const column_part& part, std::size_t begin, std::size_t end) { refine(part, begin, end); });
        }
    }

private:
    /// Calls f for blocks of at most longest_block columns, none of which reaches over a group.
    template <typename F>
    void for_blocks(const F& f) {
        for (const column_part& part : {problem_.low, problem_.high}) {
            for (std::size_t begin = part.begin; begin < part.end;) {
                const std::size_t end = std::min(begin + staged_problem::longest_block, group_end(part, begin));
                f(part, begin, end);
                begin = end;
            }
        }
    }
    static std::size_t group_end(const column_part& part, std::size_t at) {
        return std::min(part.end, part.begin + ((at - part.begin) / part.length + 1) * part.length);
    }
    static bool starts_group(const column_part& part, std::size_t at) { return (at - part.begin) % part.length == 0; }
    [[nodiscard]] bool is_binary(const column_part& part) const { return part.end == problem_.low.end; }
    [[nodiscard]] quantized& codes_of_part(const column_part& part) { return is_binary(part) ? q_.low : q_.high; }

    /// The scale of a group and what stands beside it: the mean where it is binary, the zero where it is not.
    struct group_numbers {
        float& scale;
        float* beside;

        [[nodiscard]] float second() const { return beside == nullptr ? 0.0F : *beside; }
    };
    group_numbers numbers_of(const column_part& part, std::size_t r, std::size_t at) {
        quantized& q = codes_of_part(part);
        const std::size_t g = (at - part.begin) / part.length;
        return {q.scales(first_ + r, g), q.form.zeros == zero_type::none ? nullptr : &q.zeros(first_ + r, g)};
    }

    void fit_group(const column_part& part, std::size_t r, std::size_t begin) {
        const std::span<const double> row = std::as_const(open_).row(r).subspan(begin, group_end(part, begin) - begin);
        const group_numbers numbers = numbers_of(part, r, begin);
        affine fitted;
        if (is_binary(part)) {
            const binary_levels levels = fit_levels(q_.low.form, row);
            fitted = {levels.scale, levels.mean};
        } else {
            const std::vector<float> values(row.begin(), row.end());
            fitted = find_clip(problem_.options.clip, q_.high.form, values, {}, room_);
        }
        numbers.scale = fitted.scale;
        if (numbers.beside != nullptr) {
            *numbers.beside = fitted.zero;
        }
    }

    /// The code nearest to v; returns its value.
    double round(const column_part& part, std::size_t r, std::size_t at, double v) {
        const group_numbers numbers = numbers_of(part, r, at);
        std::int8_t& code = codes_of_part(part).codes(first_ + r, at - part.begin);
        if (is_binary(part)) {
            const binary_levels levels{numbers.scale, numbers.second()};
            code = static_cast<std::int8_t>(levels.is_above(v));
            return levels.value(code != 0);
        }
        const affine a{numbers.scale, numbers.second()};
        const float step = nearest_step(static_cast<float>(v), a.scale, steps_of(q_.high.form, a));
        code = static_cast<std::int8_t>(static_cast<std::int32_t>(step) + static_cast<std::int32_t>(a.zero));
        return static_cast<double>(a.scale * step);
    }

    /// Rounds a block, and passes its errors on to all columns behind it.
    void sweep(const column_part& part, std::size_t begin, std::size_t end) {
        const matrix<double>& u = problem_.factor.u;
        for (std::size_t r = 0; r < open_.rows(); ++r) {
            if (starts_group(part, begin)) {
                fit_group(part, r, begin);
            }
            double* row = open_.row(r).data();
            for (std::size_t i = begin; i < end; ++i) {
                const double* along = u.row(i).data();
                values_(r, i) = round(part, r, i, row[i]);
                const double error = (row[i] - values_(r, i)) / along[i];
                changes_(r, i - begin) = error;
                for (std::size_t j = i + 1; j < end; ++j) {
                    row[j] -= linalg::detail::unfused(error * along[j]);
                }
            }
        }
        pass_on(open_, u, begin, end, end, open_.cols());
    }

    /// Subtracts the changes of a block, times its rows of a matrix, from the columns first ... last - 1.
    void pass_on(matrix<double>& to, const matrix<double>& along, std::size_t begin, std::size_t end, std::size_t first,
                 std::size_t last) {
        linalg::subtract_product(to.view().block(0, first, to.rows(), last - first),
                                 std::as_const(changes_).view().block(0, 0, to.rows(), end - begin),
                                 along.view().block(begin, first, end - begin, last - first));
    }

    /// open_ := (W - Q) H, half the slope of the error towards less of it.
    void measure_slopes() {
        matrix<double> excess(target_.rows(), target_.cols());
        for (std::size_t i = 0; i < excess.elements().size(); ++i) {
            excess.elements()[i] = values_.elements()[i] - target_.elements()[i];
        }
        std::fill(open_.elements().begin(), open_.elements().end(), 0.0);
        linalg::subtract_product(open_.view(), std::as_const(excess).view(), problem_.hessian.view());
    }

    /// Sets each code of a block to its best while all others stay, then the numbers of its group.
    void refine(const column_part& part, std::size_t begin, std::size_t end) {
        const matrix<double>& h = problem_.hessian;
        const bool is_whole = starts_group(part, begin) && end == group_end(part, begin);
        for (std::size_t r = 0; r < open_.rows(); ++r) {
            std::fill_n(changes_.row(r).begin(), end - begin, 0.0);
            for (std::size_t i = begin; i < end; ++i) {
                const double before = values_(r, i);
                values_(r, i) = round(part, r, i, before + open_(r, i) / h(i, i));
                move(r, i, values_(r, i) - before, begin, end);
            }
            if (is_whole) {
                refit(part, r, begin, end);
            }
        }
        pass_on(open_, h, begin, end, 0, begin);
        pass_on(open_, h, begin, end, end, open_.cols());
    }

    /// The value at i moved by d: the slopes of its block follow.
    void move(std::size_t r, std::size_t i, double d, std::size_t begin, std::size_t end) {
        if (d == 0.0) {
            return;
        }
        changes_(r, i - begin) += d;
        double* row = open_.row(r).data();
        const double* along = problem_.hessian.row(i).data();
        for (std::size_t j = begin; j < end; ++j) {
            row[j] -= linalg::detail::unfused(d * along[j]);
        }
    }

    /// In units of the scale: 1 or -1 where the part is binary, otherwise the code without its zero.
    [[nodiscard]] double unit_of(const column_part& part, std::size_t r, std::size_t at) {
        const int code = codes_of_part(part).codes(first_ + r, at - part.begin);
        return is_binary(part) ? 2.0 * code - 1.0 : code - static_cast<double>(numbers_of(part, r, at).second());
    }

    /// Sums over a block: of units u, ones, the Hessian's block H and the slopes g.
    struct normal_equations {
        double uhu = 0.0, uh1 = 0.0, h1 = 0.0, ug = 0.0, g = 0.0;
    };
    [[nodiscard]] normal_equations normal_of(std::span<const double> units, std::size_t r, std::size_t begin) {
        using linalg::detail::unfused;
        normal_equations e;
        for (std::size_t i = 0; i < units.size(); ++i) {
            const double* along = problem_.hessian.row(begin + i).data() + begin;
            double hu = 0.0;
            double h1 = 0.0;
            for (std::size_t j = 0; j < units.size(); ++j) {
                hu += unfused(along[j] * units[j]);
                h1 += along[j];
            }
            e.uhu += unfused(units[i] * hu);
            e.uh1 += hu;
            e.h1 += h1;
            e.ug += unfused(units[i] * open_(r, begin + i));
            e.g += open_(r, begin + i);
        }
        return e;
    }

    /// Scale and mean of a group to their best for the codes as they are; kept only if, as stored, they are better.
    void refit(const column_part& part, std::size_t r, std::size_t begin, std::size_t end) {
        using linalg::detail::unfused;
        std::vector<double> units(end - begin);
        for (std::size_t i = begin; i < end; ++i) {
            units[i - begin] = unit_of(part, r, i);
        }
        const normal_equations e = normal_of(units, r, begin);
        const group_numbers numbers = numbers_of(part, r, begin);
        const bool has_mean = is_binary(part) && q_.low.form.codes == code_set::sign_mean;
        const double determinant = unfused(e.uhu * e.h1) - unfused(e.uh1 * e.uh1);
        const bool is_joint = has_mean && determinant > 1e-9 * unfused(e.uhu * e.h1);
        const double by_scale = is_joint      ? (unfused(e.ug * e.h1) - unfused(e.g * e.uh1)) / determinant
                                : e.uhu > 0.0 ? e.ug / e.uhu
                                              : 0.0;
        const double by_mean = is_joint ? (unfused(e.g * e.uhu) - unfused(e.ug * e.uh1)) / determinant : 0.0;
        const double old_scale = static_cast<double>(numbers.scale);
        const double old_mean = has_mean ? static_cast<double>(numbers.second()) : 0.0;
        const scheme& form = codes_of_part(part).form;
        const float scale = old_scale + by_scale > 0.0 ? stored_scale(form, old_scale + by_scale) : numbers.scale;
        const float mean = has_mean ? stored_levels(form, 0.0, old_mean + by_mean).mean : 0.0F;
        const double ds = static_cast<double>(scale) - old_scale;
        const double dm = has_mean ? static_cast<double>(mean) - old_mean : 0.0;
        const double gain = 2.0 * (unfused(e.ug * ds) + unfused(e.g * dm)) - unfused(unfused(e.uhu * ds) * ds) -
                            2.0 * unfused(unfused(e.uh1 * ds) * dm) - unfused(unfused(e.h1 * dm) * dm);
        if (!(gain > 0.0)) {
            return;
        }
        numbers.scale = scale;
        if (has_mean) {
            *numbers.beside = mean;
        }
        for (std::size_t i = begin; i < end; ++i) {
            const double d = unfused(ds * units[i - begin]) + dm;
            values_(r, i) += d;
            move(r, i, d, begin, end);
        }
    }

    const staged_problem& problem_;
    split_quantized& q_;
    std::size_t first_;
    matrix<double> target_;   ///< W in the factor's order
    matrix<double> open_;     ///< in the sweep W as compensated so far; in a round of refinement (W - Q) H
    matrix<double> values_;   ///< Q
    matrix<double> changes_;  ///< of one block: what the other columns learn of it
    clip_workspace room_;
};

/// The binary columns and behind them those with the highest scores, each by falling energy of the input.
[[nodiscard]] inline std::vector<std::size_t> staged_order(std::span<const double> scores, std::size_t high_columns,
                                                           matrix_view<const double> gram) {
    std::vector<std::size_t> order = ranked(scores);
    std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(high_columns), order.end());
    const auto border = order.end() - static_cast<std::ptrdiff_t>(high_columns);
    const auto more_active = [&](std::size_t a, std::size_t b) {
        return gram(a, a) > gram(b, b) || (gram(a, a) == gram(b, b) && a < b);
    };
    std::sort(order.begin(), border, more_active);
    std::sort(border, order.end(), more_active);
    return order;
}

}  // namespace detail

inline result<split_quantized> staged::solve_split(matrix_view<const float> w, const scheme& form,
                                                   const input_knowledge& known, const executor& threads) const {
    QUELL_EXPECTS(share >= 0.0 && share <= 1.0 && rounds >= 0, "a share in 0 ... 1, and no fewer than 0 rounds");
    QUELL_TRY_VOID(check_binary_form(form));
    QUELL_TRY_VOID(check_integer_form(high));
    QUELL_TRY_VOID(stats::check_finite(w));
    if (w.cols() > most_split_columns) {
        return error{errc::unsupported,
                     "an order of " + std::to_string(w.cols()) + " columns; it has 16 bits for each"};
    }
    const hessian_options damped{.damping = damping};
    QUELL_TRY(const std::vector<double> scores, score_columns(by, w, form, known, damped, threads));
    const std::size_t n = w.cols();
    const std::size_t n_low = n - high_columns(n);
    detail::staged_problem problem{.options = *this};
    QUELL_TRY(problem.factor,
              factor_hessian(known, detail::staged_order(scores, n - n_low, known.gram), damped, threads));
    problem.hessian = detail::damped_hessian(known.gram, problem.factor);
    problem.low = {0, n_low, group_length(form, n_low)};
    problem.high = {n_low, n, group_length(high, n - n_low)};
    matrix<float> first_codes;
    if (first == first_stage::gptq) {
        const gptq stage{
            .clip = clip, .hessian = {.damping = damping, .order = column_order::activation}, .static_groups = true};
        QUELL_TRY(const quantized codes, stage.solve(w, high, known, threads));
        first_codes = dequantize(codes);
    }
    const matrix_view<const float> start = first == first_stage::gptq ? std::as_const(first_codes).view() : w;
    split_quantized q{
        .order = {}, .high = make_quantized(high, w.rows(), n - n_low), .low = make_quantized(form, w.rows(), n_low)};
    for (std::size_t p = 0; p < n; ++p) {
        q.order.push_back(static_cast<std::uint16_t>(problem.factor.order[(p + n_low) % n]));
    }
    constexpr std::size_t rows_per_task = 32;
    threads.parallel_for((w.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
        const std::size_t begin = task * rows_per_task;
        const std::size_t count = std::min(rows_per_task, w.rows() - begin);
        detail::staged_rows(problem, q, begin, count)
            .solve(w.block(begin, 0, count, n), start.block(begin, 0, count, n));
    });
    return q;
}

static_assert(split_solver<staged>);

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
