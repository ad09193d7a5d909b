// SPDX-License-Identifier: MIT
#include "quell/core/check.hpp"

#include "quell/core/buffer.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/scheme.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>

namespace {

/// The checks are compiled out of this build where QUELL_CHECKS is 0.
class CheckDeathTest : public testing::Test {
protected:
    void SetUp() override {
        if (QUELL_CHECKS == 0) {
            GTEST_SKIP() << "this build has QUELL_CHECKS=0";
        }
    }
};

TEST_F(CheckDeathTest, NamesTheSentenceAndTheCondition) {
    EXPECT_DEATH(QUELL_EXPECTS(1 > 2, "one is not more than two"), "quell: one is not more than two \\(1 > 2\\)");
}

TEST_F(CheckDeathTest, StopsAtAnElementOutsideABuffer) {
    const quell::buffer<float> three(3);
    EXPECT_DEATH(static_cast<void>(three[3]), "outside the buffer");
}

TEST_F(CheckDeathTest, StopsAtASizeThatNoMemoryHas) {
    const volatile std::size_t huge = std::numeric_limits<std::size_t>::max() / 2;  // volatile: gcc must not foresee it
    EXPECT_DEATH(quell::buffer<double>{huge}, "does not fit");
    EXPECT_DEATH((quell::matrix<char>{huge, 3}), "does not fit");
}

TEST_F(CheckDeathTest, StopsOutsideAMatrix) {
    const quell::matrix<float> m(2, 3);
    EXPECT_DEATH(static_cast<void>(m(2, 0)), "an element outside the matrix");
    EXPECT_DEATH(static_cast<void>(m(0, 3)), "an element outside the matrix");
    EXPECT_DEATH(static_cast<void>(m.row(2)), "a row outside the matrix");
    EXPECT_DEATH(static_cast<void>(m.view().block(1, 1, 1, 3)), "a block outside the matrix");
}

TEST_F(CheckDeathTest, StopsAtRowsThatOverlap) {
    float data[6] = {};
    EXPECT_DEATH(quell::matrix_view<float>(data, 2, 3, 2), "rows overlap");
}

TEST_F(CheckDeathTest, StopsAtTheWrongSideOfAResult) {
    quell::result<int> failed = quell::error{quell::errc::not_found, "nowhere"};
    quell::result<int> fine = 1;
    EXPECT_DEATH(static_cast<void>(*failed), "holds an error");
    EXPECT_DEATH(static_cast<void>(fine.error()), "holds a value");
    EXPECT_DEATH(static_cast<void>(quell::result<void>().error()), "without one");
}

TEST_F(CheckDeathTest, StopsAtAGroupOfNothing) {
    const quell::scheme no_group{.reach = quell::granularity::group};
    EXPECT_DEATH(static_cast<void>(quell::groups_per_row(no_group, 64)), "group");
}

[[noreturn]] void throw_the_sentence(const char*, const char* sentence, const char*, int) {
    throw std::logic_error(sentence);
}

TEST(Check, CallsTheHandlerThatTheProgramChose) {
    const quell::failure_handler before = quell::on_contract_failure;
    quell::on_contract_failure = &throw_the_sentence;
    std::string caught;
    try {
        quell::detail::contract_failed("x", "seen", "file", 1);
    } catch (const std::logic_error& e) {
        caught = e.what();
    }
    quell::on_contract_failure = before;
    EXPECT_EQ(caught, "seen");
}

TEST(Check, HoldsSilentlyWhereTheConditionHolds) {
    QUELL_EXPECTS(true, "never seen");
    QUELL_ENSURES(true, "never seen");
}

}  // namespace
