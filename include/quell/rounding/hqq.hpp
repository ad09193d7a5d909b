// SPDX-License-Identifier: MIT
/// @file
/// HQQ: the zero of each group is fitted to its weights by half-quadratic splitting under a norm that forgives a few
/// large errors. No data is needed.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/rounding/nearest.hpp"
#include "quell/rounding/real_zero.hpp"
#include "quell/rounding/solver.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

namespace detail {

/// t^-0.3 for 2^-20 <= t <= 2^20, within a relative 1e-6.
///
/// Source   y = t^-0.3 solves 1 / y^10 = t^3: a first guess from the bits of t, then steps of Newton.
[[nodiscard]] QUELL_ALWAYS_INLINE float inverse_power_0_3(float t) {
    constexpr std::int32_t guess_offset = 0x5284c000;  // about 1.3 times the bits of 1
    const auto bits = static_cast<float>(std::bit_cast<std::int32_t>(t));
    float y = std::bit_cast<float>(guess_offset - static_cast<std::int32_t>(unfused(bits * 0.3F)));
    const float cube = t * t * t;
    for (int step = 0; step < 3; ++step) {
        const float square = y * y;
        const float fourth = square * square;
        y = y * ((11.0F - unfused(cube * (fourth * fourth * square))) * 0.1F);
    }
    return y;
}

/// What the power takes for an error; less than the least is 0 in the functions below.
inline constexpr float least_error = 0x1p-20F;
[[nodiscard]] QUELL_ALWAYS_INLINE float magnitude_of(float error) {
    return at_most(at_least(std::fabs(error), least_error), 0x1p20F);
}

/// |error|^0.7; power: inverse_power_0_3(magnitude_of(error)).
[[nodiscard]] QUELL_ALWAYS_INLINE float power_0_7(float error, float power) {
    return std::fabs(error) < least_error ? 0.0F : unfused(magnitude_of(error) * power);
}

/// The error that minimizes |e|^0.7 + beta / 2 (e - error)^2, to first order: sign * max(|error| - |error|^-0.3 / beta,
/// 0).
[[nodiscard]] QUELL_ALWAYS_INLINE float shrink(float error, float power, float beta) {
    return std::copysign(at_least(magnitude_of(error) - power / beta, 0.0F), error);
}

}  // namespace detail

/// Shapes   w [out, in]. Uses nothing of what is known of the inputs.
/// Units    errors are counted in steps of the group's scale, so that the result does not depend on the unit of W.
/// Requires the forms of check_real_form: 2 to 8 bits with real zeros, per channel or group.
/// Errors   errc::unsupported and errc::bad_shape for another form; errc::bad_value for a weight that is not finite,
///          named by row and column.
/// Cost     out * in * iterations at most; a group ends as soon as its error no longer falls.
/// Source   HQQ, mobiusml/hqq, with p = 0.7. Differs: beta grows in each step; the best zero met is kept, as it is
///          stored, min-max's and its nearest integer among them; errors in steps, where the code has them in the unit
///          of W, in which the shrinkage of small weights leaves nothing.
/// Oracle   reference::hqq_group (tests/reference/hqq.hpp): std::pow in double. The codes are the same on every
///          compiler, instruction set and thread count.
struct hqq {
    static constexpr std::string_view name = "hqq";
    int iterations = 20;
    float beta = 10.0F;
    float kappa = 1.01F;  ///< beta grows by it in each step

    [[nodiscard]] result<quantized> solve(matrix_view<const float> w, const scheme& form,
                                          const input_knowledge& /*known*/ = {}, const executor& threads = {}) const;
};

namespace detail {

/// One group in steps of its scale, while its zero is looked for. Padded with zeros to whole blocks, over which every
/// loop has a constant length: that is what compilers vectorize.
class hqq_group {
public:
    hqq_group(const hqq& options, const scheme& form, std::span<const float> values, float scale)
        : options_(options),
          form_(form),
          codes_(codes_of(form)),
          size_(values.size()),
          blocks_(padded(values.size()) / block) {
        for (std::size_t i = 0; i < size_; ++i) {
            blocks_[i / block].steps[i % block] = values[i] / scale;
        }
    }

    /// The best of all zeros met on the way from `start`, as they are stored.
    [[nodiscard]] float fit(float start) {
        meet(start);
        meet(stored_zero(form_, std::nearbyint(static_cast<double>(start))));
        float zero = best_;
        double before = cost_of(zero);
        float beta = options_.beta;
        for (int i = 0; i < options_.iterations; ++i, beta *= options_.kappa) {
            zero = static_cast<float>(refit(zero, beta));
            meet(stored_zero(form_, zero));
            const double cost = cost_of(zero);
            if (!(cost < before)) {
                break;
            }
            before = cost;
        }
        return best_;
    }

private:
    struct run {
        float steps[block] = {};
        float errors[block] = {};
        float powers[block] = {};  ///< inverse_power_0_3 of the errors
    };

    void meet(float zero) {
        const double cost = zero == best_ ? least_ : cost_of(zero);
        best_ = cost < least_ ? zero : best_;
        least_ = std::min(cost, least_);
    }

    /// Sum of |error|^0.7; leaves the errors behind.
    double cost_of(float zero) {
        double sum = 0.0;
        std::size_t left = size_;
        for (run& some : blocks_) {
            float costs[block];
            price(zero, some, costs);
            const std::size_t n = std::min(left, block);
            for (std::size_t i = 0; i < n; ++i) {
                sum += static_cast<double>(costs[i]);
            }
            left -= n;
        }
        return sum;
    }

    void price(float zero, run& some, float* costs) const {
        const auto z = static_cast<double>(zero);
        float errors[block];
        for (std::size_t i = 0; i < block; ++i) {
            const double code = nearest_code(some.steps[i], zero, codes_);
            errors[i] = static_cast<float>(static_cast<double>(some.steps[i]) - (code - z));
        }
        float powers[block];
        for (std::size_t i = 0; i < block; ++i) {
            powers[i] = inverse_power_0_3(magnitude_of(errors[i]));
        }
        for (std::size_t i = 0; i < block; ++i) {
            costs[i] = power_0_7(errors[i], powers[i]);
        }
        std::copy_n(errors, block, some.errors);
        std::copy_n(powers, block, some.powers);
    }

    /// The mean of code - (step - shrunken error): where the codes would put the zero if they were right.
    [[nodiscard]] double refit(float zero, float beta) const {
        double sum = 0.0;
        std::size_t left = size_;
        for (const run& some : blocks_) {
            float kept[block];
            for (std::size_t i = 0; i < block; ++i) {
                kept[i] = shrink(some.errors[i], some.powers[i], beta);
            }
            const std::size_t n = std::min(left, block);
            for (std::size_t i = 0; i < n; ++i) {
                sum += static_cast<double>(kept[i]) - static_cast<double>(some.errors[i]);
            }
            left -= n;
        }
        return static_cast<double>(zero) + sum / static_cast<double>(size_);
    }

    const hqq& options_;
    const scheme& form_;
    code_range codes_;
    std::size_t size_ = 0;
    std::vector<run> blocks_;
    float best_ = std::numeric_limits<float>::quiet_NaN();
    double least_ = std::numeric_limits<double>::infinity();
};

/// One row: all scales first, which may be stored together, then group by group.
inline void solve_hqq_row(const hqq& options, std::span<const float> row, std::size_t r, quantized& q) {
    const std::size_t length = group_length(q.form, row.size());
    std::vector<value_range> ranges;
    std::vector<double> wanted;
    for (std::size_t begin = 0; begin < row.size(); begin += length) {
        ranges.push_back(real_range(q.form, row.subspan(begin, std::min(length, row.size() - begin))));
        wanted.push_back(spanning_scale(q.form, ranges.back()));
    }
    store_scales(q.form, wanted, q.scales.row(r).first(wanted.size()));
    for (std::size_t g = 0; g < wanted.size(); ++g) {
        const std::size_t begin = g * length;
        const std::size_t n = std::min(length, row.size() - begin);
        const float scale = q.scales(r, g);
        q.zeros(r, g) =
            hqq_group(options, q.form, row.subspan(begin, n), scale).fit(spanning_zero(q.form, ranges[g], scale));
        round_to_real_codes(row.subspan(begin, n), q.form, {scale, q.zeros(r, g)}, q.codes.row(r).subspan(begin, n));
    }
}

}  // namespace detail

inline result<quantized> hqq::solve(matrix_view<const float> w, const scheme& form, const input_knowledge& /*known*/,
                                    const executor& threads) const {
    QUELL_EXPECTS(iterations >= 0 && beta > 0.0F && kappa >= 1.0F, "a splitting that converges");
    QUELL_TRY_VOID(check_real_form(form));
    QUELL_TRY_VOID(stats::check_finite(w));
    quantized q = make_quantized(form, w.rows(), w.cols());
    constexpr std::size_t rows_per_task = 8;
    threads.parallel_for((w.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task) {
        const std::size_t end = std::min(w.rows(), (task + 1) * rows_per_task);
        for (std::size_t r = task * rows_per_task; r < end; ++r) {
            detail::solve_hqq_row(*this, w.row(r), r, q);
        }
    });
    return q;
}

static_assert(solver<hqq>);

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
