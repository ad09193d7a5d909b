// SPDX-License-Identifier: MIT
/// @file
/// One bit a weight: above or below the mean of its group, at the mean distance from it. Or, without means, a sign and
/// the mean magnitude.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/scheme.hpp"
#include "quell/core/views.hpp"
#include "quell/rounding/scale.hpp"
#include "quell/rounding/solver.hpp"
#include "quell/stats/finite.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// The two values that a group can take: mean - scale and mean + scale. A group of equal values has scale 0.
struct binary_levels {
    float scale = 0.0F;
    float mean = 0.0F;

    [[nodiscard]] double value(bool above) const {
        return static_cast<double>(mean) + (above ? static_cast<double>(scale) : -static_cast<double>(scale));
    }
    /// Which of the two is the nearer one; the mean itself counts as above.
    [[nodiscard]] bool is_above(double v) const { return v >= static_cast<double>(mean); }
};

/// As the form stores them.
[[nodiscard]] inline binary_levels stored_levels(const scheme& form, double scale, double mean) {
    return {scale > 0.0 ? stored_scale(form, scale) : 0.0F,
            form.codes == code_set::sign_mean ? detail::to_storage(form.scales, static_cast<float>(mean)) : 0.0F};
}

/// The mean of the values and their mean distance from it. For given signs no other scale has a smaller sum of squares.
///
/// Source   XNOR-Net, arXiv 1603.05279 (sign and scale); PB-LLM, arXiv 2310.00034, and BiLLM, arXiv 2402.04291 (mean).
/// Oracle   reference::binary_levels (tests/reference/binary.hpp).
[[nodiscard]] inline binary_levels fit_levels(const scheme& form, std::span<const double> values) {
    const auto n = static_cast<double>(std::max<std::size_t>(values.size(), 1));
    double sum = 0.0;
    for (const double v : values) {
        sum += v;
    }
    const double mean = static_cast<double>(stored_levels(form, 0.0, sum / n).mean);
    double distance = 0.0;
    for (const double v : values) {
        distance += std::abs(v - mean);
    }
    return stored_levels(form, distance / n, mean);
}

/// Signs with a scale, or with a scale and a mean, per channel or group.
///
/// Errors   errc::unsupported or errc::bad_shape, naming what does not fit.
[[nodiscard]] inline result<void> check_binary_form(const scheme& form) {
    const bool plain = form.codes == code_set::sign && form.zeros == zero_type::none;
    const bool with_mean = form.codes == code_set::sign_mean && form.zeros == zero_type::real;
    if (form.bits != 1 || (!plain && !with_mean)) {
        return error{errc::unsupported, "binary rounding takes one bit, signs with a scale and perhaps a mean"};
    }
    QUELL_TRY_VOID(check_reach(form));
    return check_plain_scales(form);
}

/// Every weight to the nearer level of its group.
///
/// Shapes   w [out, in].
/// Errors   those of check_binary_form; errc::bad_value for a weight that is not finite, by row and column.
/// Oracle   reference::binarize (tests/reference/binary.hpp): the same codes, scales and means.
struct binary {
    static constexpr std::string_view name = "binary";
    [[nodiscard]] result<quantized> solve(matrix_view<const float> w, const scheme& form, const input_knowledge& = {},
                                          const executor& threads = {}) const {
        QUELL_TRY_VOID(check_binary_form(form));
        QUELL_TRY_VOID(stats::check_finite(w));
        quantized q = make_quantized(form, w.rows(), w.cols());
        threads.parallel_for(w.rows(), [&](std::size_t r) { round_row(w.row(r), r, q); });
        return q;
    }

private:
    static void round_row(std::span<const float> row, std::size_t r, quantized& q) {
        const std::size_t length = group_length(q.form, row.size());
        const std::vector<double> values(row.begin(), row.end());
        for (std::size_t g = 0; g < q.scales.cols(); ++g) {
            const std::size_t begin = std::min(g * length, row.size());
            const std::size_t n = std::min(length, row.size() - begin);
            const binary_levels levels = fit_levels(q.form, std::span(values).subspan(begin, n));
            q.scales(r, g) = levels.scale;
            if (q.form.zeros != zero_type::none) {
                q.zeros(r, g) = levels.mean;
            }
            for (std::size_t c = begin; c < begin + n; ++c) {
                q.codes(r, c) = static_cast<std::int8_t>(levels.is_above(values[c]));
            }
        }
    }
};

static_assert(solver<binary>);

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
