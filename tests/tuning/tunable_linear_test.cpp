// SPDX-License-Identifier: MIT
#include "quell/tuning/tunable_linear.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/quant/recipe_parts.hpp"
#include "quell/rounding/hqq.hpp"
#include "quell/rounding/rtn.hpp"
#include "reference/hadamard.hpp"
#include "reference/linear_gradient.hpp"
#include "reference/quantized_product.hpp"
#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace quell;
using namespace quell::tuning;

/// A linear of 4 bits with columns in float and a change of its input, and all that goes in and out of it.
struct tuned_case {
    std::size_t r;
    std::size_t k = 24;
    std::size_t out = 19;
    std::size_t tokens = 70;
    quant::activation_scheme activations{.bits = 4, .clip = 0.9F};
    matrix<float> w = random_matrix(out, r + k, 1);
    matrix<float> bias = random_matrix(1, out, 2);
    matrix<float> x = random_matrix(tokens, r + k, 3);
    matrix<float> dy = random_matrix(tokens, out, 4);
    quantized codes = *rounding::rtn{}.solve(w.view().block(0, r, out, k), {.bits = 4});
    quant::quantized_linear layer = make();

    [[nodiscard]] quant::quantized_linear make() const {
        const matrix_view<const float> all = w.view();
        std::optional<packing::packed_matrix> columns;
        if (r > 0) {
            columns = packing::pack_f32(all.block(0, 0, out, r));
        }
        quant::online_input online;
        if (r == 0) {  // behind no norm
            online.scale = buffer<float>(k);
            for (std::size_t c = 0; c < k; ++c) {
                online.scale[c] = 0.5F + static_cast<float>(c % 3);
            }
            online.rotation = transforms::hadamard(k);
        }
        return *quant::quantized_linear::make(*packing::pack(codes), activations, bias.elements(), std::move(online),
                                              std::move(columns));
    }

    /// The same for the oracle.
    [[nodiscard]] reference::linear_operands operands() const {
        reference::linear_operands l;
        const transforms::hadamard& rotation = layer.online().rotation;
        const std::vector<std::uint64_t> signs(rotation.signs().begin(), rotation.signs().end());
        const auto changed = [&](std::vector<double> v) {
            for (std::size_t c = 0; c < k && !layer.online().scale.empty(); ++c) {
                v[c] *= double{layer.online().scale[c]};
            }
            return rotation.empty() ? v : reference::hadamard_product(rotation.shape(), signs, v);
        };
        for (std::size_t t = 0; t < tokens; ++t) {
            const auto row = x.row(t);
            l.x.emplace_back(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(r));
            const auto rest = changed({row.begin() + static_cast<std::ptrdiff_t>(r), row.end()});
            const std::vector<float> single(rest.begin(), rest.end());
            l.rounded.push_back(reference::rounded_row(single, {activations.bits, activations.clip, 0.0F, {}}));
        }
        for (std::size_t c = 0; c < k; ++c) {
            std::vector<double> unit(k);
            unit[c] = 1.0;
            l.change.push_back(changed(unit));
        }
        for (std::size_t o = 0; o < out; ++o) {
            l.columns.emplace_back(w.row(o).begin(), w.row(o).begin() + static_cast<std::ptrdiff_t>(r));
            l.codes.emplace_back(codes.codes.row(o).begin(), codes.codes.row(o).end());
            l.scales.push_back(double{codes.scales(o, 0)});
        }
        return l;
    }

    [[nodiscard]] reference::table wanted() const {
        reference::table rows;
        for (std::size_t t = 0; t < tokens; ++t) {
            rows.emplace_back(dy.row(t).begin(), dy.row(t).end());
        }
        return rows;
    }
};

/// The parameters of a linear that has run forward and backward once.
struct passed {
    tunable_linear linear;
    linear_scratch scratch;
    matrix<float> z, y, dx;

    passed(const tuned_case& c, const executor& threads)
        : linear(*tunable_linear::make("l", c.layer)), z(c.tokens, c.out), y(c.tokens, c.out), dx(c.tokens, c.r + c.k) {
        linear.forward(c.x.view(), z.view(), y.view(), scratch, threads);
        linear.backward(c.x.view(), z.view(), c.dy.view(), dx.view(), scratch, threads);
    }

    parameter<float>& named(const std::string& name) {
        parameter<float>* found = nullptr;
        linear.for_each_parameter([&](parameter<float>& p) { found = p.name == name ? &p : found; });
        EXPECT_NE(found, nullptr) << name;
        return *found;
    }
};

TEST(TunableLinear, RunsForwardAsTheQuantizedLinearDoes) {
    for (const std::size_t r : {0U, 5U, 16U}) {
        const tuned_case c{.r = r};
        const passed done(c, {});
        const quant::linear layer = c.make();
        matrix<float> y(c.tokens, c.out);
        std::vector<std::byte> workspace(quant::workspace_bytes(layer, c.tokens));
        quant::forward(layer, c.x.view(), y.view(), workspace);
        for (std::size_t i = 0; i < y.elements().size(); ++i) {
            EXPECT_NEAR(done.y.elements()[i], y.elements()[i], 1e-4) << r;
        }
    }
}

TEST(TunableLinear, HasTheGradientOfTheOracle) {
    for (const std::size_t r : {0U, 5U}) {
        const tuned_case c{.r = r};
        passed done(c, {});
        const reference::linear_gradient expected = reference::gradient_of(c.operands(), c.wanted());
        for (std::size_t o = 0; o < c.out; ++o) {
            const double by_factor = expected.scales[o] * double{c.codes.scales(o, 0)};
            EXPECT_NEAR(done.named("l.scales").gradient(0, o), by_factor, 2e-4 * (1.0 + std::abs(by_factor))) << r;
            for (std::size_t column = 0; column < r; ++column) {
                EXPECT_NEAR(done.named("l.columns").gradient(o, column), expected.columns[o][column], 1e-4);
            }
        }
        for (std::size_t t = 0; t < c.tokens; ++t) {
            for (std::size_t i = 0; i < r + c.k; ++i) {
                EXPECT_NEAR(done.dx(t, i), expected.x[t][i], 1e-4) << r;
            }
        }
    }
}

/// In 16 bits an activation is as good as in float, so the surrogate is the function itself.
TEST(TunableLinear, HasTheSlopesOfItsLoss) {
    const tuned_case c{.r = 5, .activations = {.bits = 16}};
    passed done(c, {});
    const auto loss = [&] {
        done.linear.forward(c.x.view(), done.z.view(), done.y.view(), done.scratch, {});
        double sum = 0.0;
        for (std::size_t i = 0; i < done.y.elements().size(); ++i) {
            sum += double{done.y.elements()[i]} * double{c.dy.elements()[i]};
        }
        return sum;
    };
    const auto slope = [&](float& value) {
        constexpr float step = 1.0F / 16;
        const float kept = value;
        value = kept + step;
        const double above = loss();
        value = kept - step;
        const double below = loss();
        value = kept;
        return (above - below) / (2.0 * double{step});
    };
    for (const char* name : {"l.columns", "l.scales"}) {
        parameter<float>& p = done.named(name);
        for (std::size_t i = 0; i < p.value.elements().size(); ++i) {
            const double expected = slope(p.value.elements()[i]);
            EXPECT_NEAR(p.gradient.elements()[i], expected, 1e-3 * (1.0 + std::abs(expected))) << name << " " << i;
        }
    }
}

TEST(TunableLinear, HasTheSameBitsForAnyNumberOfThreads) {
    const tuned_case c{.r = 16, .k = 48, .out = 130, .tokens = 300};
    passed alone(c, {});
    for (const std::size_t count : {2U, 5U}) {
        thread_pool pool(count);
        passed shared(c, pool);
        const auto same = [](std::span<const float> a, std::span<const float> b) {
            return std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
        };
        EXPECT_TRUE(same(alone.y.elements(), shared.y.elements()));
        EXPECT_TRUE(same(alone.dx.elements(), shared.dx.elements()));
        for (const char* name : {"l.columns", "l.scales"}) {
            EXPECT_TRUE(same(alone.named(name).gradient.elements(), shared.named(name).gradient.elements())) << name;
        }
    }
}

TEST(TunableLinear, UntrainedGivesBackTheSameBytes) {
    for (const std::size_t r : {0U, 5U}) {
        const tuned_case c{.r = r};
        const passed done(c, {});
        const auto finished = done.linear.finish({});
        ASSERT_TRUE(finished);
        const auto same = [](std::span<const std::byte> a, std::span<const std::byte> b) {
            return std::equal(a.begin(), a.end(), b.begin(), b.end());
        };
        EXPECT_TRUE(same(finished->packed().blob(), c.layer.packed().blob()));
        EXPECT_EQ(finished->online(), c.layer.online());
        EXPECT_EQ(finished->activations(), c.layer.activations());
        EXPECT_TRUE(r == 0 || same(finished->float_columns()->blob(), c.layer.float_columns()->blob()));
    }
}

TEST(TunableLinear, KeepsItsCodesAndStoresWhatItLearned) {
    const tuned_case c{.r = 5};
    passed done(c, {});
    done.named("l.columns").value(3, 2) = 7.0F;
    done.named("l.scales").value(0, 4) = 1.25F;
    const auto finished = done.linear.finish({});
    ASSERT_TRUE(finished);
    const quantized after = *packing::unpack(finished->packed());
    EXPECT_TRUE(std::ranges::equal(after.codes.elements(), c.codes.codes.elements()));
    for (std::size_t o = 0; o < c.out; ++o) {
        EXPECT_EQ(after.scales(o, 0), (o == 4 ? 1.25F : 1.0F) * c.codes.scales(o, 0));
    }
    EXPECT_EQ(packing::unpack_f32(*finished->float_columns())(3, 2), 7.0F);
    done.named("l.scales").value(0, 4) = -0.5F;
    EXPECT_EQ(done.linear.finish({}).error().message, "l.scales: row 4 was tuned to -0.500000");
}

TEST(TunableLinear, TheScalesOfARowsGroupsGrowTogether) {
    const matrix<float> w = random_matrix(8, 64, 1);
    const quantized before = *rounding::rtn{}.solve(w.view(), {.bits = 4, .reach = granularity::group, .group = 32});
    const auto layer = quant::quantized_linear::make(*packing::pack(before), {});
    tunable_linear linear = *tunable_linear::make("l", *layer);
    linear.for_each_parameter([](parameter<float>& p) { p.value(0, 5) = 1.5F; });
    const quantized after = *packing::unpack(linear.finish({})->packed());
    for (std::size_t o = 0; o < w.rows(); ++o) {
        for (std::size_t g = 0; g < 2; ++g) {
            EXPECT_EQ(after.scales(o, g), (o == 5 ? 1.5F : 1.0F) * before.scales(o, g));
        }
    }
}

TEST(TunableLinear, RefusesScalesThatAreCodes) {
    const matrix<float> w = random_matrix(8, 64, 1);
    const scheme coded = quant::ladder_form({"", 4, 32});
    const auto layer = quant::quantized_linear::make(*packing::pack(*rounding::hqq{}.solve(w.view(), coded)), {});
    EXPECT_EQ(tunable_linear::make("blk.0.attn_q", *layer).error().message,
              "blk.0.attn_q: scales of 8 bits are not tuned");
}

}  // namespace
