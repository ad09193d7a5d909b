// SPDX-License-Identifier: MIT
/// @file
/// The tokens of one window (one calibration sequence) as the rules on tokens see them: the largest magnitude of each,
/// and where the few largest tokens have their largest channels. Rows may come in parts; the memory is bounded by the
/// window, not by the rows.
#pragma once

#include "quell/core/views.hpp"
#include "quell/outliers/median.hpp"
#include "quell/stats/absmax.hpp"
#include "quell/stats/token_max.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quell::outliers {
inline namespace QUELL_BASELINE {

/// A token that is among the largest of its window, with its largest channels, the largest first. Where a token has
/// fewer channels, the rest have the value 0.
struct large_token {
    static constexpr std::size_t kept_channels = 4;

    std::uint64_t position = 0;  ///< in its window
    float largest = 0.0F;        ///< max |x|
    std::array<std::uint64_t, kept_channels> channels{};
    std::array<float, kept_channels> values{};
};

class token_window {
public:
    static constexpr std::size_t kept_tokens = 8;

    /// The rows that follow.
    void add(matrix_view<const float> x) {
        stats::token_max rows;
        rows.add(x);
        add(x, rows.values());
    }

    /// The same where the largest magnitude of every row is known already.
    void add(matrix_view<const float> x, std::span<const float> maxima) {
        QUELL_EXPECTS(maxima.size() == x.rows(), "one maximum a row");
        const std::size_t first = maxima_.size();
        for (const float largest : maxima) {
            consider(largest);
            maxima_.push_back(largest);
        }
        for (large_token& token : largest_) {
            if (token.position >= first) {
                note_channels(x.row(static_cast<std::size_t>(token.position) - first), token);
            }
        }
    }

    void clear() {
        maxima_.clear();
        largest_.clear();
    }

    [[nodiscard]] std::size_t size() const { return maxima_.size(); }
    /// max |x_t| of every token t, in order.
    [[nodiscard]] std::span<const float> maxima() const { return maxima_; }
    /// Lower median of the maxima.
    [[nodiscard]] float median() const { return lower_median(maxima_); }
    /// At most `kept_tokens`, the largest first; of equal ones the earlier.
    [[nodiscard]] std::span<const large_token> largest() const { return largest_; }

private:
    /// Infinity and then NaN are on top.
    [[nodiscard]] static bool is_larger(float a, float b) {
        return std::bit_cast<std::uint32_t>(std::fabs(a)) > std::bit_cast<std::uint32_t>(std::fabs(b));
    }

    /// Puts the token that comes now where it belongs.
    void consider(float largest) {
        if (largest_.size() == kept_tokens && !is_larger(largest, largest_.back().largest)) {
            return;
        }
        if (largest_.size() == kept_tokens) {
            largest_.pop_back();
        }
        const auto place = std::find_if(largest_.begin(), largest_.end(),
                                        [&](const large_token& other) { return is_larger(largest, other.largest); });
        largest_.insert(place, {.position = maxima_.size(), .largest = largest});
    }

    static void note_channels(std::span<const float> row, large_token& token) {
        for (std::size_t c = 0; c < row.size(); ++c) {
            std::size_t place = large_token::kept_channels;
            while (place > 0 && is_larger(row[c], token.values[place - 1])) {
                --place;
            }
            if (place < large_token::kept_channels) {
                std::copy_backward(&token.values[place], token.values.end() - 1, token.values.end());
                std::copy_backward(&token.channels[place], token.channels.end() - 1, token.channels.end());
                token.values[place] = row[c];
                token.channels[place] = c;
            }
        }
    }

    std::vector<float> maxima_;
    std::vector<large_token> largest_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::outliers
