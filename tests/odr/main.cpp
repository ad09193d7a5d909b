// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstdio>
#include <cstring>

std::uint64_t baseline_unit();
std::uint64_t wide_unit();

int main(int argc, char** argv) {
    const std::uint64_t expected = baseline_unit();
    std::printf("baseline %016llx\n", static_cast<unsigned long long>(expected));
    if (argc > 1 && std::strcmp(argv[1], "baseline") == 0) {
        return 0;
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
