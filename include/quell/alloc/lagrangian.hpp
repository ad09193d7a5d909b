// SPDX-License-Identifier: MIT
/// @file
/// Prices in place of budgets: with a price a byte (and one a unit of time) every item chooses for itself, and the sum
/// is a lower bound of what any choice within the budget costs. The best prices give the best bound; the choice under
/// them, repaired until it fits, is one hull step from the best where there is one budget.
#pragma once

#include "quell/core/target.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace quell::alloc {
inline namespace QUELL_BASELINE {

struct option {
    double cost = 0.0;
    std::uint64_t bytes = 0;
    std::uint64_t time = 0;  ///< in whatever unit the budget has
};

/// The options of one item.
using menu = std::vector<option>;

struct budget {
    static constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

    std::uint64_t bytes = no_limit;
    std::uint64_t time = no_limit;

    [[nodiscard]] bool has_time() const { return time != no_limit; }
};

/// What some options take together.
struct usage {
    double cost = 0.0;
    std::uint64_t bytes = 0;
    std::uint64_t time = 0;

    [[nodiscard]] usage operator+(const option& o) const { return {cost + o.cost, bytes + o.bytes, time + o.time}; }
    [[nodiscard]] bool fits(const budget& most) const { return bytes <= most.bytes && time <= most.time; }
};

/// Cost units a byte and a unit of time.
struct prices {
    double bytes = 0.0;
    double time = 0.0;
};

namespace detail {

[[nodiscard]] inline double priced(const option& o, const prices& p) {
    return o.cost + p.bytes * static_cast<double>(o.bytes) + p.time * static_cast<double>(o.time);
}

/// The option of the least priced cost; between equals the smaller one, and then the first.
[[nodiscard]] inline std::size_t cheapest(const menu& item, const prices& p) {
    std::size_t best = 0;
    for (std::size_t o = 1; o < item.size(); ++o) {
        const double difference = priced(item[o], p) - priced(item[best], p);
        if (difference < 0.0 || (difference == 0.0 && item[o].bytes < item[best].bytes)) {
            best = o;
        }
    }
    return best;
}

/// The smallest number of bytes and the shortest time, perhaps of two options.
[[nodiscard]] inline usage least_of(const menu& item) {
    usage least{.cost = 0.0, .bytes = item[0].bytes, .time = item[0].time};
    for (const option& o : item) {
        least.bytes = std::min(least.bytes, o.bytes);
        least.time = std::min(least.time, o.time);
    }
    return least;
}

[[nodiscard]] inline double largest_cost(const menu& item) {
    double largest = 0.0;
    for (const option& o : item) {
        largest = std::max(largest, std::fabs(o.cost));
    }
    return largest;
}

[[nodiscard]] inline usage usage_under(std::span<const menu> items, const prices& p) {
    usage sum;
    for (const menu& item : items) {
        sum = sum + item[cheapest(item, p)];
    }
    return sum;
}

/// The bound that these prices give: concave in both.
[[nodiscard]] inline double dual(std::span<const menu> items, const budget& most, const prices& p) {
    double sum = p.bytes > 0.0 ? -p.bytes * static_cast<double>(most.bytes) : 0.0;
    sum -= p.time > 0.0 ? p.time * static_cast<double>(most.time) : 0.0;
    for (const menu& item : items) {
        sum += priced(item[cheapest(item, p)], p);
    }
    return sum;
}

/// A price at which nobody takes anything but the smallest.
[[nodiscard]] inline double highest_price(std::span<const menu> items) {
    double highest = 0.0;
    for (const menu& item : items) {
        highest = std::max(highest, largest_cost(item));
    }
    return 3.0 * highest;
}

/// The lowest price a byte at which the choices fit, for a given price of time.
[[nodiscard]] inline double price_of_bytes(std::span<const menu> items, const budget& most, double time) {
    if (usage_under(items, {0.0, time}).bytes <= most.bytes) {
        return 0.0;
    }
    double low = 0.0;
    double high = highest_price(items);
    while (usage_under(items, {high, time}).bytes > most.bytes && high < 1e300) {
        high *= 16.0;  // the price of time stands in the way of the smallest
    }
    for (int step = 0; step < 100 && high - low > 1e-15 * high; ++step) {
        const double middle = 0.5 * (low + high);
        (usage_under(items, {middle, time}).bytes > most.bytes ? low : high) = middle;
    }
    return high;
}

/// The prices of the best bound: bisection for one budget, and around it a ternary search for the second.
[[nodiscard]] inline prices best_prices(std::span<const menu> items, const budget& most) {
    const auto at = [&](double time) { return prices{price_of_bytes(items, most, time), time}; };
    if (!most.has_time() || usage_under(items, at(0.0)).fits(most)) {
        return at(0.0);
    }
    double low = 0.0;
    double high = highest_price(items);
    for (int step = 0; step < 60; ++step) {
        const double left = low + (high - low) / 3.0;
        const double right = high - (high - low) / 3.0;
        if (dual(items, most, at(left)) < dual(items, most, at(right))) {
            low = left;
        } else {
            high = right;
        }
    }
    return at(high);
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::alloc
