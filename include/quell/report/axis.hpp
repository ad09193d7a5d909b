// SPDX-License-Identifier: MIT
/// @file
/// The axis of a chart: what range it shows, where a value stands on it, and which values are marked.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/target.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace quell::report {
inline namespace QUELL_BASELINE {

enum class axis_kind : std::uint8_t { linear, logarithmic };

struct axis {
    std::string label{};  ///< with its unit
    axis_kind kind = axis_kind::linear;
};

/// The range of the values that were included; values that the axis cannot show are passed over.
class axis_range {
public:
    axis_range() = default;
    explicit axis_range(axis_kind kind) : kind_(kind) {}

    /// Finite, and positive on a logarithmic axis.
    [[nodiscard]] bool shows(double v) const { return std::isfinite(v) && (kind_ == axis_kind::linear || v > 0.0); }
    void include(double v) {
        if (shows(v)) {
            low_ = std::min(low_, v);
            high_ = std::max(high_, v);
        }
    }

    /// Moves both ends out by a share of the length, so that nothing stands on the edge.
    void widen(double share) {
        const interval ends = bounds();
        const bool linear = kind_ == axis_kind::linear;
        const double step = linear ? share * (ends.high - ends.low) : std::pow(ends.high / ends.low, share);
        low_ = linear ? ends.low - step : ends.low / step;
        high_ = linear ? ends.high + step : ends.high * step;
    }

    [[nodiscard]] axis_kind kind() const { return kind_; }
    [[nodiscard]] double low() const { return bounds().low; }
    [[nodiscard]] double high() const { return bounds().high; }

    /// 0 at the low end, 1 at the high one; values beyond stand at the end.
    [[nodiscard]] double place(double v) const {
        QUELL_EXPECTS(shows(v), "a value that the axis can show");
        const interval ends = bounds();
        const double share = kind_ == axis_kind::linear ? (v - ends.low) / (ends.high - ends.low)
                                                        : std::log(v / ends.low) / std::log(ends.high / ends.low);
        return std::clamp(share, 0.0, 1.0);
    }

    /// Round values inside the range, ascending, about `most` at most.
    [[nodiscard]] std::vector<double> ticks(std::size_t most) const {
        return kind_ == axis_kind::linear ? linear_ticks(most) : logarithmic_ticks(most);
    }

private:
    struct interval {
        double low;
        double high;
    };

    /// Never empty: around a single value there is room, and without any there is a range to draw.
    [[nodiscard]] interval bounds() const {
        const bool linear = kind_ == axis_kind::linear;
        if (low_ > high_) {
            return linear ? interval{0.0, 1.0} : interval{1.0, 10.0};
        }
        if (linear && high_ - low_ <= 1e-9 * std::max(std::abs(low_), std::abs(high_))) {
            const double room = low_ == 0.0 ? 1.0 : 0.5 * std::abs(low_);
            return {low_ - room, high_ + room};
        }
        if (!linear && high_ / low_ < 1.5) {
            return {low_ / 1.5, high_ * 1.5};
        }
        return {low_, high_};
    }

    [[nodiscard]] std::vector<double> linear_ticks(std::size_t most) const {
        const interval ends = bounds();
        const double rough = (ends.high - ends.low) / static_cast<double>(std::max<std::size_t>(most, 1));
        const double power = std::pow(10.0, std::floor(std::log10(rough)));
        double step = 10.0 * power;
        for (const double factor : {5.0, 2.0, 1.0}) {
            step = factor * power >= rough * (1.0 - 1e-9) ? factor * power : step;
        }
        const auto first = static_cast<long>(std::ceil(ends.low / step - 1e-9));
        const auto last = static_cast<long>(std::floor(ends.high / step + 1e-9));
        std::vector<double> marks;
        for (long k = first; k <= last; ++k) {
            marks.push_back(static_cast<double>(k) * step);
        }
        return marks;
    }

    /// Powers of ten, and between them some of their multiples where there are few.
    [[nodiscard]] std::vector<double> logarithmic_ticks(std::size_t most) const {
        const interval ends = bounds();
        const double decades = std::log10(ends.high / ends.low);
        const double wanted = static_cast<double>(std::max<std::size_t>(most, 1));
        const int stride = std::max(1, static_cast<int>(std::ceil(decades / wanted)));
        const int first = static_cast<int>(std::floor(std::log10(ends.low)));
        const int last = static_cast<int>(std::floor(std::log10(ends.high) + 1e-9));
        std::vector<double> marks;
        for (int e = first; e <= last; ++e) {
            for (int factor = 1; factor < 10; ++factor) {
                const double mark = factor * std::pow(10.0, e);
                const bool is_round = factor == 1 ? e % stride == 0 : is_marked(factor, decades, wanted);
                if (is_round && mark >= ends.low * (1.0 - 1e-9) && mark <= ends.high * (1.0 + 1e-9)) {
                    marks.push_back(mark);
                }
            }
        }
        return marks;
    }

    /// Between powers of ten: 2 and 5, and 3, 4 and 7 where less than a decade is shown.
    [[nodiscard]] static bool is_marked(int factor, double decades, double wanted) {
        const bool coarse = factor == 2 || factor == 5;
        const bool fine = factor == 3 || factor == 4 || factor == 7;
        return (coarse && 3.0 * decades < wanted) || (fine && 8.0 * decades < wanted);
    }

    axis_kind kind_ = axis_kind::linear;
    double low_ = std::numeric_limits<double>::infinity();
    double high_ = -std::numeric_limits<double>::infinity();
};

}  // namespace QUELL_BASELINE
}  // namespace quell::report
