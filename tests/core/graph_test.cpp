// SPDX-License-Identifier: MIT
#include "quell/core/graph.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace {

TEST(Graph, FindsAllReadersOfAnInput) {
    quell::graph model;
    model.inputs = {{.name = "attn_in", .features = 8}, {.name = "o_in", .features = 8}, {.name = "unread"}};
    model.sites = {{.name = "q", .input = 0}, {.name = "o", .input = 1}, {.name = "k", .input = 0}};
    EXPECT_EQ(model.readers_of(0), (std::vector<std::size_t>{0, 2}));
    EXPECT_EQ(model.readers_of(1), (std::vector<std::size_t>{1}));
    EXPECT_TRUE(model.readers_of(2).empty());
}

}  // namespace
