// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstdio>
#include <cstring>

std::uint64_t baseline_unit();
std::uint64_t wide_unit();

// What every compiler, processor and thread count must give. A change of it is a "Numerics" entry in CHANGELOG.md.
constexpr std::uint64_t expected = 0xf4b7ae3bd569c1f3U;

int main(int argc, char** argv) {
    const std::uint64_t baseline = baseline_unit();
    std::printf("expected %016llx\nbaseline %016llx\n", static_cast<unsigned long long>(expected),
                static_cast<unsigned long long>(baseline));
    if (baseline != expected || (argc > 1 && std::strcmp(argv[1], "baseline") == 0)) {
        return baseline == expected ? 0 : 1;
    }
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        std::puts("skipped: this processor has no AVX2");
        return 77;
    }
#endif
    const std::uint64_t wide = wide_unit();
    std::printf("wide     %016llx\n", static_cast<unsigned long long>(wide));
    return wide == expected ? 0 : 1;
}
