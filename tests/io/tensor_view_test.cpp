// SPDX-License-Identifier: MIT
#include "quell/io/tensor_view.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <optional>
#include <vector>

namespace {

using quell::dtype;
using quell::io::tensor_bytes;
using quell::io::tensor_list;
using shape = std::vector<std::size_t>;

TEST(TensorBytes, CountsBlocksOfRows) {
    EXPECT_EQ(tensor_bytes(dtype::f32, shape{3, 5}), 60U);
    EXPECT_EQ(tensor_bytes(dtype::f16, shape{}), 2U);
    EXPECT_EQ(tensor_bytes(dtype::q4_k, shape{2, 3, 512}), 2 * 3 * 2 * 144U);
    EXPECT_EQ(tensor_bytes(dtype::f32, shape{0, 7}), 0U);
    EXPECT_EQ(tensor_bytes(dtype::f32, shape{7, 0}), 0U);
}

TEST(TensorBytes, RefusesCutBlocksAndOverflow) {
    EXPECT_EQ(tensor_bytes(dtype::q4_0, shape{32, 33}), std::nullopt);
    EXPECT_EQ(tensor_bytes(dtype::q4_0, shape{}), std::nullopt);
    EXPECT_EQ(tensor_bytes(dtype::u8, shape{std::size_t{1} << 32U, std::size_t{1} << 32U}), std::nullopt);
    EXPECT_EQ(tensor_bytes(dtype::f32, shape{std::size_t{1} << 62U}), std::nullopt);
    EXPECT_EQ(tensor_bytes(dtype::q4_0, shape{std::size_t{1} << 32U, std::size_t{1} << 32U}), std::nullopt);
    EXPECT_EQ(tensor_bytes(dtype::u8, shape{(std::size_t{1} << 32U) + 1, (std::size_t{1} << 32U) - 1}), SIZE_MAX);
}

TEST(TensorList, FindsByName) {
    const tensor_list list({{.name = "b"}, {.name = "a"}, {.name = "c"}});
    EXPECT_EQ(list.find("a"), &list.all()[1]);
    EXPECT_EQ(list.find("c"), &list.all()[2]);
    EXPECT_EQ(list.find(""), nullptr);
    EXPECT_EQ(list.find("d"), nullptr);
    EXPECT_EQ(list.duplicate(), nullptr);
    EXPECT_EQ(tensor_list({{.name = "b"}, {.name = "a"}, {.name = "b"}}).duplicate()->name, "b");
    EXPECT_EQ(tensor_list().find("a"), nullptr);
}

}  // namespace
