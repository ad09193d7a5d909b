// SPDX-License-Identifier: MIT
/// @file
/// Which instruction sets this processor has and the operating system saves: cpuid with XGETBV on x86, hwcap on Arm.
/// Own code, since compilers disagree on the names that __builtin_cpu_supports knows.
#pragma once

#include "quell/core/target.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#if QUELL_ARCH_X86_64 && defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#elif QUELL_ARCH_X86_64
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif QUELL_ARCH_AARCH64 && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace quell::kernels {
inline namespace QUELL_BASELINE {

/// The levels a kernel can be written for, weakest first within one architecture.
enum class isa : std::uint8_t { scalar, avx2, avxvnni, avx512, avx512vnni, amx, neon, neon_dotprod, neon_i8mm };

inline constexpr isa all_isas[] = {isa::scalar, isa::avx2, isa::avxvnni,      isa::avx512,   isa::avx512vnni,
                                   isa::amx,    isa::neon, isa::neon_dotprod, isa::neon_i8mm};

[[nodiscard]] constexpr std::string_view name(isa level) {
    switch (level) {
        case isa::scalar: return "scalar";
        case isa::avx2: return "avx2";
        case isa::avxvnni: return "avxvnni";
        case isa::avx512: return "avx512";
        case isa::avx512vnni: return "avx512vnni";
        case isa::amx: return "amx";
        case isa::neon: return "neon";
        case isa::neon_dotprod: return "neon_dotprod";
        case isa::neon_i8mm: return "neon_i8mm";
    }
    return "?";
}

[[nodiscard]] constexpr std::optional<isa> isa_named(std::string_view text) {
    for (const isa level : all_isas) {
        if (name(level) == text) {
            return level;
        }
    }
    return std::nullopt;
}

namespace detail {

[[nodiscard]] constexpr bool has_bit(std::uint64_t word, unsigned bit) {
    return (word >> bit & 1U) != 0;
}
[[nodiscard]] constexpr bool has_bits(std::uint64_t word, std::uint64_t mask) {
    return (word & mask) == mask;
}

#if QUELL_ARCH_X86_64
struct cpuid_registers {
    std::uint32_t a = 0;
    std::uint32_t b = 0;
    std::uint32_t c = 0;
    std::uint32_t d = 0;
};

[[nodiscard]] inline cpuid_registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
    cpuid_registers r;
#if defined(_MSC_VER) && !defined(__clang__)
    int words[4];
    __cpuidex(words, static_cast<int>(leaf), static_cast<int>(subleaf));
    r = {static_cast<std::uint32_t>(words[0]), static_cast<std::uint32_t>(words[1]),
         static_cast<std::uint32_t>(words[2]), static_cast<std::uint32_t>(words[3])};
#else
    __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
#endif
    return r;
}

/// The register states the operating system saves; legal only where cpuid reports OSXSAVE.
[[nodiscard]] inline std::uint64_t saved_states() {
#if defined(_MSC_VER) && !defined(__clang__)
    return _xgetbv(0);
#else
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return std::uint64_t{high} << 32U | low;
#endif
}

/// Linux gives the tile registers to a process that asks for them, once for all its threads.
[[nodiscard]] inline bool tiles_are_lent() {
#if defined(__linux__)
    constexpr long request_permission = 0x1023;
    constexpr long tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

struct x86_features {
    bool avx2 = false;
    bool avxvnni = false;
    bool avx512 = false;
    bool avx512vnni = false;
    bool amx = false;
};

[[nodiscard]] inline x86_features detect() {
    x86_features f;
    const cpuid_registers one = cpuid(1, 0);
    if (cpuid(0, 0).a < 7 || !has_bit(one.c, 27)) {
        return f;
    }
    const std::uint64_t saved = saved_states();
    const cpuid_registers seven = cpuid(7, 0);
    const bool fma_f16c_avx = has_bit(one.c, 12) && has_bit(one.c, 29) && has_bit(one.c, 28);
    const bool avx2_bmi = has_bit(seven.b, 5) && has_bit(seven.b, 3) && has_bit(seven.b, 8);
    f.avx2 = has_bits(saved, 0x6) && fma_f16c_avx && avx2_bmi;
    f.avxvnni = f.avx2 && seven.a >= 1 && has_bit(cpuid(7, 1).a, 4);
    const bool f_dq_bw_vl =
        has_bit(seven.b, 16) && has_bit(seven.b, 17) && has_bit(seven.b, 30) && has_bit(seven.b, 31);
    f.avx512 = f.avx2 && has_bits(saved, 0xe6) && f_dq_bw_vl;
    f.avx512vnni = f.avx512 && has_bit(seven.c, 11);
    f.amx =
        f.avx512vnni && has_bits(saved, 0x60000) && has_bit(seven.d, 24) && has_bit(seven.d, 25) && tiles_are_lent();
    return f;
}
#endif

}  // namespace detail

/// Whether this processor, under this operating system, can run code of that level.
[[nodiscard]] inline bool processor_has(isa level) {
    if (level == isa::scalar) {
        return true;
    }
#if QUELL_ARCH_X86_64
    static const detail::x86_features has = detail::detect();
    switch (level) {
        case isa::avx2: return has.avx2;
        case isa::avxvnni: return has.avxvnni;
        case isa::avx512: return has.avx512;
        case isa::avx512vnni: return has.avx512vnni;
        case isa::amx: return has.amx;
        default: return false;
    }
#elif QUELL_ARCH_AARCH64
#if defined(__linux__)
    static const bool dotprod = detail::has_bit(getauxval(AT_HWCAP), 20);
    static const bool i8mm = detail::has_bit(getauxval(AT_HWCAP2), 13);
#else  // every 64-bit Arm Mac has the dot product; i8mm is left to a later level
    constexpr bool dotprod = true;
    constexpr bool i8mm = false;
#endif
    return level == isa::neon || (level == isa::neon_dotprod && dotprod) ||
           (level == isa::neon_i8mm && dotprod && i8mm);
#else
    return false;
#endif
}

}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
