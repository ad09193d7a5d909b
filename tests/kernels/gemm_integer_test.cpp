// SPDX-License-Identifier: MIT
#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"
#include "quell/packing/pack.hpp"
#include "support/integer_product.hpp"
#include "support/levels.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace {

using namespace quell;
using namespace support;
using kernels::panel_rows;

class GemmInteger : public support::LevelTest {};

TEST_P(GemmInteger, EqualsTheIntegerOracleOnSampledSizes) {
    rng random(1);
    for (std::size_t i = 0; i < samples(is_scalar() ? 1500 : 6000); ++i) {
        const format& f = formats[i % std::size(formats)];
        const std::size_t largest_m = i % 7 == 0 ? most_m : 20;
        const sizes s = {random.below(largest_m), random.below(71), random.below(301)};
        product p(f, s, i % 5 == 4 ? codes::extreme : codes::random, scales::one, i);
        ASSERT_TRUE(same_bits(p.run(*table, i % 2 == 0 ? edge::back : edge::front), p.expected_integers()))
            << describe(f, s);
    }
}

TEST_P(GemmInteger, EqualsTheIntegerOracleAtEveryEdgeOfATile) {
    const std::size_t ms[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    const std::size_t ns[] = {0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 80};
    const std::size_t ks[] = {0,  1,  3,  4,  5,   15,  16,  17,  31,  32,  33,  63,  64,
                              65, 95, 96, 97, 127, 128, 129, 160, 191, 192, 193, 256, 257};
    const std::size_t every = 60000 / samples(is_scalar() ? 1500 : 6000) + 1;
    std::size_t i = 0;
    for (const format& f : formats) {
        for (const std::size_t m : ms) {
            for (const std::size_t n : ns) {
                for (const std::size_t k : ks) {
                    if (++i % every == 0) {
                        product p(f, {m, n, k}, codes::random, scales::one, i);
                        ASSERT_TRUE(same_bits(p.run(*table, edge::back), p.expected_integers()))
                            << describe(f, {m, n, k});
                    }
                }
            }
        }
    }
}

TEST_P(GemmInteger, StaysExactWhereEveryCodeIsExtreme) {
    for (const format& f : formats) {
        for (const codes kind : {codes::extreme, codes::all_lowest, codes::zero}) {
            for (const std::size_t k : {32U, 64U, 128U, 288U}) {
                product p(f, {5, 33, k}, kind, scales::one, k);
                EXPECT_TRUE(same_bits(p.run(*table, edge::back), p.expected_integers())) << f.name << " k=" << k;
            }
        }
    }
}

TEST_P(GemmInteger, StaysExactWithActivationsOf7Bits) {
    constexpr activations seven = {.zeros = true, .seven = true};
    rng random(6);
    for (std::size_t i = 0; i < samples(is_scalar() ? 300 : 2000); ++i) {
        const sizes s = {random.below(i % 7 == 0 ? most_m : 20), random.below(71), random.below(301)};
        product p(formats[0], s, i % 2 == 0 ? codes::extreme : codes::random, scales::one, i, seven);
        ASSERT_TRUE(same_bits(p.run(*table, i % 3 == 0 ? edge::back : edge::front), p.expected_integers()))
            << describe(formats[0], s);
    }
}

TEST_P(GemmInteger, MultipliesEveryPairOfCodesInEveryPosition) {
    const std::size_t values = is_scalar() ? 16 : 255;
    for (const format& f : {formats[0], formats[4]}) {
        const code_range range = codes_of(f.form);
        for (std::size_t position = 0; position < 32; position += f.form.bits == 8 ? 9 : 5) {
            const auto n = static_cast<std::size_t>(range.high - range.low + 1);
            quantized q = make_quantized(f.form, n, 32);
            std::vector<std::int8_t> a(values * 64);
            std::vector<std::int32_t> a_sums;
            for (std::size_t c = 0; c < n; ++c) {
                q.codes(c, position) = static_cast<std::int8_t>(range.low + static_cast<int>(c));
                q.scales(c, 0) = 1.0F;
            }
            for (std::size_t r = 0; r < values; ++r) {
                a[r * 64 + position] = static_cast<std::int8_t>(127 - static_cast<int>(r));
                a_sums.push_back(a[r * 64 + position]);
            }
            const std::vector<float> ones(values, 1.0F);
            std::vector<float> y(values * n);
            const auto packed = packing::pack(q);
            table->gemm({.w = packed->panels(),
                         .a = a.data(),
                         .lda = 64,
                         .a_scales = ones.data(),
                         .a_sums = a_sums.data(),
                         .m = values,
                         .y = y.data(),
                         .ldy = n},
                        0, packed->panels().shape.panels());
            for (std::size_t r = 0; r < values; ++r) {
                for (std::size_t c = 0; c < n; ++c) {
                    ASSERT_EQ(y[r * n + c], static_cast<float>(a[r * 64 + position] * q.codes(c, position)));
                }
            }
        }
    }
}

TEST_P(GemmInteger, GivesTheBitsOfTheSpecifiedFloatOrder) {
    rng random(2);
    for (std::size_t i = 0; i < samples(is_scalar() ? 600 : 4000); ++i) {
        const format& f = formats[i % std::size(formats)];
        const sizes s = {random.below(i % 9 == 0 ? most_m : 20), random.below(71), 1 + random.below(300)};
        product p(f, s, codes::random, scales::random, i, activations_of(f, i / std::size(formats)));
        ASSERT_TRUE(same_bits(p.run(*table, i % 2 == 0 ? edge::back : edge::front), p.expected()))
            << describe(f, s) << " turn " << i / std::size(formats);
    }
}

TEST_P(GemmInteger, GivesTheSameBitsPanelByPanel) {
    for (const format& f : formats) {
        product p(f, {9, 75, 200}, codes::random, scales::random, 3);
        EXPECT_TRUE(same_bits(p.run(*table, edge::back), p.run(*table, edge::back, true))) << f.name;
    }
}

TEST_P(GemmInteger, GivesTheSameBitsOnAnyNumberOfThreads) {
    quantized q = make_quantized(formats[4].form, 200, 320);
    rng random(4);
    for (auto& code : q.codes.elements()) {
        code = static_cast<std::int8_t>(static_cast<int>(random.below(16)) - 8);
    }
    for (float& scale : q.scales.elements()) {
        scale = 0.0625F;
    }
    const auto packed = packing::pack(q);
    const std::vector<std::int8_t> a(7 * 320, 3);
    const std::vector<float> a_scales(7, 0.1F);
    const std::vector<std::int32_t> a_sums(7 * 10, 3 * 32);
    const auto run = [&](std::size_t threads) {
        std::vector<float> y(7 * 200);
        thread_pool pool(threads);
        pool.parallel_for(packed->panels().shape.panels(), [&](std::size_t p) {
            table->gemm({.w = packed->panels(),
                         .a = a.data(),
                         .lda = 320,
                         .a_scales = a_scales.data(),
                         .a_sums = a_sums.data(),
                         .m = 7,
                         .y = y.data(),
                         .ldy = 200},
                        p, p + 1);
        });
        return y;
    };
    const std::vector<float> alone = run(1);
    for (const std::size_t threads : {2U, 3U, 8U}) {
        EXPECT_TRUE(same_bits(run(threads), alone)) << threads << " threads";
    }
}

TEST_P(GemmInteger, IsExactAtTheLongestRow) {
    const std::size_t k = kernels::max_k;
    quantized q = make_quantized(formats[0].form, 1, k);
    std::fill(q.codes.elements().begin(), q.codes.elements().end(), std::int8_t{-127});
    q.scales(0, 0) = 1.0F;
    const std::vector<std::int8_t> a(k, -127);
    const float one = 1.0F;
    const auto sum = -127 * static_cast<std::int32_t>(k);
    float y = 0.0F;
    const auto packed = packing::pack(q);
    table->gemm(
        {.w = packed->panels(), .a = a.data(), .lda = k, .a_scales = &one, .a_sums = &sum, .m = 1, .y = &y, .ldy = 1},
        0, 1);
    EXPECT_EQ(y, static_cast<float>(127LL * 127 * static_cast<long long>(k)));
}

TEST_P(GemmInteger, ReachesRowsFurtherApartThanTwoToThe32) {
    const std::size_t far = (std::size_t{1} << 32U) + 64;
    void* memory = mmap(nullptr, 2 * far * sizeof(float), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        GTEST_SKIP() << "no address space for far rows";
    }
    quantized q = make_quantized(formats[0].form, 1, 64);
    std::fill(q.codes.elements().begin(), q.codes.elements().end(), std::int8_t{2});
    q.scales(0, 0) = 1.0F;
    auto* y = static_cast<float*>(memory);
    auto* a = reinterpret_cast<std::int8_t*>(y + far) + 4096;  // y uses 0 and far, a uses the next pages
    a[0] = 3;
    a[far] = 5;
    const float ones[] = {1.0F, 1.0F};
    const std::int32_t sums[] = {3, 5};
    const auto packed = packing::pack(q);
    table->gemm(
        {.w = packed->panels(), .a = a, .lda = far, .a_scales = ones, .a_sums = sums, .m = 2, .y = y, .ldy = far}, 0,
        1);
    EXPECT_EQ(y[0], 6.0F);
    EXPECT_EQ(y[far], 10.0F);
    munmap(memory, 2 * far * sizeof(float));
}

QUELL_TEST_ON_ALL_LEVELS(GemmInteger);

}  // namespace
