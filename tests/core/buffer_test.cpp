// SPDX-License-Identifier: MIT
#include "quell/core/buffer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <new>
#include <span>
#include <utility>

namespace {

using quell::buffer;

constexpr std::size_t huge_page = std::size_t{1} << 21U;

std::uintptr_t address(const void* p) {
    return reinterpret_cast<std::uintptr_t>(p);
}

TEST(Buffer, IsAlignedAndStartsAsZeros) {
    for (const std::size_t size : {1U, 3U, 16U, 17U, 4097U}) {
        const buffer<std::uint8_t> bytes(size);
        EXPECT_EQ(address(bytes.data()) % 64, 0U) << size;
        EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; })) << size;
    }
}

TEST(Buffer, LargeOnesAreAlignedToHugePages) {
    for (const std::size_t size : {huge_page / 2, huge_page / 2 + 1, 3 * huge_page / 4}) {
        buffer<float> large(size);
        EXPECT_EQ(address(large.data()) % huge_page, 0U) << size;
        EXPECT_TRUE(std::all_of(large.begin(), large.end(), [](float v) { return v == 0.0F; })) << size;
        std::fill(large.begin(), large.end(), 1.0F);
    }
}

TEST(Buffer, LargeOnesComeBackAsZerosAndCopy) {
    const buffer<std::uint8_t> ones = [] {
        buffer<std::uint8_t> filled(2 * huge_page + 17);
        std::fill(filled.begin(), filled.end(), std::uint8_t{1});
        return filled;
    }();
    const buffer<std::uint8_t> copy = buffer<std::uint8_t>::copy_of(ones);
    EXPECT_TRUE(std::equal(copy.begin(), copy.end(), ones.begin(), ones.end()));
    const buffer<std::uint8_t> zeros(2 * huge_page + 17);
    EXPECT_TRUE(std::all_of(zeros.begin(), zeros.end(), [](std::uint8_t b) { return b == 0; }));
}

#if !defined(__SANITIZE_ADDRESS__)  // which stops the program instead
TEST(Buffer, ThatMemoryCannotHoldThrows) {
    EXPECT_THROW(buffer<std::uint8_t>(std::numeric_limits<std::size_t>::max() / 4), std::bad_alloc);
}
#endif

TEST(Buffer, OfNothingOwnsNothing) {
    const buffer<float> none(0);
    EXPECT_TRUE(none.empty());
    EXPECT_EQ(none.data(), nullptr);
    EXPECT_TRUE(buffer<float>::copy_of({}).empty());
}

TEST(Buffer, CopiesWhenAsked) {
    const std::array<int, 3> source = {1, 2, 3};
    buffer<int> copy = buffer<int>::copy_of(source);
    EXPECT_TRUE(std::equal(copy.begin(), copy.end(), source.begin(), source.end()));
    copy[0] = 9;
    EXPECT_EQ(source[0], 1);
}

TEST(Buffer, MovesItsMemory) {
    buffer<int> first(4);
    first[2] = 7;
    const int* memory = first.data();
    buffer<int> second = std::move(first);
    EXPECT_EQ(second.data(), memory);
    buffer<int> third(1);
    third = std::move(second);
    EXPECT_EQ(third.data(), memory);
    EXPECT_EQ(third[2], 7);
    EXPECT_EQ(third.size(), 4U);
    EXPECT_EQ(third.size_bytes(), 16U);
}

TEST(Buffer, IsASpan) {
    buffer<int> numbers(2);
    const std::span<int> span = numbers;
    span[1] = 5;
    const std::span<const int> read = std::as_const(numbers);
    EXPECT_EQ(read[1], 5);
}

}  // namespace
