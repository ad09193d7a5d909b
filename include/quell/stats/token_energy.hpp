// SPDX-License-Identifier: MIT
/// @file
/// How the energy of a token is shared out among its channels, on average over tokens: a massive token counts no more
/// than any other.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quell::stats {
inline namespace QUELL_BASELINE {

/// Mean over tokens of C x_j^2 / |x|^2: 1 in every channel where all are alike.
///
/// Shapes   x [tokens, C]; shares() [C]. Tokens of zeros are counted and add nothing.
/// Oracle   reference::token_energy (tests/reference/statistics.hpp); merged sums round once more.
class token_energy {
public:
    void add(matrix_view<const float> x) {
        widen(x.cols());
        for (std::size_t r = 0; r < x.rows(); ++r) {
            add_token(x.row(r));
        }
        count_ += x.rows();
    }

    void merge(const token_energy& other) {
        if (other.count_ == 0) {
            return;
        }
        widen(other.sums_.size());
        for (std::size_t c = 0; c < sums_.size(); ++c) {
            sums_[c] += other.sums_[c];
        }
        count_ += other.count_;
    }

    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::vector<double> shares() const {
        std::vector<double> means = sums_;
        for (double& mean : means) {
            mean /= static_cast<double>(count_ == 0 ? 1 : count_);
        }
        return means;
    }

private:
    void widen(std::size_t channels) {
        QUELL_EXPECTS(count_ == 0 || sums_.size() == channels, "rows of another width");
        sums_.resize(channels, 0.0);
    }

    void add_token(std::span<const float> token) {
        double energy = 0.0;
        for (const float v : token) {
            energy += static_cast<double>(v) * static_cast<double>(v);
        }
        if (!(energy > 0.0)) {
            return;
        }
        const double unit = static_cast<double>(token.size()) / energy;
        for (std::size_t c = 0; c < token.size(); ++c) {
            const auto v = static_cast<double>(token[c]);
            sums_[c] += v * v * unit;
        }
    }

    std::vector<double> sums_;
    std::uint64_t count_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::stats
