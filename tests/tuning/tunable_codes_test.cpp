// SPDX-License-Identifier: MIT
#include "quell/tuning/tunable_codes.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/rounding/binary.hpp"
#include "quell/rounding/hqq.hpp"
#include "quell/rounding/rtn.hpp"
#include "quell/tuning/tunable_split.hpp"
#include "support/planted.hpp"
#include "tuning/gradients.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace quell;
using namespace quell::tuning;

scheme form_of(int bits, code_set codes, zero_type zeros) {
    return {.bits = bits, .codes = codes, .reach = granularity::group, .group = 32, .zeros = zeros};
}

/// A linear with activations of 16 bits, which are as good as floats; groups end ragged.
struct codes_case {
    scheme form;
    std::size_t float_columns = 0;
    std::size_t out = 21, in = 72, tokens = 40;
    matrix<float> w = random_matrix(out, float_columns + in, 1);
    matrix<float> bias = random_matrix(1, out, 2);
    matrix<float> x = random_matrix(tokens, float_columns + in, 3);
    matrix<float> dy = random_matrix(tokens, out, 4);
    quantized codes = solved();
    quant::quantized_linear layer = made();

    [[nodiscard]] quantized solved() const {
        const matrix_view<const float> all = w.view();
        const auto integers = all.block(0, float_columns, out, in);
        auto q = form.bits == 1                  ? rounding::binary{}.solve(integers, form)
                 : form.zeros == zero_type::real ? rounding::hqq{}.solve(integers, form)
                                                 : rounding::rtn{}.solve(integers, form);
        EXPECT_TRUE(q) << (q ? "" : q.error().message);
        return *std::move(q);
    }

    [[nodiscard]] quant::quantized_linear made() const {
        const matrix_view<const float> all = w.view();
        std::optional<packing::packed_matrix> columns;
        quant::online_input online;
        if (float_columns > 0) {
            columns = packing::pack_f32(all.block(0, 0, out, float_columns));
        } else {
            online.scale = buffer<float>(in);
            for (std::size_t c = 0; c < in; ++c) {
                online.scale[c] = 0.5F + static_cast<float>(c % 3);
            }
            online.rotation = transforms::hadamard(in);
        }
        auto made = quant::quantized_linear::make(*packing::pack(codes), {.bits = 16}, bias.elements(),
                                                  std::move(online), std::move(columns));
        EXPECT_TRUE(made) << (made ? "" : made.error().message);
        return *std::move(made);
    }
};

std::string describe(const scheme& form) {
    return std::to_string(form.bits) + " bits, code set " + std::to_string(static_cast<int>(form.codes));
}

const scheme forms[] = {form_of(1, code_set::sign_mean, zero_type::real), form_of(1, code_set::sign, zero_type::none),
                        form_of(2, code_set::zero_point, zero_type::integer),
                        form_of(3, code_set::zero_point, zero_type::real),
                        form_of(4, code_set::symmetric, zero_type::none)};

struct codes_pass {
    const codes_case& c;
    tunable_codes linear;
    linear_scratch scratch;
    matrix<float> z, y, dx;

    explicit codes_pass(const codes_case& which, const executor& threads = {})
        : c(which),
          linear(*tunable_codes::make("l", c.layer, threads)),
          z(c.tokens, 0),
          y(c.tokens, c.out),
          dx(c.tokens, c.x.cols()) {
        forward(threads);
        linear.backward(c.x.view(), z.view(), c.dy.view(), dx.view(), scratch, threads);
    }

    void forward(const executor& threads = {}) { linear.forward(c.x.view(), z.view(), y.view(), scratch, threads); }

    std::vector<parameter<float>*> parameters() {
        std::vector<parameter<float>*> all;
        linear.for_each_parameter([&](parameter<float>& p) { all.push_back(&p); });
        return all;
    }

    /// What sum(y * dy) gains a unit of this entry.
    double slope(float& entry, float by) {
        forward();
        const double before = sum_of_products(y, c.dy);
        const float start = entry;
        entry += by;
        EXPECT_TRUE(linear.update({}));
        forward();
        const double gained = sum_of_products(y, c.dy) - before;
        entry = start;
        EXPECT_TRUE(linear.update({}));
        return gained / double{by};
    }
};

TEST(TunableCodes, RunAsTheLinearTheyAre) {
    for (const scheme& form : forms) {
        for (const std::size_t columns : {0U, 8U}) {
            codes_case c{.form = form, .float_columns = columns};
            const codes_pass pass(c);
            const quant::linear layer(std::move(c.layer));
            matrix<float> expected(c.tokens, c.out);
            std::vector<std::byte> workspace(quant::workspace_bytes(layer, c.tokens));
            quant::forward(layer, c.x.view(), expected.view(), workspace);
            EXPECT_TRUE(std::ranges::equal(pass.y.elements(), expected.elements())) << describe(form);
        }
    }
}

/// Outputs are linear in everything that is trained, and in the codes themselves: a difference is exact but for the
/// rounding of the activations.
TEST(TunableCodes, EverythingHasTheGradientOfItsDifferences) {
    for (const scheme& form : forms) {
        for (const std::size_t columns : {0U, 8U}) {
            const codes_case c{.form = form, .float_columns = columns};
            codes_pass pass(c);
            for (parameter<float>* p : pass.parameters()) {
                const bool is_codes = p->name == "l.codes";
                for (const std::size_t o : {std::size_t{0}, c.out - 1}) {
                    for (std::size_t i = 0; i < p->value.cols(); i += 7) {
                        const float at = p->value(o, i);
                        const float by = is_codes && at == static_cast<float>(codes_of(form).high) ? -1.0F : 1.0F;
                        const double slope = pass.slope(p->value(o, i), is_codes ? by : 0.25F);
                        EXPECT_NEAR(double{p->gradient(o, i)}, slope, 0.01 + 0.002 * std::abs(slope))
                            << describe(form) << ' ' << p->name << ' ' << o << ' ' << i;
                    }
                }
            }
        }
    }
}

TEST(TunableCodes, InputsGetTheProductWithTheDequantizedWeight) {
    const codes_case c{.form = forms[0]};
    const codes_pass pass(c);
    expect_product(pass.dx, c.dy, c.layer.weight());
}

TEST(TunableCodes, PositionsDecideTheCodesAndStayInTheirRange) {
    const codes_case c{.form = forms[2]};
    codes_pass pass(c);
    parameter<float>& positions = *pass.parameters().back();
    ASSERT_EQ(positions.name, "l.codes");
    positions.value(3, 5) = 1.4F;
    positions.value(3, 6) = 1.6F;
    positions.value(3, 7) = -7.0F;
    positions.value(3, 8) = 70.0F;
    pass.parameters().front()->value(4, 0) = -1.0F;
    ASSERT_TRUE(pass.linear.update({}));
    EXPECT_EQ(positions.value(3, 7), -0.5F);
    EXPECT_EQ(positions.value(3, 8), 3.5F);
    const auto tuned = pass.linear.finish({});
    ASSERT_TRUE(tuned) << tuned.error().message;
    const quantized q = *packing::unpack(tuned->packed());
    for (const auto& [column, code] :
         {std::pair<std::size_t, int>{5, 1}, {6, 2}, {7, 0}, {8, 3}, {9, c.codes.codes(3, 9)}}) {
        EXPECT_EQ(int{q.codes(3, column)}, code) << column;
    }
    EXPECT_GT(q.scales(4, 0), 0.0F) << "a scale does not change its sign";
    EXPECT_EQ(q.scales(3, 0), c.codes.scales(3, 0));
    EXPECT_TRUE(std::ranges::equal(tuned->bias(), c.layer.bias()));
}

TEST(TunableCodes, DoNotDependOnThreads) {
    const codes_case c{.form = forms[0]};
    thread_pool pool(3);
    codes_pass one(c);
    codes_pass three(c, pool);
    EXPECT_TRUE(std::ranges::equal(one.dx.elements(), three.dx.elements()));
    const auto a = one.parameters();
    const auto b = three.parameters();
    for (std::size_t i = 0; i < a.size(); ++i) {
        EXPECT_TRUE(std::ranges::equal(a[i]->gradient.elements(), b[i]->gradient.elements())) << a[i]->name;
    }
}

TEST(TunableCodes, PartsOfASplitLinearAreTrainedEach) {
    const codes_case low{.form = forms[0]};
    const codes_case high{.form = forms[2]};
    std::vector<std::uint16_t> order;
    for (std::size_t p = 0; p < low.in + high.in; ++p) {
        order.push_back(static_cast<std::uint16_t>(p * 7 % (low.in + high.in)));
    }
    const auto layer =
        quant::split_linear::make({order, *packing::pack(high.codes), *packing::pack(low.codes)}, {.bits = 8});
    ASSERT_TRUE(layer) << layer.error().message;
    auto made = tunable_split_codes::make("l", *layer);
    ASSERT_TRUE(made) << made.error().message;
    std::vector<parameter<float>*> all;
    made->for_each_parameter([&](parameter<float>& p) { all.push_back(&p); });
    ASSERT_EQ(all.size(), 5U);
    EXPECT_EQ(all[1]->name, "l.high.codes");
    EXPECT_EQ(all[4]->name, "l.low.codes");
    all[1]->value(0, 0) = 3.0F - all[1]->value(0, 0);
    all[4]->value(0, 0) = 1.0F - all[4]->value(0, 0);
    ASSERT_TRUE(made->update({}));
    const auto tuned = made->finish({});
    ASSERT_TRUE(tuned) << tuned.error().message;
    EXPECT_EQ(packing::unpack(tuned->high().packed())->codes(0, 0), 3 - high.codes.codes(0, 0));
    EXPECT_EQ(packing::unpack(tuned->low().packed())->codes(0, 0), 1 - low.codes.codes(0, 0));
}

TEST(TunableCodes, ScalesAndZerosOfEightBitsStayWhatIsStored) {
    codes_case c{.form = forms[3]};
    c.form.scales = scale_type::codes8;
    c.codes = c.solved();
    c.layer = c.made();
    codes_pass pass(c);
    std::vector<parameter<float>*> all = pass.parameters();
    ASSERT_EQ(all[1]->name, "l.zeros");
    for (float& factor : all[0]->value.row(2)) {
        factor = 1.5F;
    }
    all[1]->value(2, 1) = 0.75F;
    ASSERT_TRUE(pass.linear.update({}));
    const auto tuned = pass.linear.finish({});
    ASSERT_TRUE(tuned) << tuned.error().message;
    const quantized q = *packing::unpack(tuned->packed());
    for (std::size_t g = 0; g < q.scales.cols(); ++g) {
        EXPECT_NEAR(q.scales(2, g), 1.5F * c.codes.scales(2, g), 0.01F * c.codes.scales(2, g)) << g;
        EXPECT_EQ(q.scales(3, g), c.codes.scales(3, g));
        EXPECT_EQ(q.zeros(3, g), c.codes.zeros(3, g));
    }
    EXPECT_NEAR(q.zeros(2, 1), c.codes.zeros(2, 1) - 0.75F, 0.05F) << "all values of the group are larger";
    EXPECT_EQ(q.zeros(2, 0), c.codes.zeros(2, 0));
}

}  // namespace
