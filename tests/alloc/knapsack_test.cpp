// SPDX-License-Identifier: MIT
#include "quell/alloc/knapsack.hpp"

#include "quell/core/rng.hpp"
#include "reference/knapsack.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <vector>

namespace {

using namespace quell;
using alloc::allocate;
using alloc::allocation;
using alloc::budget;
using alloc::menu;

/// Costs fall with the bytes, as those of rounding do, but not always.
std::vector<menu> random_items(rng& r, std::size_t most_items, std::size_t most_options) {
    std::vector<menu> items(1 + r.below(most_items));
    for (menu& item : items) {
        const double weight = r.uniform(0.1, 10.0);
        item.resize(1 + r.below(most_options));
        for (alloc::option& o : item) {
            o.bytes = 1 + r.below(40);
            o.time = r.below(20);
            o.cost = weight * r.uniform(0.5, 1.5) / static_cast<double>(o.bytes);
        }
    }
    return items;
}

std::uint64_t least_bytes(const std::vector<menu>& items) {
    std::uint64_t sum = 0;
    for (const menu& item : items) {
        sum += alloc::detail::least_of(item).bytes;
    }
    return sum;
}

void expect_sums(const std::vector<menu>& items, const allocation& found) {
    alloc::usage used;
    ASSERT_EQ(found.chosen.size(), items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
        used = used + items[i].at(found.chosen[i]);
    }
    EXPECT_EQ(used.bytes, found.bytes);
    EXPECT_EQ(used.time, found.time);
    EXPECT_DOUBLE_EQ(used.cost, found.cost);
}

TEST(Knapsack, EqualsTheBestOfAllChoices) {
    rng r(1);
    for (int trial = 0; trial < 1000; ++trial) {
        const std::vector<menu> items = random_items(r, 5, 5);
        const budget most{.bytes = least_bytes(items) + r.below(80)};
        const auto found = allocate(items, most);
        ASSERT_TRUE(found) << found.error().message;
        const auto wanted = reference::best_choice(items, most);
        EXPECT_LE(found->bytes, most.bytes);
        EXPECT_NEAR(found->cost, wanted.cost, 1e-9) << trial;
        EXPECT_TRUE(found->is_exact);
        EXPECT_LE(found->bound, wanted.cost + 1e-9);
        expect_sums(items, *found);
    }
}

TEST(Knapsack, KeepsASecondBudget) {
    rng r(2);
    std::size_t possible = 0;
    for (int trial = 0; trial < 300; ++trial) {
        const std::vector<menu> items = random_items(r, 4, 5);
        const budget most{.bytes = least_bytes(items) + r.below(60), .time = r.below(50)};
        const auto wanted = reference::best_choice(items, most);
        const auto found = allocate(items, most);
        ASSERT_EQ(static_cast<bool>(found), !wanted.chosen.empty()) << trial;
        if (found) {
            EXPECT_LE(found->bytes, most.bytes);
            EXPECT_LE(found->time, most.time);
            EXPECT_NEAR(found->cost, wanted.cost, 1e-9) << trial;
            expect_sums(items, *found);
            ++possible;
        }
    }
    EXPECT_GT(possible, 100U);
}

TEST(Knapsack, LargeOnesAreCloseToTheirBound) {
    rng r(3);
    std::vector<menu> items(224);
    for (menu& item : items) {
        const double weight = r.uniform(0.1, 10.0);
        const std::uint64_t size = 1000 * (1 + r.below(20));
        for (std::uint64_t bits = 2; bits <= 8; ++bits) {
            item.push_back({.cost = weight * r.uniform(0.9, 1.1) / static_cast<double>(1U << (2 * bits)),
                            .bytes = size * bits / 8});
        }
    }
    const budget most{.bytes = 2 * least_bytes(items)};
    for (const std::size_t states : {std::size_t{1}, std::size_t{64}, std::size_t{4096}}) {
        const auto found = allocate(items, most, {.most_states = states});
        ASSERT_TRUE(found);
        EXPECT_LE(found->bytes, most.bytes);
        EXPECT_LE(found->bound, found->cost);
        EXPECT_LT(found->cost, 1.01 * found->bound) << states;
        expect_sums(items, *found);
    }
}

TEST(Knapsack, MoreBytesNeverCostMore) {
    rng r(4);
    const std::vector<menu> items = random_items(r, 30, 6);
    const std::uint64_t least = least_bytes(items);
    double before = std::numeric_limits<double>::infinity();
    for (std::uint64_t more = 0; more < 200; more += 10) {
        const auto found = allocate(items, {.bytes = least + more});
        ASSERT_TRUE(found);
        EXPECT_LE(found->cost, before);
        before = found->cost;
    }
}

TEST(Knapsack, WithoutALimitEveryItemTakesItsCheapest) {
    rng r(5);
    const std::vector<menu> items = random_items(r, 9, 9);
    const auto found = allocate(items, {});
    ASSERT_TRUE(found);
    for (std::size_t i = 0; i < items.size(); ++i) {
        for (const alloc::option& o : items[i]) {
            EXPECT_LE(items[i][found->chosen[i]].cost, o.cost);
        }
    }
}

TEST(Knapsack, BetweenEqualsTheFirstWins) {
    const menu same = {{.cost = 1.0, .bytes = 4}, {.cost = 1.0, .bytes = 4}, {.cost = 1.0, .bytes = 5}};
    const auto found = allocate(std::vector<menu>{same, same}, {.bytes = 20});
    ASSERT_TRUE(found);
    EXPECT_EQ(found->chosen, (std::vector<std::size_t>{0, 0}));
}

TEST(Knapsack, NamesWhatIsWrong) {
    const std::vector<menu> items = {{{.cost = 1.0, .bytes = 4}}, {{.cost = 1.0, .bytes = 5, .time = 3}}};
    EXPECT_EQ(allocate(items, {.bytes = 8}).error().message,
              "the smallest options together take 9 bytes, the budget is 8");
    EXPECT_EQ(allocate(items, {.bytes = 9, .time = 2}).error().code, errc::bad_value);
    EXPECT_TRUE(allocate(items, {.bytes = 9, .time = 3}));
    const std::vector<menu> apart = {{{.cost = 1.0, .bytes = 1, .time = 9}, {.cost = 1.0, .bytes = 9, .time = 1}}};
    EXPECT_EQ(allocate(apart, {.bytes = 5, .time = 5}).error().code, errc::not_found);
    const std::vector<menu> endless = {{{.cost = std::numeric_limits<double>::infinity(), .bytes = 1}}};
    EXPECT_EQ(allocate(endless, {}).error().message, "item 0, option 0: the cost is not a finite number");
    const std::vector<menu> huge = {{{.bytes = std::uint64_t{1} << 60}}};
    EXPECT_EQ(allocate(huge, {}).error().code, errc::bad_value);
    EXPECT_EQ(allocate({}, {})->chosen.size(), 0U);
}

/// Llama-2-7B, layer 0, q_proj: norms of the error and MiB as the MXQ paper publishes them.
TEST(Knapsack, TakesTheFormsOfThePublishedRow) {
    constexpr double mib = 1048576.0;
    const double norms[] = {32.5625, 28.234, 23.5625, 16.156,  13.117,  10.5,
                            7.6484,  6.1602, 4.9102,  0.46143, 0.37231, 0.29712};
    const double sizes[] = {4.253906, 4.50781,  5.015625, 6.253906,  6.507813,  7.015625,
                            8.253906, 8.507813, 9.015625, 16.253906, 16.507813, 17.015625};
    menu row;
    for (std::size_t r = 0; r < std::size(norms); ++r) {
        row.push_back({.cost = norms[r], .bytes = static_cast<std::uint64_t>(sizes[r] * mib)});
    }
    const auto at = [&](double size) {
        return allocate(std::vector<menu>{row}, {.bytes = static_cast<std::uint64_t>(size * mib)});
    };
    EXPECT_EQ(at(4.3)->chosen[0], 0U);
    EXPECT_EQ(at(8.6)->chosen[0], 7U);
    EXPECT_EQ(at(17.1)->chosen[0], 11U);
    // Two such matrices share what neither can have twice.
    const auto two = allocate(std::vector<menu>{row, row}, {.bytes = static_cast<std::uint64_t>(13.9 * mib)});
    EXPECT_DOUBLE_EQ(two->cost, 13.117 + 10.5);
}

}  // namespace
