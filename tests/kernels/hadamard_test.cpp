// SPDX-License-Identifier: MIT
#include "quell/transforms/hadamard.hpp"

#include "quell/core/rng.hpp"
#include "reference/hadamard.hpp"
#include "support/guarded.hpp"
#include "support/levels.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

namespace {

using namespace quell;
using kernels::hadamard_shape;
using support::edge;

std::vector<std::uint64_t> signs_of(std::size_t n) {
    std::vector<std::uint64_t> signs(kernels::hadamard_matrix_bytes(n) / sizeof(std::uint64_t));
    kernels::make_hadamard_signs(kernels::hadamard_shape_of(n), signs.data());
    return signs;
}

std::vector<std::size_t> all_orders() {
    std::vector<std::size_t> orders;
    for (std::size_t n = 4; n <= kernels::max_hadamard_order; n += 4) {
        if (kernels::hadamard_shape_of(n).order == n) {
            orders.push_back(n);
        }
    }
    return orders;
}

std::vector<float> random_row(std::size_t n, std::uint64_t seed) {
    rng random(seed);
    std::vector<float> x(n);
    for (float& v : x) {
        v = static_cast<float>(random.normal());
    }
    return x;
}

std::vector<double> dense_transform(std::size_t n, const std::vector<float>& x) {
    return reference::hadamard_product(kernels::hadamard_shape_of(n), signs_of(n), {x.begin(), x.end()});
}

TEST(Hadamard, HasOrthogonalRowsForEveryOrder) {
    for (const std::size_t order : all_orders()) {
        const hadamard_shape shape = kernels::hadamard_shape_of(order);
        const std::vector<std::uint64_t> signs = signs_of(order);
        const std::size_t words = shape.sign_words();
        for (std::size_t i = 0; i < order; ++i) {
            for (std::size_t k = 0; k <= i; ++k) {
                std::size_t differ = 0;
                for (std::size_t w = 0; w < words; ++w) {
                    differ += static_cast<std::size_t>(std::popcount(signs[i * words + w] ^ signs[k * words + w]));
                }
                ASSERT_EQ(differ, i == k ? 0 : order / 2) << "order " << order << ", rows " << i << " and " << k;
            }
        }
    }
}

TEST(Hadamard, KnowsTheOrdersThatModelsNeed) {
    for (const std::size_t order : {12U,      20U,  28U,  36U,  44U,  52U,  60U,  76U,  84U,  100U, 108U,
                                    116U * 4, 124U, 132U, 140U, 148U, 156U, 172U, 180U, 196U, 924U}) {
        EXPECT_EQ(kernels::hadamard_shape_of(order), (hadamard_shape{order, 1, 1}));
    }
    EXPECT_EQ(kernels::hadamard_shape_of(40), (hadamard_shape{20, 2, 1}));
}

TEST(Hadamard, IsWholeForTheSizesOfModels) {
    struct expectation {
        std::size_t n, order;
    };
    for (const auto [n, order] :
         {expectation{64, 1}, {576, 36},    {896, 28},    {960, 60},    {1536, 12},  {2560, 20},
          {3072, 12},         {3584, 28},   {4096, 1},    {4864, 76},   {5120, 20},  {8192, 1},
          {8960, 140},        {9728, 76},   {11008, 172}, {13824, 108}, {14336, 28}, {17920, 140},
          {18944, 148},       {27648, 108}, {28672, 28},  {29568, 924}}) {
        EXPECT_EQ(kernels::hadamard_shape_of(n), (hadamard_shape{order, n / order, 1})) << n;
    }
}

TEST(Hadamard, FallsBackToBlocksWhereNoOrderIsKnown) {
    EXPECT_EQ(kernels::hadamard_shape_of(59 * 64), (hadamard_shape{1, 64, 59}));
    EXPECT_EQ(kernels::hadamard_shape_of(6), (hadamard_shape{1, 2, 3}));
    EXPECT_EQ(kernels::hadamard_shape_of(9), (hadamard_shape{1, 1, 9}));
    EXPECT_EQ(kernels::hadamard_shape_of(0).size(), 0U);
    EXPECT_FALSE(kernels::hadamard_shape_of(59 * 64).is_full());
    EXPECT_TRUE(kernels::hadamard_shape_of(576).is_full());
    for (std::size_t n = 1; n < 3000; ++n) {
        const hadamard_shape shape = kernels::hadamard_shape_of(n);
        ASSERT_EQ(shape.size(), n);
        ASSERT_TRUE(std::has_single_bit(shape.block));
    }
}

class HadamardRows : public support::LevelTest {
protected:
    /// One row, every operand flush against a guard page.
    std::vector<float> transform(std::size_t n, const std::vector<float>& x, const std::vector<float>& scales = {},
                                 edge where = edge::back) const {
        const hadamard_shape shape = kernels::hadamard_shape_of(n);
        const std::vector<std::uint64_t> signs = signs_of(n);
        support::guarded<float> x_memory(n);
        support::guarded<float> scale_memory(n);
        support::guarded<float> y_memory(n);
        support::guarded<float> scratch_memory(shape.scratch_floats());
        support::guarded<std::uint64_t> sign_memory(signs.size());
        float* y = y_memory.place(n, where);
        table->hadamard_rows(
            {.x = x_memory.place_copy(x.data(), n, where),
             .ldx = n,
             .rows = 1,
             .channel_scale = scales.empty() ? nullptr : scale_memory.place_copy(scales.data(), n, where),
             .shape = shape,
             .signs = sign_memory.place_copy(signs.data(), signs.size(), where),
             .y = y,
             .ldy = n,
             .scratch = scratch_memory.place(shape.scratch_floats(), where)},
            0, 1);
        return {y, y + n};
    }
};

double norm(const auto& x) {
    double sum = 0.0;
    for (const auto v : x) {
        sum += static_cast<double>(v) * static_cast<double>(v);
    }
    return std::sqrt(sum);
}

double distance(const std::vector<float>& x, const std::vector<double>& y) {
    std::vector<double> difference(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        difference[i] = double{x[i]} - y[i];
    }
    return norm(difference);
}

std::vector<std::size_t> sampled_sizes() {
    std::vector<std::size_t> sizes = {0,    64,  128, 256,  512, 1024, 2048, 4096, 8192, 576, 960, 896,
                                      1536, 156, 312, 1248, 172, 344,  5504, 1848, 3776, 368, 736};
    for (std::size_t n = 1; n < 90; ++n) {
        sizes.push_back(n);
    }
    return sizes;
}

TEST_P(HadamardRows, EqualTheDenseProduct) {
    for (const std::size_t n : sampled_sizes()) {
        const std::vector<float> x = random_row(n, n);
        ASSERT_LE(distance(transform(n, x), dense_transform(n, x)), 1e-6 * norm(x)) << n;
    }
}

TEST_P(HadamardRows, KeepTheNorm) {
    for (const std::size_t n : {576U, 3584U, 4864U, 5120U, 11008U, 14336U, 18944U, 29568U}) {
        const std::vector<float> x = random_row(n, n);
        EXPECT_NEAR(norm(transform(n, x)), norm(x), 1e-6 * norm(x)) << n;
    }
}

TEST_P(HadamardRows, AreUndoneByTheTransposedSigns) {
    for (const std::size_t n : {4096U, 576U, 960U, 11008U}) {
        const std::vector<float> x = random_row(n, n);
        const std::vector<float> y = transform(n, x);
        std::vector<double> back(y.begin(), y.end());
        transforms::hadamard(n).undo(matrix_view<double>(back.data(), 1, n));
        EXPECT_LE(distance(x, back), 1e-6 * norm(x)) << n;
    }
}

TEST_P(HadamardRows, SpreadASpikeEvenly) {
    for (const std::size_t n : {64U, 576U, 960U, 1536U, 11008U, 29568U}) {
        for (const std::size_t at : {std::size_t{0}, n / 3, n - 1}) {
            std::vector<float> x(n, 0.0F);
            x[at] = 1.0F;
            for (const float v : transform(n, x)) {
                ASSERT_EQ(std::fabs(v), static_cast<float>(1.0 / std::sqrt(static_cast<double>(n))));
            }
        }
    }
}

TEST_P(HadamardRows, GiveTheBitsOfScalarCode) {
    const kernels::kernel_table* best = table;
    std::vector<std::size_t> sizes = sampled_sizes();
    sizes.insert(sizes.end(), {11008, 13824, 29568});
    for (const std::size_t n : sizes) {
        const std::vector<float> x = random_row(n, n + 1);
        const std::vector<float> scales = n % 2 == 0 ? random_row(n, 7) : std::vector<float>();
        const std::vector<float> y = transform(n, x, scales, edge::front);
        table = kernels::by_isa(kernels::isa::scalar);
        const std::vector<float> expected = transform(n, x, scales);
        table = best;
        ASSERT_TRUE(n == 0 || std::memcmp(y.data(), expected.data(), n * sizeof(float)) == 0) << n;
    }
}

TEST_P(HadamardRows, ScaleTheChannelsFirst) {
    constexpr std::size_t n = 576;
    const std::vector<float> scales = random_row(n, 2);
    std::vector<float> x = random_row(n, 1);
    const std::vector<float> y = transform(n, x, scales);
    for (std::size_t i = 0; i < n; ++i) {
        x[i] *= scales[i];
    }
    EXPECT_EQ(y, transform(n, x));
}

TEST_P(HadamardRows, WorkInPlaceOnARangeOfRows) {
    constexpr std::size_t n = 1848;  // 924 * 2: scratch and a narrow strip
    constexpr std::size_t rows = 4;
    constexpr std::size_t stride = n + 3;
    const std::vector<float> x = random_row(rows * stride, 5);
    const std::vector<std::uint64_t> signs = signs_of(n);
    const hadamard_shape shape = kernels::hadamard_shape_of(n);
    std::vector<float> scratch(shape.scratch_floats());
    std::vector<float> y = x;
    table->hadamard_rows({.x = y.data(),
                          .ldx = stride,
                          .rows = rows,
                          .shape = shape,
                          .signs = signs.data(),
                          .y = y.data(),
                          .ldy = stride,
                          .scratch = scratch.data()},
                         1, 3);
    std::vector<float> expected = x;
    for (const std::size_t r : {1U, 2U}) {
        const auto row = expected.begin() + static_cast<std::ptrdiff_t>(r * stride);
        const std::vector<float> whole = transform(n, {row, row + n});
        std::copy(whole.begin(), whole.end(), row);
    }
    EXPECT_EQ(y, expected);
}

TEST_P(HadamardRows, StayFiniteForTheLargestActivations) {
    const std::vector<float> x(4096, 0x1p126F);
    EXPECT_TRUE(std::isfinite(transform(4096, {x.begin(), x.end()})[1]));
    EXPECT_EQ(transform(1024, std::vector<float>(1024, 0x1p122F))[0], 0x1p127F);
}

TEST_P(HadamardRows, AreWhatQuantizationRotates) {
    for (const std::size_t n : {20U, 64U, 576U, 344U}) {
        constexpr std::size_t rows = 3;
        const hadamard_shape shape = kernels::hadamard_shape_of(n);
        const std::vector<std::uint64_t> signs = signs_of(n);
        const std::vector<float> scales = random_row(n, 3);
        const std::vector<float> noise = random_row(rows * n, 4);
        std::vector<bf16> halves(noise.size());
        std::vector<float> rotated(noise.size());
        for (std::size_t i = 0; i < noise.size(); ++i) {
            halves[i] = to_bf16(noise[i]);
            rotated[i] = to_f32(halves[i]);
        }
        std::vector<float> row(n + shape.scratch_floats());
        const std::size_t stride = kernels::padded_k(n);
        const auto quantize = [&](kernels::quantize_args args) {
            std::vector<std::int8_t> codes(rows * stride);
            std::vector<float> code_scales(rows);
            args.rows = rows;
            args.cols = args.ldx = n;
            args.codes = codes.data();
            args.stride = stride;
            args.scales = code_scales.data();
            table->quantize_rows(args, 0, rows);
            return std::pair(codes, code_scales);
        };
        kernels::quantize_args fused = {.channel_scale = scales.data()};
        fused.rotation = shape;
        fused.signs = signs.data();
        fused.rotated = row.data();
        fused.x = halves.data();
        fused.x_type = dtype::bf16;
        const auto from_halves = quantize(fused);
        fused.x = rotated.data();
        fused.x_type = dtype::f32;
        const auto from_floats = quantize(fused);
        table->hadamard_rows({.x = rotated.data(),
                              .ldx = n,
                              .rows = rows,
                              .channel_scale = scales.data(),
                              .shape = shape,
                              .signs = signs.data(),
                              .y = rotated.data(),
                              .ldy = n,
                              .scratch = row.data() + n},
                             0, rows);
        const auto expected = quantize({.x = rotated.data()});
        EXPECT_EQ(from_halves, expected) << n;
        EXPECT_EQ(from_floats, expected) << n;
    }
}

QUELL_TEST_ON_ALL_LEVELS(HadamardRows);

}  // namespace
