// SPDX-License-Identifier: MIT
#include "quell/kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

namespace {

using namespace quell;
using kernels::isa;

TEST(Dispatch, SpellsEveryLevelAndReadsItBack) {
    for (const isa level : kernels::all_isas) {
        EXPECT_EQ(kernels::isa_named(kernels::name(level)), level);
    }
    EXPECT_EQ(kernels::isa_named("sse9"), std::nullopt);
    EXPECT_EQ(kernels::isa_named(""), std::nullopt);
}

TEST(Dispatch, OffersTheScalarLevelEverywhereAndFirst) {
    ASSERT_FALSE(kernels::available().empty());
    EXPECT_EQ(kernels::available().front(), isa::scalar);
}

TEST(Dispatch, ChoosesTheStrongestLevelOfTheProcessor) {
    const char* known = std::getenv("QUELL_TEST_BEST");  // where an emulator plays a processor that we know
    const isa strongest =
        known == nullptr ? kernels::available().back() : kernels::isa_named(known).value_or(isa::scalar);
    EXPECT_EQ(kernels::available().back(), strongest);
    EXPECT_EQ(*kernels::isa_from_environment(), strongest);
}

TEST(Dispatch, HasATableForExactlyTheAvailableLevels) {
    const auto available = kernels::available();
    for (const isa level : kernels::all_isas) {
        const bool listed = std::find(available.begin(), available.end(), level) != available.end();
        const kernels::kernel_table* table = kernels::by_isa(level);
        ASSERT_EQ(table != nullptr, listed) << kernels::name(level);
        if (table != nullptr) {
            EXPECT_EQ(table->level, level);
            EXPECT_NE(table->quantize_rows, nullptr);
            EXPECT_NE(table->gemm, nullptr);
            EXPECT_NE(table->gemm_f32, nullptr);
        }
    }
}

#if QUELL_ARCH_X86_64
/// The value of the first "key : value" line of /proc/cpuinfo.
std::string cpuinfo(const std::string& key) {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.rfind(key, 0) == 0 && line.find_first_not_of(" \t", key.size()) == line.find(':')) {
            return line.substr(line.find(':') + 1) + " ";
        }
    }
    return "";
}

TEST(Dispatch, SeesTheFeaturesThatTheSystemReports) {
    const std::uint32_t signature = kernels::detail::cpuid(1, 0).a;
    const std::uint32_t model = (signature >> 4U & 15U) | (signature >> 12U & 0xf0U);
    if (cpuinfo("model") != " " + std::to_string(model) + " ") {
        GTEST_SKIP() << "/proc/cpuinfo describes another processor: this one is emulated";
    }
    const auto flag = [flags = cpuinfo("flags")](const std::string& word) {
        return flags.find(" " + word + " ") != std::string::npos;
    };
    EXPECT_EQ(kernels::processor_has(isa::avx2), flag("avx2") && flag("fma") && flag("f16c"));
    EXPECT_EQ(kernels::processor_has(isa::avxvnni), flag("avx_vnni"));
    EXPECT_EQ(kernels::processor_has(isa::avx512), flag("avx512f") && flag("avx512bw") && flag("avx512vl"));
    EXPECT_EQ(kernels::processor_has(isa::avx512vnni), flag("avx512_vnni"));
    EXPECT_EQ(kernels::processor_has(isa::amx), flag("amx_int8"));
}
#endif

TEST(Dispatch, LowersAndComesBack) {
    const isa strongest = kernels::available().back();
    ASSERT_TRUE(kernels::lower_to(isa::scalar));
    EXPECT_EQ(kernels::best().level, isa::scalar);
    ASSERT_TRUE(kernels::lower_to(strongest));
    EXPECT_EQ(kernels::best().level, strongest);
}

TEST(Dispatch, RefusesALevelThatIsNotThereAndNamesWhatIs) {
    for (const isa level : kernels::all_isas) {
        if (kernels::by_isa(level) == nullptr) {
            const isa before = kernels::best().level;
            const auto lowered = kernels::lower_to(level);
            ASSERT_FALSE(lowered);
            EXPECT_EQ(lowered.error().code, errc::unsupported);
            EXPECT_NE(lowered.error().message.find(kernels::name(level)), std::string::npos);
            EXPECT_NE(lowered.error().message.find("scalar"), std::string::npos);
            EXPECT_EQ(kernels::best().level, before);
        }
    }
}

TEST(Dispatch, ReportsAWordInTheEnvironmentThatNamesNoLevel) {
    setenv("QUELL_ISA", "sse9", 1);
    const auto level = kernels::isa_from_environment();
    unsetenv("QUELL_ISA");
    ASSERT_FALSE(level);
    EXPECT_NE(level.error().message.find("QUELL_ISA: instruction set 'sse9'"), std::string::npos);
    EXPECT_EQ(*kernels::isa_from_environment(), kernels::available().back());
}

TEST(DispatchDeathTest, TakesTheLevelOfTheEnvironment) {
    if (kernels::available().size() == 1) {
        GTEST_SKIP() << "only one level here, and an emulator cannot start the test program again";
    }
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process that has not called best() yet
    const auto run = [] {
        setenv("QUELL_ISA", "scalar", 1);
        std::_Exit(kernels::best().level == isa::scalar ? 0 : 1);
    };
    EXPECT_EXIT(run(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
