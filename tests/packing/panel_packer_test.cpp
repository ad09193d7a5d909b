// SPDX-License-Identifier: MIT
#include "quell/packing/panel_packer.hpp"

#include "packing/forms.hpp"
#include "quell/core/thread_pool.hpp"
#include "quell/packing/pack.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

namespace {

using namespace quell;
using packing::panel_packer;

/// Packs `step` rows at a time.
result<packing::packed_matrix> pack_in_steps(const quantized& q, std::size_t step, const executor& threads = {}) {
    QUELL_TRY(panel_packer packer, panel_packer::make(q.form, q.out_features(), q.in_features()));
    while (packer.rows() < q.out_features()) {
        const std::size_t count = std::min(step, q.out_features() - packer.rows());
        QUELL_TRY_VOID(packer.add(packing::all_rows(q).block(packer.rows(), count), threads));
    }
    return std::move(packer).finish();
}

TEST(PanelPacker, MakesTheSameBytesHoweverTheRowsCome) {
    thread_pool pool(3);
    for (const scheme& form : all_forms()) {
        const quantized q = random_codes(form, 53, 100);
        const auto whole = packing::pack(q);
        for (const std::size_t step : {1U, 2U, 7U, 16U, 21U, 53U}) {
            EXPECT_TRUE(equal(pack_in_steps(q, step)->blob(), whole->blob())) << describe(form, 53, 100) << step;
        }
        EXPECT_TRUE(equal(pack_in_steps(q, 37, pool)->blob(), whole->blob())) << describe(form, 53, 100);
    }
}

TEST(PanelPacker, CountsNoRowsThatItRefuses) {
    const quantized good = random_codes({.bits = 8, .reach = granularity::group, .group = 32}, 20, 70);
    quantized bad = random_codes(good.form, 20, 70, 7);
    bad.codes(18, 3) = -128;
    auto packer = panel_packer::make(good.form, 20, 70);
    ASSERT_TRUE(packer->add(packing::all_rows(good).block(0, 5)));
    const auto status = packer->add(packing::all_rows(bad).block(5, 15));
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message, "code -128 at row 18, column 3 is not one of -127 ... 127");
    EXPECT_EQ(packer->rows(), 5U);
    ASSERT_TRUE(packer->add(packing::all_rows(good).block(5, 15)));
    EXPECT_TRUE(equal((*std::move(packer)).finish()->blob(), packing::pack(good)->blob()));
}

TEST(PanelPacker, WantsAllRowsAndNoMore) {
    const quantized q = random_codes({.bits = 4}, 20, 70);
    auto packer = panel_packer::make(q.form, 19, 70);
    EXPECT_EQ(packer->add(packing::all_rows(q)).error().message, "rows 0 to 20 of a weight of 19");
    ASSERT_TRUE(packer->add(packing::all_rows(q).block(0, 18)));
    const auto missing = (*std::move(packer)).finish();
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().message, "a weight of 19 rows got 18");
}

}  // namespace
