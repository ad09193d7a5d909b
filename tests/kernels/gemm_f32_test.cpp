// SPDX-License-Identifier: MIT
#include "quell/core/rng.hpp"
#include "quell/packing/pack.hpp"
#include "reference/kernel_product.hpp"
#include "support/guarded.hpp"
#include "support/levels.hpp"

#include <cstring>
#include <vector>

namespace {

using namespace quell;
using support::edge;

struct float_sizes {
    std::size_t m;
    std::size_t n;
    std::size_t k;
};

class GemmF32 : public support::LevelTest {
protected:
    /// Runs one product with every operand against a guard page and compares all bits of y, gaps included.
    void check(float_sizes s, std::uint64_t seed, std::size_t panels_at_once = 1000) {
        rng random(seed);
        const auto draw = [&](std::size_t size) {
            std::vector<float> v(size);
            for (float& x : v) {
                x = static_cast<float>(random.normal());
            }
            return v;
        };
        const auto span_of = [](std::size_t rows, std::size_t stride, std::size_t cols) {
            return rows == 0 ? 0 : (rows - 1) * stride + cols;
        };
        const std::size_t ldx = s.k + random.below(3);
        const std::size_t ldy = s.n + random.below(3);
        const bool accumulate = random.below(2) == 1;
        const edge where = random.below(2) == 1 ? edge::back : edge::front;
        const std::vector<float> w = draw(s.n * s.k);
        const std::vector<float> x = draw(span_of(s.m, ldx, s.k));
        const std::vector<float> bias = random.below(2) == 1 ? draw(s.n) : std::vector<float>();
        std::vector<float> expected = draw(span_of(s.m, ldy, s.n));
        const auto packed = packing::pack_f32({w.data(), s.n, s.k});
        const kernels::panel_view view = packed.panels();
        support::guarded<std::byte> panel_memory(view.shape.bytes());
        support::guarded<float> x_memory(x.size());
        support::guarded<float> bias_memory(bias.size());
        support::guarded<float> y_memory(expected.size());
        float* y = y_memory.place_copy(expected.data(), expected.size(), where);
        const kernels::gemm_f32_args args = {
            .x = x_memory.place_copy(x.data(), x.size(), where),
            .ldx = ldx,
            .m = s.m,
            .panels = reinterpret_cast<const float*>(panel_memory.place_copy(view.data, view.shape.bytes(), where)),
            .panel_stride = kernels::panel_rows * s.k,
            .n = s.n,
            .k = s.k,
            .bias = bias.empty() ? nullptr : bias_memory.place_copy(bias.data(), bias.size(), where),
            .y = y,
            .ldy = ldy,
            .accumulate = accumulate,
        };
        for (std::size_t p = 0; p < view.shape.panels(); p += panels_at_once) {
            table->gemm_f32(args, p, std::min(p + panels_at_once, view.shape.panels()));
        }
        for (std::size_t r = 0; r < s.m; ++r) {
            for (std::size_t c = 0; c < s.n; ++c) {
                float sum = reference::float_dot({x.data() + r * ldx, s.k}, {w.data() + c * s.k, s.k});
                sum += bias.empty() ? 0.0F : bias[c];
                float& out = expected[r * ldy + c];
                out = accumulate ? sum + out : sum;
            }
        }
        ASSERT_TRUE(expected.empty() || std::memcmp(y, expected.data(), expected.size() * sizeof(float)) == 0)
            << "m=" << s.m << " n=" << s.n << " k=" << s.k;
    }
};

TEST_P(GemmF32, GivesTheBitsOfOneFmaPerStepOnSampledSizes) {
    rng random(1);
    for (std::size_t i = 0; i < support::samples(is_slow() ? 60 : 3000); ++i) {
        check({random.below(30), random.below(71), random.below(140)}, i);
    }
}

TEST_P(GemmF32, GivesTheBitsOfOneFmaPerStepAtEveryEdgeOfATileAndABlock) {
    const std::size_t every = is_slow() ? 13 : 1;
    std::size_t i = 0;
    for (const std::size_t m : {0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U}) {
        for (const std::size_t n : {0U, 1U, 8U, 15U, 16U, 17U, 63U, 64U, 65U, 80U}) {
            for (const std::size_t k : {0U, 1U, 2U, 255U, 256U, 257U}) {
                if (++i % every == 0) {
                    check({m, n, k}, i);
                }
            }
        }
    }
    for (const std::size_t m : {95U, 96U, 97U, 200U}) {
        check({m, 17, is_slow() ? 20U : 600U}, m);
    }
}

TEST_P(GemmF32, GivesTheSameBitsForAnySplitOfPanels) {
    for (const std::size_t at_once : {1U, 2U, 3U, 5U}) {
        check({10, 150, 100}, 7, at_once);
    }
}

QUELL_TEST_ON_ALL_LEVELS(GemmF32);

}  // namespace
