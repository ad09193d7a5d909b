// SPDX-License-Identifier: MIT
/// @file
/// A 5-gram model of bytes, the baseline that a trained network has to beat: relative frequencies of every order,
/// interpolated from the shortest context to the longest (Witten and Bell 1991).
#pragma once

#include <cmath>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace reference {

class ngram {
public:
    ngram(std::string_view text, std::size_t order) : tables_(order) {
        for (std::size_t i = 0; i < text.size(); ++i) {
            for (std::size_t n = 0; n < order && n <= i; ++n) {
                context& c = tables_[n][std::string(text.substr(i - n, n))];
                ++c.counts[text[i]];
                ++c.total;
            }
        }
    }

    /// Mean -log p in nats of every byte but the first of every window.
    [[nodiscard]] double loss(std::string_view text, std::size_t window) const {
        double sum = 0.0;
        std::size_t scored = 0;
        for (std::size_t begin = 0; begin + window <= text.size(); begin += window) {
            for (std::size_t i = 1; i < window; ++i, ++scored) {
                sum -= std::log(probability(text.substr(begin, i), text[begin + i]));
            }
        }
        return sum / static_cast<double>(scored);
    }

private:
    struct context {
        std::map<char, std::size_t> counts;
        std::size_t total = 0;
    };

    [[nodiscard]] double probability(std::string_view before, char next) const {
        double p = 1.0 / 256.0;
        for (std::size_t n = 0; n < tables_.size() && n <= before.size(); ++n) {
            const auto at = tables_[n].find(std::string(before.substr(before.size() - n)));
            if (at == tables_[n].end()) {
                break;
            }
            const context& c = at->second;
            const auto seen = c.counts.find(next);
            const auto kinds = static_cast<double>(c.counts.size());
            const double count = seen == c.counts.end() ? 0.0 : static_cast<double>(seen->second);
            p = (count + kinds * p) / (static_cast<double>(c.total) + kinds);
        }
        return p;
    }

    std::vector<std::map<std::string, context>> tables_;  ///< by length of the context
};

}  // namespace reference
