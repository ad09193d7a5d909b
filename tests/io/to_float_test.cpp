// SPDX-License-Identifier: MIT
#include "quell/io/to_float.hpp"

#include "quell/core/rng.hpp"
#include "reference/block_formats.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace {

using quell::dtype;
using quell::traits;
using quell::io::tensor_view;
using quell::io::to_float;

class ToFloat : public testing::TestWithParam<dtype> {
protected:
    /// Random bytes: every code and every 16-bit float occurs, infinities and NaN too.
    static std::vector<std::byte> random_blocks(std::size_t count, std::uint64_t seed) {
        quell::rng random(seed);
        std::vector<std::byte> bytes(count * traits(GetParam()).bytes);
        for (std::byte& b : bytes) {
            b = static_cast<std::byte>(random.below(256));
        }
        return bytes;
    }

    static tensor_view view_of(std::span<const std::byte> bytes) {
        const quell::dtype_traits block = traits(GetParam());
        return {.name = "t", .type = GetParam(), .shape = {bytes.size() / block.bytes * block.elems}, .bytes = bytes};
    }

    static std::vector<float> oracle(std::span<const std::byte> bytes) {
        const quell::dtype_traits block = traits(GetParam());
        std::vector<float> values;
        for (std::size_t i = 0; i < bytes.size() / block.bytes * block.elems; ++i) {
            const reference::encoded_block encoded(bytes.subspan(i / block.elems * block.bytes, block.bytes));
            values.push_back(static_cast<float>(reference::element(GetParam(), encoded, i % block.elems)));
        }
        return values;
    }

    static void expect_same(std::span<const float> actual, std::span<const float> expected) {
        ASSERT_EQ(actual.size(), expected.size());
        for (std::size_t i = 0; i < actual.size(); ++i) {
            if (std::isnan(expected[i])) {
                EXPECT_TRUE(std::isnan(actual[i])) << "element " << i;
            } else {
                ASSERT_EQ(actual[i], expected[i]) << "element " << i;
            }
        }
    }
};

TEST_P(ToFloat, GivesTheDefinitionsValues) {
    const std::vector<std::byte> bytes = random_blocks(2000, 1);
    const tensor_view tensor = view_of(bytes);
    std::vector<float> values(tensor.elements());
    ASSERT_TRUE(to_float(tensor, 0, values));
    expect_same(values, oracle(bytes));
}

TEST_P(ToFloat, StartsAndEndsAnywhere) {
    const std::vector<std::byte> bytes = random_blocks(4, 2);
    const tensor_view tensor = view_of(bytes);
    const std::vector<float> all = oracle(bytes);
    const std::size_t step = traits(GetParam()).elems == 256 ? 13 : 1;
    for (std::size_t first = 0; first <= all.size(); first += step) {
        for (std::size_t size = 0; size <= all.size() - first; size += step) {
            std::vector<float> part(size);
            ASSERT_TRUE(to_float(tensor, first, part));
            expect_same(part, std::span(all).subspan(first, size));
        }
    }
}

TEST_P(ToFloat, ReadsFromAnyAddress) {
    const std::vector<std::byte> bytes = random_blocks(3, 3);
    std::vector<std::byte> moved(bytes.size() + 1);
    std::copy(bytes.begin(), bytes.end(), moved.begin() + 1);
    const tensor_view tensor = view_of(std::span(moved).subspan(1));
    std::vector<float> values(tensor.elements());
    ASSERT_TRUE(to_float(tensor, 0, values));
    expect_same(values, oracle(bytes));
}

TEST_P(ToFloat, NeverReadsBeyondTheBytes) {
    const quell::dtype_traits block = traits(GetParam());
    const auto bytes = std::make_unique<std::byte[]>(2 * block.bytes);  // ASan sees one byte too many
    const tensor_view tensor = view_of({bytes.get(), 2 * block.bytes});
    std::vector<float> one(1);
    EXPECT_TRUE(to_float(tensor, tensor.elements() - 1, one));
    EXPECT_FALSE(to_float(tensor, tensor.elements(), one));
    EXPECT_FALSE(to_float(tensor, SIZE_MAX, one));
    EXPECT_TRUE(to_float(tensor, tensor.elements(), {}));
}

INSTANTIATE_TEST_SUITE_P(AllTypes, ToFloat,
                         testing::Values(dtype::f32, dtype::f16, dtype::bf16, dtype::f64, dtype::q4_0, dtype::q4_1,
                                         dtype::q5_0, dtype::q5_1, dtype::q8_0, dtype::q4_k, dtype::q5_k, dtype::q6_k),
                         [](const auto& type) { return std::string(traits(type.param).name); });

TEST(ToFloatErrors, NameFileTensorAndNumbers) {
    const std::vector<std::byte> bytes(8);
    const auto file = std::make_shared<const std::string>("m.gguf");
    std::vector<float> out(3);
    const auto beyond = to_float({"w", dtype::f32, {2}, bytes, file}, 1, out);
    EXPECT_EQ(beyond.error().code, quell::errc::bad_shape);
    EXPECT_EQ(beyond.error().message, "m.gguf: tensor \"w\": 3 elements from element 1 on are wanted of 2");
    const auto integers = to_float({"ids", dtype::i64, {1}, bytes, file}, 0, std::span(out).first(1));
    EXPECT_EQ(integers.error().code, quell::errc::unsupported);
    EXPECT_EQ(integers.error().message, "m.gguf: tensor \"ids\": its type I64 cannot be read as float");
}

}  // namespace
