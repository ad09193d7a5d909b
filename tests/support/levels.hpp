// SPDX-License-Identifier: MIT
/// @file
/// Tests that run once for every instruction set, named after it; those that this machine lacks are reported as
/// skipped.
#pragma once

#include "quell/kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>

namespace support {

/// How many sampled cases a test runs: `usual`, or what QUELL_TEST_SAMPLES says (more for a long run, fewer under an
/// emulator).
inline std::size_t samples(std::size_t usual) {
    const char* text = std::getenv("QUELL_TEST_SAMPLES");
    return text == nullptr ? usual : std::max<std::size_t>(std::strtoul(text, nullptr, 10), 1);
}

class LevelTest : public ::testing::TestWithParam<quell::kernels::isa> {
protected:
    void SetUp() override {
        table = quell::kernels::by_isa(GetParam());
        if (table == nullptr) {
            GTEST_SKIP() << "instruction set " << quell::kernels::name(GetParam()) << " is not available here";
        }
    }
    [[nodiscard]] bool is_scalar() const { return GetParam() == quell::kernels::isa::scalar; }
    /// Where tests leave out more: the scalar level, and all levels where few samples are wanted.
    [[nodiscard]] bool is_slow() const { return is_scalar() || samples(5000) < 5000; }

    const quell::kernels::kernel_table* table = nullptr;
};

inline std::string level_name(const ::testing::TestParamInfo<quell::kernels::isa>& info) {
    return std::string(quell::kernels::name(info.param));
}

}  // namespace support

#define QUELL_TEST_ON_ALL_LEVELS(suite) \
    INSTANTIATE_TEST_SUITE_P(Level, suite, ::testing::ValuesIn(quell::kernels::all_isas), support::level_name)
