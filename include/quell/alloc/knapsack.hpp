// SPDX-License-Identifier: MIT
/// @file
/// The multiple-choice knapsack: one option for every item, the least cost in all, within a budget of bytes and perhaps
/// one of time. How bits are given to the linears of a model; costs, bytes and times are plain numbers here.
#pragma once

#include "quell/alloc/lagrangian.hpp"
#include "quell/alloc/repair.hpp"
#include "quell/core/check.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace quell::alloc {
inline namespace QUELL_BASELINE {

struct allocation {
    std::vector<std::size_t> chosen;  ///< the option of each item
    double cost = 0.0;
    std::uint64_t bytes = 0;
    std::uint64_t time = 0;
    double bound = 0.0;     ///< no choice within the budget costs less than this
    bool is_exact = false;  ///< none costs less than `cost`, but for rounding of its sum
};

struct knapsack_options {
    std::size_t most_states = 4096;  ///< partial choices that are followed at once; more of them: exact more often
};

/// Shapes   items: for each the options of which one is taken.
/// Requires every item has an option.
/// Errors   errc::bad_value for a cost that is not finite, by item and option, for numbers whose sum overflows, and
///          where the smallest options together exceed a budget, with both numbers; errc::not_found where no choice
///          that keeps both budgets was found.
/// Cost     items * options * most_states at most; one budget and a few hundred items take milliseconds.
/// Source   Multipliers from the dual (Sinha and Zoltners 1979), then dynamic programming over undominated partial
///          choices whose bound lies below the best choice so far (Pisinger 1995 prunes alike). The result never
///          exceeds a budget, and between equals the option that stands first wins.
/// Oracle   reference::best_choice (tests/reference/knapsack.hpp): every choice there is.
[[nodiscard]] result<allocation> allocate(std::span<const menu> items, const budget& most,
                                          const knapsack_options& options = {});

namespace detail {

/// A choice for the first items.
struct state {
    usage used;
    std::size_t parent = 0;  ///< among the states of the item before
    std::size_t option = 0;
};

/// What the items from each on must use at least, and what their options cost at least under the multipliers.
struct remainder {
    std::uint64_t bytes = 0;
    std::uint64_t time = 0;
    double priced = 0.0;
};

class knapsack {
public:
    knapsack(std::span<const menu> items, const budget& most, const knapsack_options& options)
        : items_(items), most_(most), options_(options), prices_(best_prices(items, most)), rest_(items.size() + 1) {
        for (std::size_t i = items.size(); i-- > 0;) {
            const usage least = least_of(items[i]);
            rest_[i] = {rest_[i + 1].bytes + least.bytes, rest_[i + 1].time + least.time,
                        rest_[i + 1].priced + priced(items[i][cheapest(items[i], prices_)], prices_)};
            magnitude_ += largest_cost(items[i]);
        }
    }

    /// Empty where nothing was found.
    allocation solve() {
        allocation best = of(repaired(items_, most_, choice_under(items_, prices_)));
        const double limit = best.chosen.size() == items_.size() ? best.cost : std::numeric_limits<double>::infinity();
        std::vector<std::vector<state>> layers = {{state{}}};
        bool complete = true;
        for (std::size_t i = 0; i < items_.size(); ++i) {
            layers.push_back(extend(layers.back(), i, limit));
            complete = shorten(layers.back(), i + 1) && complete;
        }
        take_better(layers, best);
        best.is_exact = complete && best.chosen.size() == items_.size();
        best.bound = best.is_exact ? best.cost : std::min(best.cost, rest_[0].priced - fixed_part());
        return best;
    }

private:
    [[nodiscard]] double fixed_part() const {
        const double timed = most_.has_time() ? prices_.time * static_cast<double>(most_.time) : 0.0;
        return prices_.bytes * static_cast<double>(most_.bytes) + timed;
    }

    /// The least that a choice which continues this state can cost.
    [[nodiscard]] double bound_of(const usage& used, std::size_t next) const {
        return priced({used.cost, used.bytes, used.time}, prices_) + rest_[next].priced - fixed_part();
    }

    [[nodiscard]] std::vector<state> extend(const std::vector<state>& before, std::size_t i, double limit) const {
        std::vector<state> after;
        const double slack = 1e-12 * magnitude_;
        for (std::size_t parent = 0; parent < before.size(); ++parent) {
            for (std::size_t o = 0; o < items_[i].size(); ++o) {
                const usage used = before[parent].used + items_[i][o];
                const bool fits = used.bytes + rest_[i + 1].bytes <= most_.bytes &&
                                  (!most_.has_time() || used.time + rest_[i + 1].time <= most_.time);
                if (fits && bound_of(used, i + 1) <= limit + slack) {
                    after.push_back({used, parent, o});
                }
            }
        }
        return undominated(std::move(after));
    }

    /// Leaves out every state that another one beats in bytes, time and cost, or equals and stands before it.
    [[nodiscard]] std::vector<state> undominated(std::vector<state> states) const {
        const auto order = [this](const state& s) {
            return std::tuple(s.used.bytes, most_.has_time() ? s.used.time : 0, s.used.cost);
        };
        std::stable_sort(states.begin(), states.end(),
                         [&](const state& a, const state& b) { return order(a) < order(b); });
        std::map<std::uint64_t, double> front;  // of the smaller ones: the least cost within each time, falling
        std::vector<state> kept;
        for (const state& s : states) {
            const std::uint64_t time = most_.has_time() ? s.used.time : 0;
            auto after = front.upper_bound(time);
            if (after != front.begin() && std::prev(after)->second <= s.used.cost) {
                continue;
            }
            while (after != front.end() && after->second >= s.used.cost) {
                after = front.erase(after);
            }
            front[time] = s.used.cost;
            kept.push_back(s);
        }
        return kept;
    }

    /// Keeps the most promising states; false where it had to drop some.
    [[nodiscard]] bool shorten(std::vector<state>& states, std::size_t next) const {
        if (states.size() <= options_.most_states) {
            return true;
        }
        std::stable_sort(states.begin(), states.end(), [&](const state& a, const state& b) {
            return bound_of(a.used, next) < bound_of(b.used, next);
        });
        states.resize(options_.most_states);
        return false;
    }

    void take_better(const std::vector<std::vector<state>>& layers, allocation& best) const {
        const std::vector<state>& last = layers.back();
        const auto least = std::min_element(last.begin(), last.end(),
                                            [](const state& a, const state& b) { return a.used.cost < b.used.cost; });
        if (least == last.end() || (best.chosen.size() == items_.size() && least->used.cost >= best.cost)) {
            return;
        }
        std::vector<std::size_t> chosen(items_.size());
        const state* at = &*least;
        for (std::size_t i = items_.size(); i-- > 0;) {
            chosen[i] = at->option;
            at = &layers[i][at->parent];
        }
        best = of(std::move(chosen));
    }

    [[nodiscard]] allocation of(std::vector<std::size_t> chosen) const {
        usage used;
        for (std::size_t i = 0; i < chosen.size(); ++i) {
            used = used + items_[i][chosen[i]];
        }
        return {.chosen = std::move(chosen), .cost = used.cost, .bytes = used.bytes, .time = used.time};
    }

    std::span<const menu> items_;
    budget most_;
    knapsack_options options_;
    prices prices_;
    std::vector<remainder> rest_;
    double magnitude_ = 0.0;  ///< of the costs that are added up
};

[[nodiscard]] inline result<void> check_items(std::span<const menu> items) {
    constexpr std::uint64_t most_each = std::uint64_t{1} << 52;  // so that sums stay exact, as integers and as doubles
    for (std::size_t i = 0; i < items.size(); ++i) {
        QUELL_EXPECTS(!items[i].empty(), "an item without options");
        for (std::size_t o = 0; o < items[i].size(); ++o) {
            const std::string where = "item " + std::to_string(i) + ", option " + std::to_string(o);
            if (!std::isfinite(items[i][o].cost)) {
                return error{errc::bad_value, where + ": the cost is not a finite number"};
            }
            if (std::max(items[i][o].bytes, items[i][o].time) > most_each / std::max<std::size_t>(items.size(), 1)) {
                return error{errc::bad_value, where + ": so many bytes or so much time cannot be added up"};
            }
        }
    }
    return {};
}

[[nodiscard]] inline result<void> check_fit(const char* what, std::uint64_t least, std::uint64_t most) {
    if (least > most) {
        return error{errc::bad_value, "the smallest options together take " + std::to_string(least) + " " + what +
                                          ", the budget is " + std::to_string(most)};
    }
    return {};
}

}  // namespace detail

inline result<allocation> allocate(std::span<const menu> items, const budget& most, const knapsack_options& options) {
    QUELL_EXPECTS(options.most_states > 0, "at least one state is followed");
    QUELL_TRY_VOID(detail::check_items(items));
    usage least;
    for (const menu& item : items) {
        const usage smallest = detail::least_of(item);
        least.bytes += smallest.bytes;
        least.time += smallest.time;
    }
    QUELL_TRY_VOID(detail::check_fit("bytes", least.bytes, most.bytes));
    QUELL_TRY_VOID(detail::check_fit("units of time", least.time, most.time));
    allocation best = detail::knapsack(items, most, options).solve();
    if (best.chosen.size() != items.size()) {
        return error{errc::not_found, "no choice keeps both the budget of " + std::to_string(most.bytes) +
                                          " bytes and that of " + std::to_string(most.time) + " units of time"};
    }
    return best;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::alloc
