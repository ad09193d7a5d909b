// SPDX-License-Identifier: MIT
/// @file
/// Scale and real zero of a group that lose least where every value has a weight of its own: scales around that of the
/// whole range, and for each the line that fits the codes best, by least squares.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/target.hpp"
#include "quell/linalg/ordered_product.hpp"
#include "quell/rounding/nearest.hpp"
#include "quell/rounding/real_zero.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// Scales of 1.05, 1, 0.95, ... times that of the whole range are tried, cut at both ends or at one, and the lines that
/// each leads to.
struct weighted_fit {
    int candidates = 9;
    int lines = 2;  ///< of one start: each but the first follows from the codes of the one before
};

namespace detail {

/// Sums over a group of w, w q, w q^2, w x, w q x and w (error)^2, with x in steps. Weights have so few bits that every
/// product but the last is exact, with and without contraction.
struct line_sums {
    double w = 0.0;
    double q = 0.0;
    double qq = 0.0;
    double x = 0.0;
    double qx = 0.0;
    double error = 0.0;
};

}  // namespace detail

/// One group at a time; room for the longest is made once.
///
/// Source   ours, after the search of llama.cpp's K-quants (make_qkx2_quants). Differs: ranges are cut at
///          both ends or at one, and lines are rounded to and fitted again.
/// Oracle   reference::weighted_error (tests/reference/weighted_fit.hpp): no scale and zero of a fine grid lose much
///          less. The same bits on every compiler and instruction set.
class group_fitter {
public:
    group_fitter(const weighted_fit& options, const scheme& form, std::size_t longest)
        : options_(options),
          form_(form),
          codes_(codes_of(form)),
          values_(detail::padded(longest)),
          weights_(detail::padded(longest)),
          steps_(detail::padded(longest)) {}

    /// Shapes   values [n], not empty; weights [n], not negative, or empty: all 1.
    void load(std::span<const float> values, std::span<const float> weights) {
        n_ = detail::padded(values.size());
        QUELL_EXPECTS(!values.empty() && n_ <= values_.size(), "a group that fits the room");
        std::fill(std::copy(values.begin(), values.end(), values_.begin()), values_.begin() + n_, 0.0F);
        std::fill(weights_.begin(), weights_.begin() + n_, 0.0F);
        const float largest = weights.empty() ? 0.0F : *std::max_element(weights.begin(), weights.end());
        for (std::size_t i = 0; i < values.size(); ++i) {
            weights_[i] = largest > 0.0F ? few_bits(weights[i] / largest) : 1.0F;
        }
        range_ = real_range(form_, values);
    }

    /// The scale of the best line, not yet stored; 0 where all values are 0.
    [[nodiscard]] double search() {
        const double widest = spanning_scale(form_, range_);
        best_line best{.scale = widest};
        for (int i = 0; i < options_.candidates && range_.high > range_.low; ++i) {
            const double scale = widest * (21 - i) / 20.0;
            for (const double share : {0.5, 0.0, 1.0}) {
                follow(anchored(scale, share), best);
            }
        }
        return best.scale;
    }

    /// The best scale and zero that are stored, near a wanted scale. Where scales count units, neighbours are tried.
    [[nodiscard]] affine store(double wanted, float unit) {
        const float nearest = stored_real_scale(form_, wanted, unit);
        affine best{nearest, 0.0F};
        double least = std::numeric_limits<double>::infinity();
        const int reach = form_.scales == scale_type::codes8 ? 1 : 0;
        for (int i = -reach; i <= reach; ++i) {
            const float scale = reach == 0 ? nearest : scale_in_units(nearest + unit * static_cast<float>(i), unit);
            fit_zero(scale, best, least);
        }
        return best;
    }

private:
    static constexpr int most_refits = 8;

    struct line {
        float scale;
        float zero;
    };

    /// 16 bits of the 24.
    [[nodiscard]] static float few_bits(float weight) {
        return std::bit_cast<float>(std::bit_cast<std::uint32_t>(weight) & 0xffffff00U);
    }

    struct best_line {
        double scale;
        double error = std::numeric_limits<double>::infinity();
    };

    [[nodiscard]] static double squared(const detail::line_sums& sums, float scale) {
        return sums.error * static_cast<double>(scale) * static_cast<double>(scale);
    }

    /// The line on which the same share of codes and of the range lies below one point: 0 holds the lower ends
    /// together.
    [[nodiscard]] line anchored(double scale, double share) const {
        const double low = static_cast<double>(range_.low);
        const double value = share == 0.0   ? low
                             : share == 1.0 ? static_cast<double>(range_.high)
                                            : (low + static_cast<double>(range_.high)) / 2;
        const double code = share == 0.0 ? codes_.low : share == 1.0 ? codes_.high : (codes_.low + codes_.high) / 2.0;
        return {static_cast<float>(scale), static_cast<float>(code - value / scale)};
    }

    /// Tries a line and those that follow from its codes.
    void follow(line at, best_line& best) {
        for (int k = 0; k < options_.lines && at.scale > 0.0F; ++k) {
            const detail::line_sums sums = sums_of(at);
            const double error = squared(sums, at.scale);
            if (error < best.error) {
                best = {static_cast<double>(at.scale), error};
            }
            at = refit(at, sums);
        }
    }

    /// Zeros for a scale, each from the codes that the last one gave, from three starts on.
    void fit_zero(float scale, affine& best, double& least) {
        for (const double share : {0.5, 0.0, 1.0}) {
            float zero = stored_zero(form_, static_cast<double>(anchored(static_cast<double>(scale), share).zero));
            double before = std::numeric_limits<double>::infinity();
            for (int i = 0; i < most_refits; ++i) {
                const detail::line_sums sums = sums_of({scale, zero});
                const double error = squared(sums, scale);
                if (error < least) {
                    least = error;
                    best = {scale, zero};
                }
                if (!(error < before) || !(sums.w > 0.0)) {
                    break;
                }
                before = error;
                zero = stored_zero(form_, (sums.q - sums.x) / sums.w);
            }
        }
    }

    /// The line of least squares through the codes that `at` gave; scale 0 where there is none.
    [[nodiscard]] static line refit(const line& at, const detail::line_sums& s) {
        const double spread = linalg::detail::unfused(s.w * s.qq) - linalg::detail::unfused(s.q * s.q);
        const double slope = (linalg::detail::unfused(s.w * s.qx) - linalg::detail::unfused(s.q * s.x)) / spread;
        if (!(spread > 0.0) || !(slope > 0.0)) {
            return {0.0F, 0.0F};
        }
        const double offset = s.x - linalg::detail::unfused(slope * s.q);
        return {static_cast<float>(slope * static_cast<double>(at.scale)), static_cast<float>(-offset / s.w / slope)};
    }

    [[nodiscard]] detail::line_sums sums_of(const line& at) {
        for (std::size_t i = 0; i < n_; ++i) {
            steps_[i] = values_[i] / at.scale;
        }
        constexpr std::size_t lanes = 4;
        double sums[6][lanes] = {};
        for (std::size_t i = 0; i < n_; i += lanes) {
            for (std::size_t l = 0; l < lanes; ++l) {
                const auto w = static_cast<double>(weights_[i + l]);
                const auto x = static_cast<double>(steps_[i + l]);
                const double q = detail::nearest_code(steps_[i + l], at.zero, codes_);
                const double off = (x + static_cast<double>(at.zero)) - q;
                const double wq = w * q;
                sums[0][l] += w;
                sums[1][l] += wq;
                sums[2][l] += wq * q;
                sums[3][l] += w * x;
                sums[4][l] += wq * x;
                sums[5][l] += linalg::detail::unfused(w * (off * off));
            }
        }
        const auto total = [&](std::size_t k) { return (sums[k][0] + sums[k][1]) + (sums[k][2] + sums[k][3]); };
        return {total(0), total(1), total(2), total(3), total(4), total(5)};
    }

    weighted_fit options_;
    scheme form_;
    code_range codes_;
    buffer<float> values_;
    buffer<float> weights_;  ///< at most 1, of 16 bits
    buffer<float> steps_;
    std::size_t n_ = 0;
    value_range range_ = {};
};

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
