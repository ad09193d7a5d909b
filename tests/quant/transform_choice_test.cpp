// SPDX-License-Identifier: MIT
#include "quell/quant/transform_choice.hpp"

#include "support/planted.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <string_view>
#include <vector>

namespace {

using namespace quell;
using namespace quell::quant;

/// The transform that is taken for these activations, and the errors of all four of the paper.
struct choice {
    std::string_view name;
    std::vector<double> errors;
};

choice choose(const matrix<float>& x) {
    const matrix<float> w = random_matrix(48, x.cols(), 2);
    const matrix_view<const float> view = w.view();
    const std::vector<any_transform> candidates = {{no_transform{}}, {smooth{}}, {rotate{}}, {smooth_rotate{}}};
    any_stats seen;
    for (const any_transform& candidate : candidates) {
        candidate.select(seen);
    }
    seen.add(x.view());
    const choice_input input{seen, x.view(), {&view, 1}};
    choice made{choose_transform(candidates, input, {})->name(), {}};
    std::vector<matrix<float>> exact;
    exact.push_back(exact_outputs(x.view(), view));
    for (const any_transform& candidate : candidates) {
        made.errors.push_back(*transform_error(candidate, input, exact, {}));
    }
    return made;
}

TEST(TransformChoice, TakesTheLeastError) {
    const choice outliers = choose(planted_activations(64, 128, 1, {5, 100}, 60.0F));
    EXPECT_EQ(outliers.name, "smooth+rotate");
    EXPECT_LT(outliers.errors[3], 0.5 * outliers.errors[0]);
    EXPECT_LT(outliers.errors[3], outliers.errors[1]);
    EXPECT_LT(outliers.errors[3], outliers.errors[2]);
}

TEST(TransformChoice, LeavesAloneWhatIsEvenAlready) {
    matrix<float> x(64, 128);
    rng random(3);
    for (float& v : x.elements()) {
        v = static_cast<float>(random.below(15)) - 7.0F;  // every value a code: nothing can be better
    }
    for (std::size_t r = 0; r < x.rows(); ++r) {
        x(r, r) = 7.0F;
    }
    EXPECT_EQ(choose(x).name, "none");
}

TEST(TransformChoice, HandsOnWhatIsWrong) {
    const matrix<float> w = random_matrix(4, 8, 2);
    const matrix_view<const float> view = w.view();
    matrix<float> x = random_matrix(4, 8, 1);
    x(1, 2) = NAN;
    const any_stats seen;
    const std::vector<any_transform> candidates = {{no_transform{}}, {rotate{}}};
    const auto refused = choose_transform(candidates, {seen, x.view(), {&view, 1}}, {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, errc::bad_value);
}

}  // namespace
