// SPDX-License-Identifier: MIT
/// @file
/// What the compiler targets: architecture, forced inlining, the region in which functions may use a wider instruction
/// set than the command line allows, and the namespace tag that keeps translation units with different flags apart.
///
/// Rules for a region (each learnt from a crash): no #include inside but our own .inc texts; vector types never cross
/// its border; what it calls is either inside it or force-inlined scalar code.
#pragma once

#include "quell/core/check.hpp"

#if defined(__FAST_MATH__)
#error "quell promises the same bits everywhere: build without -ffast-math"
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define QUELL_ARCH_X86_64 1
#else
#define QUELL_ARCH_X86_64 0
#endif

#if defined(__aarch64__) || defined(_M_ARM64)
#define QUELL_ARCH_AARCH64 1
#else
#define QUELL_ARCH_AARCH64 0
#endif

#define QUELL_DETAIL_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define QUELL_TARGET_BEGIN(isa) \
    QUELL_DETAIL_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define QUELL_TARGET_END _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#define QUELL_TARGET_BEGIN(isa) _Pragma("GCC push_options") QUELL_DETAIL_PRAGMA(GCC target(isa))
#define QUELL_TARGET_END _Pragma("GCC pop_options")
#else
#define QUELL_TARGET_BEGIN(isa)
#define QUELL_TARGET_END
#endif

// Arm's dot products. With gcc, arch= replaces what the command line said instead of adding to it, and then the region
// may not inline what was compiled for more; without arch= a command line for plain Armv8.0 is not enough. clang always
// adds, but before version 16 it hides the intrinsics from all but the command line.
#if defined(__clang__)
#define QUELL_TARGET_DOTPROD "dotprod"
#define QUELL_TARGET_I8MM "dotprod,i8mm"
#elif defined(__ARM_FEATURE_DOTPROD) || defined(__ARM_FEATURE_COMPLEX) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
#define QUELL_TARGET_DOTPROD "+dotprod"
#define QUELL_TARGET_I8MM "+dotprod+i8mm"
#elif defined(__ARM_FEATURE_CRYPTO)
#define QUELL_TARGET_DOTPROD "arch=armv8.2-a+crypto+dotprod"
#define QUELL_TARGET_I8MM "arch=armv8.2-a+crypto+dotprod+i8mm"
#else
#define QUELL_TARGET_DOTPROD "arch=armv8.2-a+dotprod"
#define QUELL_TARGET_I8MM "arch=armv8.2-a+dotprod+i8mm"
#endif
#if QUELL_ARCH_AARCH64 && (!defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_DOTPROD))
#define QUELL_HAS_NEON_DOTPROD 1
#else
#define QUELL_HAS_NEON_DOTPROD 0
#endif
#if QUELL_ARCH_AARCH64 && (!defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_MATMUL_INT8))
#define QUELL_HAS_NEON_I8MM 1
#else
#define QUELL_HAS_NEON_I8MM 0
#endif

// Kernels take a minute to compile. Where this is 1, in all units alike, only the one that includes kernels/levels.hpp
// compiles them; the others are linked with it.
#ifndef QUELL_KERNELS_APART
#define QUELL_KERNELS_APART 0
#endif

// gcc 12 says of its own AVX-512 header that it reads what it never set, and blames the caller.
#if defined(__GNUC__) && !defined(__clang__)
#define QUELL_AVX512_BEGIN                                                               \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wuninitialized\"") \
        _Pragma("GCC diagnostic ignored \"-Wmaybe-uninitialized\"")
#define QUELL_AVX512_END _Pragma("GCC diagnostic pop")
#else
#define QUELL_AVX512_BEGIN
#define QUELL_AVX512_END
#endif

// Unrolls the next loop whole; its bounds are compile-time constants. Arrays indexed by it then live in registers.
#if defined(__clang__)
#define QUELL_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define QUELL_UNROLL _Pragma("GCC unroll 16")
#else
#define QUELL_UNROLL
#endif

#if defined(__GNUC__)
#define QUELL_ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define QUELL_ALWAYS_INLINE __forceinline
#endif

// The tag of the inline namespace around everything but check.hpp: an inline function compiled with -mavx2 must never
// replace the baseline copy of another translation unit, nor a checked one an unchecked one. So a quell type in the
// signature of a function between units of different flags is a link error; pointers and sizes cross that border.
#if defined(__AVX512VNNI__)
#define QUELL_DETAIL_BASE base_avx512vnni
#elif defined(__AVX512F__)
#define QUELL_DETAIL_BASE base_avx512
#elif defined(__AVXVNNI__)
#define QUELL_DETAIL_BASE base_avxvnni
#elif defined(__AVX2__)
#define QUELL_DETAIL_BASE base_avx2
#elif defined(__AVX__)
#define QUELL_DETAIL_BASE base_avx
#elif defined(__SSE4_1__)
#define QUELL_DETAIL_BASE base_sse4
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define QUELL_DETAIL_BASE base_i8mm
#elif defined(__ARM_FEATURE_DOTPROD)
#define QUELL_DETAIL_BASE base_dotprod
#else
#define QUELL_DETAIL_BASE base_min
#endif

#define QUELL_DETAIL_JOIN(a, b) a##b
#define QUELL_DETAIL_JOIN_VALUES(a, b) QUELL_DETAIL_JOIN(a, b)
#if QUELL_CHECKS
#define QUELL_BASELINE QUELL_DETAIL_JOIN_VALUES(QUELL_DETAIL_BASE, _checked)
#else
#define QUELL_BASELINE QUELL_DETAIL_BASE
#endif
