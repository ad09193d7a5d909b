// SPDX-License-Identifier: MIT
/// @file
/// From a choice that prices suggest to one that keeps the budgets and wastes nothing: what is too much goes where it
/// costs least, what is left is spent where it saves most.
#pragma once

#include "quell/alloc/lagrangian.hpp"
#include "quell/core/target.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace quell::alloc {
inline namespace QUELL_BASELINE {
namespace detail {

[[nodiscard]] inline std::vector<std::size_t> choice_under(std::span<const menu> items, const prices& p) {
    std::vector<std::size_t> chosen;
    for (const menu& item : items) {
        chosen.push_back(cheapest(item, p));
    }
    return chosen;
}

/// By how much a budget is exceeded, each as a share of it.
[[nodiscard]] inline double excess(const usage& used, const budget& most) {
    const auto over = [](std::uint64_t is, std::uint64_t limit) {
        return is <= limit ? 0.0
                           : static_cast<double>(is - limit) / static_cast<double>(std::max<std::uint64_t>(limit, 1));
    };
    return over(used.bytes, most.bytes) + over(used.time, most.time);
}

/// Part of the budgets that is used.
[[nodiscard]] inline double share(const usage& used, const budget& most) {
    const auto part = [](std::uint64_t is, std::uint64_t limit) {
        return static_cast<double>(is) / static_cast<double>(std::max<std::uint64_t>(limit, 1));
    };
    return part(used.bytes, most.bytes) + (most.has_time() ? part(used.time, most.time) : 0.0);
}

/// Another option for one item.
struct move {
    std::size_t item = 0;
    std::size_t option = 0;
    usage after = {};
    double rate = std::numeric_limits<double>::infinity();  ///< the lower, the better; infinite: no move
};

/// The move of the least rate(saved cost, before, after) among all there are.
template <typename Rate>
[[nodiscard]] move best_move(std::span<const menu> items, const std::vector<std::size_t>& chosen, const usage& used,
                             const Rate& rate) {
    move best;
    for (std::size_t i = 0; i < items.size(); ++i) {
        const option& now = items[i][chosen[i]];
        for (std::size_t o = 0; o < items[i].size(); ++o) {
            const option& other = items[i][o];
            const usage after{used.cost - now.cost + other.cost, used.bytes - now.bytes + other.bytes,
                              used.time - now.time + other.time};
            const double found = o == chosen[i] ? best.rate : rate(now.cost - other.cost, used, after);
            if (found < best.rate) {
                best = {i, o, after, found};
            }
        }
    }
    return best;
}

/// Takes the best move until none is left.
template <typename Rate>
void take_moves(std::span<const menu> items, std::vector<std::size_t>& chosen, usage& used, const Rate& rate) {
    constexpr double none = std::numeric_limits<double>::infinity();
    for (move next = best_move(items, chosen, used, rate); next.rate < none;
         next = best_move(items, chosen, used, rate)) {
        chosen[next.item] = next.option;
        used = next.after;
    }
}

/// Empty where the way down led nowhere, which only two budgets can do.
[[nodiscard]] inline std::vector<std::size_t> repaired(std::span<const menu> items, const budget& most,
                                                       std::vector<std::size_t> chosen) {
    constexpr double none = std::numeric_limits<double>::infinity();
    usage used;
    for (std::size_t i = 0; i < items.size(); ++i) {
        used = used + items[i][chosen[i]];
    }
    take_moves(items, chosen, used, [&](double saved, const usage& before, const usage& after) {
        const double gained = excess(before, most) - excess(after, most);
        return gained > 0.0 ? -saved / gained : none;
    });
    if (!used.fits(most)) {
        return {};
    }
    take_moves(items, chosen, used, [&](double saved, const usage& before, const usage& after) {
        const double spent = std::max(share(after, most) - share(before, most), 1e-15);
        return saved > 0.0 && after.fits(most) ? -saved / spent : none;
    });
    return chosen;
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::alloc
