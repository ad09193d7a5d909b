// SPDX-License-Identifier: MIT
/// @file
/// Oracle of alloc/: every choice there is, one after the other.
#pragma once

#include "quell/alloc/lagrangian.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace reference {

struct knapsack_choice {
    double cost = std::numeric_limits<double>::infinity();  ///< of none that fits
    std::vector<std::size_t> chosen;
};

inline knapsack_choice best_choice(const std::vector<quell::alloc::menu>& items, const quell::alloc::budget& most) {
    knapsack_choice best;
    std::vector<std::size_t> chosen(items.size(), 0);
    for (;;) {
        double cost = 0.0;
        std::uint64_t bytes = 0;
        std::uint64_t time = 0;
        for (std::size_t i = 0; i < items.size(); ++i) {
            cost += items[i][chosen[i]].cost;
            bytes += items[i][chosen[i]].bytes;
            time += items[i][chosen[i]].time;
        }
        if (bytes <= most.bytes && time <= most.time && cost < best.cost) {
            best = {cost, chosen};
        }
        std::size_t i = 0;
        while (i < items.size() && ++chosen[i] == items[i].size()) {
            chosen[i++] = 0;
        }
        if (i == items.size()) {
            return best;
        }
    }
}

}  // namespace reference
