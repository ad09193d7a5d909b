// SPDX-License-Identifier: MIT
#include "quell/packing/pack.hpp"

#include "packing/forms.hpp"
#include "quell/core/thread_pool.hpp"
#include "quell/packing/unpack.hpp"
#include "reference/panels.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace {

using namespace quell;

/// Every form with sizes around every edge, and every code set with each n up to 40 and each k up to 300.
template <typename F>
void for_each_weight(const F& f) {
    for (const scheme& form : all_forms()) {
        for (const std::size_t n : {0U, 1U, 16U, 19U}) {
            for (const std::size_t k : {0U, 1U, 31U, 33U, 64U, 97U, 130U}) {
                f(form, n, k);
            }
        }
    }
    for (scheme form : code_forms()) {
        for (std::size_t k = 0; k <= 300; ++k) {
            form.reach = k % 4 == 0 ? granularity::channel : granularity::group;
            form.group = k % 4 * 32;
            form.scales = k % 3 == 0 ? scale_type::f32 : scale_type::f16;
            f(form, k % 40 + 1, k);
        }
    }
}

TEST(Pack, GivesBackEveryCodeScaleAndZero) {
    for_each_weight([](const scheme& form, std::size_t n, std::size_t k) {
        const quantized q = random_codes(form, n, k, n + k);
        const auto packed = packing::pack(q);
        ASSERT_TRUE(packed) << describe(form, n, k) << packed.error().message;
        EXPECT_EQ(packed->form(), form);
        const auto back = packing::unpack(*packed);
        ASSERT_TRUE(back) << describe(form, n, k) << back.error().message;
        EXPECT_TRUE(equal(*back, q)) << describe(form, n, k);
    });
}

TEST(Pack, MakesTheBytesThatTheReadmeDraws) {
    for_each_weight([](const scheme& form, std::size_t n, std::size_t k) {
        const quantized q = random_codes(form, n, k, n + k);
        const auto packed = packing::pack(q);
        const reference::panels expected(q);
        ASSERT_EQ(packed->blob().size(), packing::packed_bytes(form, n, k));
        EXPECT_TRUE(equal(packed->blob().subspan(packing::header_bytes), expected.bytes())) << describe(form, n, k);
        EXPECT_TRUE(packing::view_blob(packed->blob())) << describe(form, n, k);
    });
}

TEST(Pack, LaysOutEightBitCodesAsTheReadmeDrawsThem) {
    const scheme form = {.bits = 8, .codes = code_set::zero_point, .zeros = zero_type::integer};
    const quantized q = random_codes(form, 18, 70);
    const auto packed = packing::pack(q);
    const std::byte* data = packed->panels().data;
    const std::size_t panel = 128 * 16 + 64 + 64;
    ASSERT_EQ(packed->blob().size(), 64 + 2 * (panel + 64));
    EXPECT_EQ(static_cast<std::int8_t>(data[3]), q.codes(0, 3));
    EXPECT_EQ(static_cast<std::int8_t>(data[4]), q.codes(1, 0));
    EXPECT_EQ(static_cast<std::int8_t>(data[64]), q.codes(0, 4));
    EXPECT_EQ(static_cast<std::int8_t>(data[128 * 16 + 64 + 5]), static_cast<std::int8_t>(q.zeros(5, 0)));
}

TEST(Pack, LaysOutFourBitCodesAsTheReadmeDrawsThem) {
    const scheme form = {.bits = 4, .reach = granularity::group, .group = 32, .scales = scale_type::f16};
    const quantized q = random_codes(form, 16, 70);
    const auto packed = packing::pack(q);
    const std::byte* data = packed->panels().data;
    ASSERT_EQ(packed->blob().size(), std::size_t{64 + 128 * 16 / 2 + 128});
    const auto nibbles = [&](std::size_t row, std::size_t low_k) {
        const int high = low_k + 16 < 70 ? q.codes(row, low_k + 16) + 8 : 8;
        return static_cast<std::byte>((q.codes(row, low_k) + 8) | high << 4);
    };
    EXPECT_EQ(data[0], nibbles(0, 0));
    EXPECT_EQ(data[2], nibbles(0, 2));
    EXPECT_EQ(data[4 * 7 + 1], nibbles(7, 1));
    EXPECT_EQ(data[64], nibbles(0, 4));
    EXPECT_EQ(data[256], nibbles(0, 32));
    EXPECT_EQ(data[512], nibbles(0, 64));
    EXPECT_EQ(data[512 + 256], std::byte{0x88}) << "padding of k";
    f16 half;
    std::memcpy(&half, data + 1024 + 2 * (16 + 3), 2);
    EXPECT_EQ(to_f32(half), q.scales(3, 1));
}

TEST(Pack, MakesTheSameBytesOnAnyNumberOfThreads) {
    thread_pool pool(3);
    for (const scheme& form : all_forms()) {
        const quantized q = random_codes(form, 100, 130);
        EXPECT_TRUE(equal(packing::pack(q)->blob(), packing::pack(q, pool)->blob()));
    }
}

TEST(Pack, NamesTheCodeThatIsOutsideItsRange) {
    quantized q = random_codes({.bits = 8}, 20, 33);
    q.codes(18, 32) = -128;
    const auto packed = packing::pack(q);
    ASSERT_FALSE(packed);
    EXPECT_EQ(packed.error().code, errc::bad_value);
    EXPECT_EQ(packed.error().message, "code -128 at row 18, column 32 is not one of -127 ... 127");
}

TEST(Pack, RefusesEveryCodeOutsideItsRange) {
    for (const scheme& form : code_forms()) {
        const code_range range = codes_of(form);
        for (int code = -128; code <= 127; ++code) {
            quantized q = random_codes(form, 3, 40);
            q.codes(2, 39) = static_cast<std::int8_t>(code);
            EXPECT_EQ(packing::pack(q).has_value(), code >= range.low && code <= range.high)
                << describe(form, 3, 40) << ": " << code;
        }
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
        EXPECT_NE(packed.error().message.find("row 1, group 1 is not finite"), std::string::npos);
    }
}

TEST(Pack, RefusesScalesThatAreNoMultiplesOfTheUnitOfTheirRow) {
    const scheme form = {.bits = 3, .reach = granularity::group, .group = 32, .scales = scale_type::codes8};
    for (const float scale : {0.0F, -0.25F, 0.3F, 0x1p-9F, std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN()}) {
        quantized q = random_codes(form, 3, 96);
        q.scales(1, 0) = 1.0F;
        q.scales(1, 1) = scale;
        const auto packed = packing::pack(q);
        ASSERT_FALSE(packed) << scale;
        EXPECT_NE(packed.error().message.find(" at row 1, group "), std::string::npos);
    }
}

TEST(Pack, RefusesZerosThatAreNoSteps) {
    const scheme form = {.bits = 3,
                         .codes = code_set::zero_point,
                         .reach = granularity::group,
                         .group = 32,
                         .scales = scale_type::codes8,
                         .zeros = zero_type::real};
    for (const float zero : {-0.5F, 8.0F, 0.015625F, std::numeric_limits<float>::quiet_NaN()}) {
        quantized q = random_codes(form, 3, 96);
        q.zeros(2, 1) = zero;
        const auto packed = packing::pack(q);
        ASSERT_FALSE(packed) << zero;
        EXPECT_NE(packed.error().message.find(" at row 2, group 1 is not finite or does not fit"), std::string::npos);
    }
}

TEST(Pack, RefusesZerosThatAreNoCodes) {
    for (const int bits : {2, 3, 4, 8}) {
        const scheme form = {.bits = bits, .codes = code_set::zero_point, .zeros = zero_type::integer};
        const code_range range = codes_of(form);
        const auto low = static_cast<float>(range.low);
        const auto high = static_cast<float>(range.high);
        for (const float zero : {low - 1.0F, high + 1.0F, low + 0.5F, 1e9F, std::numeric_limits<float>::infinity(),
                                 std::numeric_limits<float>::quiet_NaN()}) {
            quantized q = random_codes(form, 20, 10);
            q.zeros(17, 0) = zero;
            const auto packed = packing::pack(q);
            ASSERT_FALSE(packed) << zero;
            EXPECT_EQ(packed.error().code, errc::bad_value);
            EXPECT_NE(packed.error().message.find(" at row 17, group 0 is not one of "), std::string::npos);
        }
        quantized q = random_codes(form, 20, 10);
        q.zeros(0, 0) = low;
        q.zeros(1, 0) = high;
        EXPECT_TRUE(equal(*packing::unpack(*packing::pack(q)), q));
    }
}

TEST(Pack, RefusesRealZerosThatTheirTypeCannotHold) {
    for (const scale_type type : {scale_type::f16, scale_type::bf16}) {
        const scheme forms[] = {
            {.bits = 1, .codes = code_set::sign_mean, .scales = type, .zeros = zero_type::real},
            {.bits = 3, .codes = code_set::zero_point, .scales = type, .zeros = zero_type::real},
        };
        for (const scheme& form : forms) {
            quantized q = random_codes(form, 4, 10);
            q.zeros(3, 0) = 0.1F;
            const auto packed = packing::pack(q);
            ASSERT_FALSE(packed);
            EXPECT_EQ(packed.error().message,
                      "zero 0.100000001 at row 3, group 0 is not finite or does not fit its type");
        }
    }
}

TEST(Pack, NamesTheFirstFaultOnAnyNumberOfThreads) {
    quantized q = random_codes({.bits = 2}, 64, 40);
    q.codes(60, 1) = 2;
    q.codes(33, 5) = -3;
    q.scales(34, 0) = std::numeric_limits<float>::infinity();
    thread_pool pool(3);
    EXPECT_EQ(packing::pack(q).error().message, "code -3 at row 33, column 5 is not one of -2 ... 1");
    EXPECT_EQ(packing::pack(q, pool).error().message, packing::pack(q).error().message);
}

TEST(Pack, RefusesShapesThatContradictEachOther) {
    quantized scales = random_codes({.bits = 8}, 4, 64);
    scales.scales = {4, 2};
    EXPECT_EQ(packing::pack(scales).error().message, "scales of 4 x 2 where the weight needs 4 x 1");
    quantized zeros = random_codes({.bits = 4, .codes = code_set::zero_point, .zeros = zero_type::real}, 4, 64);
    zeros.zeros = {3, 1};
    EXPECT_EQ(packing::pack(zeros).error().code, errc::bad_shape);
    quantized needless = random_codes({.bits = 4}, 4, 64);
    needless.zeros = {4, 1};
    EXPECT_EQ(packing::pack(needless).error().code, errc::bad_shape);
    EXPECT_EQ(packing::pack(make_quantized(packing::float_form, 1, 1)).error().code, errc::unsupported);
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

}  // namespace
