// SPDX-License-Identifier: MIT
#include "quell/core/rng.hpp"
#include "reference/quantize_row.hpp"
#include "support/guarded.hpp"
#include "support/levels.hpp"

#include <cmath>
#include <limits>
#include <span>
#include <vector>

namespace {

using namespace quell;
using support::edge;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

struct options {
    int bits = 8;
    float clip = 1.0F;
    float static_scale = 0.0F;
    std::size_t group = 0;
    std::vector<float> channel_scale = {};
    bool with_zero = false;
};

class QuantizeRows : public support::LevelTest {
protected:
    /// Quantizes rows [rows, cols] between guard pages; compares codes, padding, scales and sums with the definition.
    void check(const std::vector<float>& x, std::size_t rows, std::size_t cols, const options& o) {
        const std::size_t stride = kernels::padded_k(cols);
        const std::size_t groups = kernels::groups_in(cols, o.group);
        for (const edge where : {edge::front, edge::back}) {
            support::guarded<float> x_memory(x.size());
            support::guarded<float> channel_memory(cols);
            support::guarded<std::int8_t> code_memory(rows * stride);
            support::guarded<float> scale_memory(rows);
            support::guarded<std::int32_t> sum_memory(rows * groups);
            support::guarded<std::int32_t> zero_memory(rows);
            std::int8_t* codes = code_memory.place(rows * stride, where);
            float* scales = scale_memory.place(rows, where);
            std::int32_t* sums = sum_memory.place(rows * groups, where);
            std::int32_t* zeros = o.with_zero ? zero_memory.place(rows, where) : nullptr;
            std::fill(codes, codes + rows * stride, std::int8_t{99});
            const kernels::quantize_args args = {
                .x = x_memory.place_copy(x.data(), x.size(), where),
                .ldx = cols,
                .rows = rows,
                .cols = cols,
                .bits = o.bits,
                .clip = o.clip,
                .static_scale = o.static_scale,
                .channel_scale =
                    o.channel_scale.empty() ? nullptr : channel_memory.place_copy(o.channel_scale.data(), cols, where),
                .group = o.group,
                .codes = codes,
                .stride = stride,
                .scales = scales,
                .sums = sums,
                .zeros = zeros,
            };
            table->quantize_rows(args, 0, rows / 2);
            table->quantize_rows(args, rows / 2, rows);
            for (std::size_t r = 0; r < rows; ++r) {
                const std::span<const float> row(x.data() + r * cols, cols);
                const auto expected =
                    o.with_zero ? reference::quantize_row_with_zero(row, o.channel_scale, o.bits, o.clip)
                                : reference::quantize_row(row, o.channel_scale, o.bits, o.clip, o.static_scale);
                ASSERT_EQ(scales[r], expected.scale) << "row " << r << " of " << cols;
                ASSERT_EQ(o.with_zero ? zeros[r] : 0, expected.zero) << "row " << r << " of " << cols;
                std::vector<std::int32_t> sum(groups);
                for (std::size_t c = 0; c < stride; ++c) {
                    const int code = c < cols ? expected.codes[c] : 0;
                    ASSERT_EQ(codes[r * stride + c], code) << "row " << r << " column " << c << " of " << cols;
                    if (c < cols) {
                        sum[o.group == 0 ? 0 : c / o.group] += code;
                    }
                }
                for (std::size_t g = 0; g < groups; ++g) {
                    ASSERT_EQ(sums[r * groups + g], sum[g]) << "row " << r << " group " << g << " of " << cols;
                }
            }
        }
    }
};

std::vector<float> normal_values(std::size_t size, std::uint64_t seed) {
    rng random(seed);
    std::vector<float> v(size);
    for (float& x : v) {
        x = static_cast<float>(random.normal());
    }
    return v;
}

TEST_P(QuantizeRows, FollowsTheDefinitionForEveryLengthAndGroup) {
    for (std::size_t cols = 0; cols <= 200; cols += is_slow() ? 7 : 1) {
        for (const std::size_t group : {0U, 32U, 64U, 128U}) {
            for (const int bits : {8, 4}) {
                check(normal_values(3 * cols, cols), 3, cols, {.bits = bits, .group = group});
            }
        }
    }
}

/// Normal values, of which the positive ones are so much larger.
std::vector<float> one_sided_values(std::size_t size, float factor) {
    std::vector<float> v = normal_values(size, size);
    for (float& x : v) {
        x *= x > 0.0F ? factor : 1.0F;
    }
    return v;
}

TEST_P(QuantizeRows, MovesTheCodesByAZero) {
    const float most = std::numeric_limits<float>::max();
    const float smallest = std::numeric_limits<float>::denorm_min();
    for (const int bits : {8, 7}) {
        for (std::size_t cols = 1; cols <= 150; cols += is_slow() ? 7 : 1) {
            for (const float factor : {1.0F, 9.0F, 1e4F, -1e-4F}) {
                check(one_sided_values(3 * cols, factor), 3, cols, {.bits = bits, .with_zero = true});
            }
            const auto smoothed = normal_values(cols, 9);
            check(one_sided_values(3 * cols, 5.0F), 3, cols,
                  {.bits = bits, .clip = 0.8F, .group = 32, .with_zero = true});
            check(one_sided_values(3 * cols, 0.1F), 3, cols,
                  {.bits = bits, .channel_scale = smoothed, .with_zero = true});
        }
        const options o{.bits = bits, .with_zero = true};
        check({most, -most, 1.0F}, 1, 3, o);
        check({smallest, 0.0F, -smallest}, 1, 3, o);
        check({0.0F, -0.0F, 0.0F}, 1, 3, o);
        check({1.0F, 0.5F, -0.003F}, 1, 3, o);
        check({nan, 1.0F, infinity, -infinity, 0.5F, -nan, -3.0F}, 1, 7, o);
    }
}

TEST_P(QuantizeRows, ClipsScalesStaticallyAndSmooths) {
    for (const std::size_t cols : {5U, 64U, 100U}) {
        const auto x = normal_values(4 * cols, cols);
        check(x, 4, cols, {.clip = 0.8F});
        check(x, 4, cols, {.bits = 4, .clip = 0.6F, .group = 32});
        check(x, 4, cols, {.static_scale = 0.01F});
        check(x, 4, cols, {.group = 64, .channel_scale = normal_values(cols, 9)});
    }
}

TEST_P(QuantizeRows, RoundsHalvesToEven) {
    check({127.0F, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F, 126.5F}, 1, 8, {});
}

TEST_P(QuantizeRows, GivesNotANumberTheCodeZeroAndInfinityTheLargest) {
    check({nan, 1.0F, infinity, -infinity, 0.5F, -nan, -1.0F}, 1, 7, {});
    check({nan, nan, infinity}, 1, 3, {});
    check({infinity, -infinity, 0.0F, nan}, 1, 4, {.bits = 4, .static_scale = 0.5F});
    check({1.0F, 2.0F, 0.0F}, 1, 3, {.channel_scale = {infinity, 1.0F, infinity}});
}

TEST_P(QuantizeRows, SurvivesRowsOfZerosSubnormalsAndTheLargestNumbers) {
    const float smallest = std::numeric_limits<float>::denorm_min();
    const float normal = std::numeric_limits<float>::min();
    const float most = std::numeric_limits<float>::max();
    check({0.0F, -0.0F, 0.0F}, 1, 3, {});
    check({smallest, -smallest, 0.0F}, 1, 3, {});
    check({normal, -normal / 2, 3 * smallest}, 1, 3, {.bits = 4});
    check({200 * normal, 50 * normal, normal}, 1, 3, {});
    check({most, -most, 1.0F}, 1, 3, {});
    check({1e30F, 1.0F, -1.0F}, 1, 3, {});
}

TEST_P(QuantizeRows, StaysWithinHalfAScaleOfTheInput) {
    const std::size_t cols = 1000;
    const auto x = normal_values(cols, 3);
    std::vector<std::int8_t> codes(1024);
    float scale = 0.0F;
    table->quantize_rows(
        {.x = x.data(), .ldx = cols, .rows = 1, .cols = cols, .codes = codes.data(), .stride = 1024, .scales = &scale},
        0, 1);
    for (std::size_t c = 0; c < cols; ++c) {
        EXPECT_LE(std::abs(double{x[c]} - double{scale} * codes[c]), double{scale} * (0.5 + 127 * 0x1p-22));
    }
}

QUELL_TEST_ON_ALL_LEVELS(QuantizeRows);

}  // namespace
