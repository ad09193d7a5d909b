// SPDX-License-Identifier: MIT
#include "quell/packing/pack.hpp"

#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace {

using namespace quell;

const scheme all_forms[] = {
    {.bits = 8},
    {.bits = 8, .scales = scale_type::f16},
    {.bits = 8, .reach = granularity::tensor},
    {.bits = 4},
    {.bits = 4, .scales = scale_type::bf16},
    {.bits = 4, .reach = granularity::group, .group = 32, .scales = scale_type::f16},
    {.bits = 4, .reach = granularity::group, .group = 32, .scales = scale_type::f32},
    {.bits = 4, .reach = granularity::group, .group = 32, .scales = scale_type::bf16},
    {.bits = 4, .reach = granularity::group, .group = 64, .scales = scale_type::f16},
    {.bits = 4, .reach = granularity::group, .group = 64, .scales = scale_type::f32},
    {.bits = 4, .reach = granularity::group, .group = 128, .scales = scale_type::f16},
    {.bits = 4, .reach = granularity::group, .group = 128, .scales = scale_type::f32},
};

std::string describe(const scheme& s, std::size_t n, std::size_t k) {
    return std::to_string(s.bits) + " bits, group " + std::to_string(s.group) + ", scale type " +
           std::to_string(static_cast<int>(s.scales)) + ", " + std::to_string(n) + " x " + std::to_string(k);
}

quantized random_codes(const scheme& form, std::size_t n, std::size_t k, std::uint64_t seed = 1) {
    rng random(seed);
    quantized q = make_quantized(form, n, k);
    const code_range range = codes_of(form);
    for (auto& code : q.codes.elements()) {
        const auto span = static_cast<std::size_t>(range.high - range.low + 1);
        code = static_cast<std::int8_t>(range.low + static_cast<int>(random.below(span)));
    }
    for (float& scale : q.scales.elements()) {
        scale = to_f32(to_bf16(static_cast<float>(1 + random.below(64)) / 64));
    }
    return q;
}

bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

template <typename T>
bool equal_elements(const matrix<T>& a, const matrix<T>& b) {
    return std::equal(a.elements().begin(), a.elements().end(), b.elements().begin(), b.elements().end());
}

TEST(Pack, GivesBackEveryCodeAndScale) {
    for (const scheme& form : all_forms) {
        for (const std::size_t n : {0U, 1U, 15U, 16U, 17U, 40U}) {
            for (const std::size_t k : {0U, 1U, 5U, 31U, 32U, 33U, 63U, 64U, 65U, 100U, 128U, 130U, 200U}) {
                const quantized q = random_codes(form, n, k, n + k);
                const auto packed = packing::pack(q);
                ASSERT_TRUE(packed) << describe(form, n, k) << packed.error().message;
                EXPECT_EQ(packed->blob().size(), packing::packed_bytes(form, n, k));
                EXPECT_EQ(packed->form(), form);
                const auto back = packing::unpack(*packed);
                ASSERT_TRUE(back);
                EXPECT_EQ(back->form, form);
                EXPECT_EQ(back->codes.rows(), n);
                EXPECT_EQ(back->codes.cols(), k);
                EXPECT_TRUE(equal_elements(back->codes, q.codes)) << describe(form, n, k);
                EXPECT_TRUE(equal_elements(back->scales, q.scales)) << describe(form, n, k);
            }
        }
    }
}

TEST(Pack, LaysOutEightBitCodesAsTheReadmeDrawsThem) {
    const quantized q = random_codes({.bits = 8}, 18, 70);
    const auto packed = packing::pack(q);
    const std::byte* data = packed->panels().data;
    const std::size_t panel = 128 * 16 + 128;
    ASSERT_EQ(packed->blob().size(), 64 + 2 * panel);
    EXPECT_EQ(static_cast<std::int8_t>(data[0]), q.codes(0, 0));
    EXPECT_EQ(static_cast<std::int8_t>(data[3]), q.codes(0, 3));
    EXPECT_EQ(static_cast<std::int8_t>(data[4]), q.codes(1, 0));
    EXPECT_EQ(static_cast<std::int8_t>(data[64]), q.codes(0, 4));
    EXPECT_EQ(static_cast<std::int8_t>(data[panel + 17 * 64 + 4 + 1]), q.codes(17, 69));
    EXPECT_EQ(data[panel + 17 * 64 + 4 + 2], std::byte{0}) << "padding of k";
    EXPECT_EQ(data[panel + 2 * 4], std::byte{0}) << "padding of n";
    float scale = 0.0F;
    std::memcpy(&scale, data + panel + 128 * 16 + 4, 4);
    EXPECT_EQ(scale, q.scales(17, 0));
    std::int32_t sum = 0;
    std::memcpy(&sum, data + panel + 128 * 16 + 64 + 4, 4);
    EXPECT_EQ(sum, std::accumulate(q.codes.row(17).begin(), q.codes.row(17).end(), 0));
}

TEST(Pack, LaysOutFourBitCodesAsTheReadmeDrawsThem) {
    const scheme form = {.bits = 4, .reach = granularity::group, .group = 32, .scales = scale_type::f16};
    const quantized q = random_codes(form, 16, 70);
    const auto packed = packing::pack(q);
    const std::byte* data = packed->panels().data;
    ASSERT_EQ(packed->blob().size(), std::size_t{64 + 2 * (64 + 512)});
    const auto nibbles = [&](std::size_t low_row, std::size_t low_k) {
        const int high = low_k + 16 < 70 ? q.codes(low_row, low_k + 16) + 8 : 8;
        return static_cast<std::byte>((q.codes(low_row, low_k) + 8) | high << 4);
    };
    EXPECT_EQ(data[64], nibbles(0, 0));
    EXPECT_EQ(data[64 + 2], nibbles(0, 2));
    EXPECT_EQ(data[64 + 4 * 7 + 1], nibbles(7, 1));
    EXPECT_EQ(data[64 + 64], nibbles(0, 4));
    EXPECT_EQ(data[64 + 256], nibbles(0, 32));
    EXPECT_EQ(data[576 + 64], nibbles(0, 64));
    EXPECT_EQ(data[576 + 64 + 256], std::byte{0x88}) << "padding of k";
    f16 half;
    std::memcpy(&half, data + 32 + 2 * 3, 2);
    EXPECT_EQ(to_f32(half), q.scales(3, 1));
}

TEST(Pack, MakesTheSameBytesOnAnyNumberOfThreads) {
    for (const scheme& form : all_forms) {
        const quantized q = random_codes(form, 100, 130);
        thread_pool pool(3);
        EXPECT_TRUE(equal(packing::pack(q)->blob(), packing::pack(q, pool)->blob()));
    }
}

TEST(Pack, NamesTheCodeThatIsOutsideItsRange) {
    quantized q = random_codes({.bits = 8}, 20, 33);
    q.codes(18, 32) = -128;
    const auto packed = packing::pack(q);
    ASSERT_FALSE(packed);
    EXPECT_EQ(packed.error().code, errc::bad_value);
    EXPECT_EQ(packed.error().message, "code -128 at row 18, column 32 is outside -127 ... 127");
    for (const int code : {-9, 8, 127, -128}) {
        quantized four = random_codes({.bits = 4}, 3, 40);
        four.codes(2, 39) = static_cast<std::int8_t>(code);
        EXPECT_FALSE(packing::pack(four)) << code;
    }
}

TEST(Pack, RefusesScalesThatAreNotFiniteOrDoNotFit) {
    for (const float scale :
         {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1e-9F, 1e6F}) {
        quantized q =
            random_codes({.bits = 4, .reach = granularity::group, .group = 32, .scales = scale_type::f16}, 3, 64);
        q.scales(1, 1) = scale;
        const auto packed = packing::pack(q);
        ASSERT_FALSE(packed) << scale;
        EXPECT_NE(packed.error().message.find("row 1, column 1"), std::string::npos);
    }
}

TEST(Pack, RefusesWhatNoKernelReads) {
    const scheme refused[] = {
        {.bits = 3},
        {.bits = 4, .reach = granularity::group, .group = 48},
        {.bits = 8, .reach = granularity::group, .group = 32},
        {.bits = 4, .codes = code_set::zero_point, .zeros = zero_type::integer},
        {.bits = 4, .scales = scale_type::codes8},
        {.bits = 1, .codes = code_set::sign},
        {.bits = 8, .reach = granularity::token},
    };
    for (const scheme& form : refused) {
        const auto packed = packing::pack(random_codes(form, 2, 64));
        ASSERT_FALSE(packed) << describe(form, 2, 64);
        EXPECT_EQ(packed.error().code, errc::unsupported);
        EXPECT_EQ(packing::packed_bytes(form, 2, 64), 0U);
    }
    EXPECT_EQ(packing::pack(random_codes({.bits = 8}, 1, kernels::max_k + 1)).error().code, errc::unsupported);
    quantized wrong = random_codes({.bits = 8}, 4, 64);
    wrong.scales = {4, 2};
    EXPECT_EQ(packing::pack(wrong).error().code, errc::bad_shape);
}

TEST(Pack, KeepsFloatsInPanels) {
    for (const std::size_t n : {0U, 1U, 16U, 21U}) {
        for (const std::size_t k : {0U, 1U, 7U, 64U}) {
            matrix<float> w(n, k);
            for (std::size_t i = 0; i < n * k; ++i) {
                w.elements()[i] = static_cast<float>(i) - 3.5F;
            }
            thread_pool pool(2);
            const auto packed = packing::pack_f32(w.view(), pool);
            EXPECT_EQ(packed.blob().size(), packing::packed_bytes(packing::float_form, n, k));
            EXPECT_TRUE(equal_elements(packing::unpack_f32(packed), w));
            EXPECT_EQ(packing::unpack(packed).error().code, errc::unsupported);
            const auto view = packing::view_blob(packed.blob());
            ASSERT_TRUE(view);
            EXPECT_TRUE(equal_elements(packing::unpack_f32(*view), w));
        }
    }
}

TEST(StoredSize, CountsCodesScalesAndZerosWithoutPadding) {
    using packing::stored_bits;
    EXPECT_EQ(stored_bits({.bits = 8}, 10, 100), 10U * 100 * 8 + 10 * 32);
    EXPECT_EQ(stored_bits({.bits = 8, .reach = granularity::tensor}, 10, 100), 10U * 100 * 8 + 32);
    const scheme g128 = {.bits = 4, .reach = granularity::group, .group = 128, .scales = scale_type::f16};
    EXPECT_EQ(stored_bits(g128, 2, 576), 2U * (576 * 4 + 5 * 16)) << "the last group of a row is short";
    const scheme zeros = {.bits = 4,
                          .codes = code_set::zero_point,
                          .reach = granularity::group,
                          .group = 64,
                          .scales = scale_type::f16,
                          .zeros = zero_type::integer};
    EXPECT_EQ(stored_bits(zeros, 1, 128), 128U * 4 + 2 * (16 + 4));
    EXPECT_EQ(stored_bits(packing::float_form, 3, 5), 3U * 5 * 32);
    EXPECT_EQ(packing::stored_bytes({.bits = 1, .codes = code_set::sign, .scales = scale_type::f16}, 1, 9), 4U);
}

}  // namespace
