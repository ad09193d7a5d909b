// SPDX-License-Identifier: MIT
// One namespace for each level, with the instructions that its kernels multiply by and nothing around them.
#include "roofline.hpp"

#include "quell/core/buffer.hpp"
#include "quell/kernels/amx.hpp"
#include "timing.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#if QUELL_ARCH_X86_64
#include <immintrin.h>
#endif

namespace bench {
namespace {

/// The loops of a level. The products return how many operations they made in so many steps.
struct loop_table {
    void (*read)(const std::byte*, std::size_t);
    double (*multiply_w8)(std::size_t steps);
    double (*multiply_narrow)(std::size_t steps);
    double (*multiply_floats)(std::size_t steps);
};

namespace scalar {

inline void read(const std::byte* data, std::size_t bytes) {
    std::uint64_t seen[4] = {};
    for (std::size_t at = 0; at + sizeof(seen) <= bytes; at += sizeof(seen)) {
        std::uint64_t words[4];
        std::memcpy(words, data + at, sizeof(words));
        for (std::size_t i = 0; i < 4; ++i) {
            seen[i] |= words[i];
        }
    }
    volatile std::uint64_t kept = seen[0] | seen[1] | seen[2] | seen[3];
    static_cast<void>(kept);
}

/// Sixteen columns at a time, as the scalar kernels.
inline double multiply_codes(std::size_t steps) {
    constexpr std::size_t k = 256;
    static std::int8_t weights[k][16] = {};
    volatile std::int8_t activation = 1;
    std::int32_t sums[16] = {};
    for (std::size_t i = 0; i < steps; ++i) {
        const std::int8_t a = activation;
        for (const auto& row : weights) {
            for (std::size_t c = 0; c < 16; ++c) {
                sums[c] += row[c] * a;
            }
        }
    }
    volatile std::int32_t kept = *std::max_element(sums, sums + 16);
    static_cast<void>(kept);
    return 2.0 * k * 16 * static_cast<double>(steps);
}

inline double multiply_floats(std::size_t steps) {
    volatile float factor = 0.5F;
    float sums[16] = {};
    for (std::size_t i = 0; i < steps; ++i) {
        const float f = factor;
        for (float& sum : sums) {
            sum = std::fma(f, f, sum);
        }
    }
    volatile float kept = *std::max_element(sums, sums + 16);
    static_cast<void>(kept);
    return 2.0 * 16 * static_cast<double>(steps);
}

constexpr loop_table loops = {read, multiply_codes, multiply_codes, multiply_floats};

}  // namespace scalar
}  // namespace
}  // namespace bench

#if QUELL_ARCH_X86_64
QUELL_TARGET_BEGIN("avx2,fma")
namespace bench {
namespace {
namespace avx2 {

using int_vector = __m256i;
using float_vector = __m256;

QUELL_ALWAYS_INLINE __m256i load(const std::byte* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}
QUELL_ALWAYS_INLINE __m256i either(__m256i a, __m256i b) {
    return _mm256_or_si256(a, b);
}
QUELL_ALWAYS_INLINE __m256 fma(__m256 a, __m256 b, __m256 c) {
    return _mm256_fmadd_ps(a, b, c);
}

QUELL_ALWAYS_INLINE __m256i products(__m256i a, __m256i b) {
    return _mm256_maddubs_epi16(a, b);
}
QUELL_ALWAYS_INLINE __m256i add_pairs(__m256i a, __m256i b) {
    return _mm256_add_epi16(a, b);
}
QUELL_ALWAYS_INLINE __m256i add_widened(__m256i sum, __m256i pairs) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "roofline_chains.inc"
#include "roofline_loops.inc"

constexpr loop_table loops = {read, multiply<1>, multiply<8>, multiply_floats};

}  // namespace avx2
}  // namespace
}  // namespace bench
QUELL_TARGET_END

QUELL_TARGET_BEGIN("avx2,fma,avxvnni")
namespace bench {
namespace {
namespace avxvnni {

#include "roofline_chains.inc"

inline double multiply(std::size_t steps) {
    __m256i a = {};
    keep(a);
    return 64.0 * in_chains<12, __m256i>(steps, [&](__m256i sum) { return _mm256_dpbusd_avx_epi32(sum, a, a); });
}

constexpr loop_table loops = {avx2::read, multiply, multiply, avx2::multiply_floats};

}  // namespace avxvnni
}  // namespace
}  // namespace bench
QUELL_TARGET_END

QUELL_AVX512_BEGIN
QUELL_TARGET_BEGIN("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
namespace bench {
namespace {
namespace avx512 {

using int_vector = __m512i;
using float_vector = __m512;

QUELL_ALWAYS_INLINE __m512i load(const std::byte* p) {
    return _mm512_load_si512(p);
}
QUELL_ALWAYS_INLINE __m512i either(__m512i a, __m512i b) {
    return _mm512_or_si512(a, b);
}
QUELL_ALWAYS_INLINE __m512 fma(__m512 a, __m512 b, __m512 c) {
    return _mm512_fmadd_ps(a, b, c);
}

QUELL_ALWAYS_INLINE __m512i products(__m512i a, __m512i b) {
    return _mm512_maddubs_epi16(a, b);
}
QUELL_ALWAYS_INLINE __m512i add_pairs(__m512i a, __m512i b) {
    return _mm512_add_epi16(a, b);
}
QUELL_ALWAYS_INLINE __m512i add_widened(__m512i sum, __m512i pairs) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

#include "roofline_chains.inc"
#include "roofline_loops.inc"

constexpr loop_table loops = {read, multiply<1>, multiply<8>, multiply_floats};

}  // namespace avx512
}  // namespace
}  // namespace bench
QUELL_TARGET_END

QUELL_TARGET_BEGIN("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace bench {
namespace {
namespace avx512vnni {

#include "roofline_chains.inc"

inline double multiply(std::size_t steps) {
    __m512i a = {};
    keep(a);
    return 128.0 * in_chains<12, __m512i>(steps, [&](__m512i sum) { return _mm512_dpbusd_epi32(sum, a, a); });
}

constexpr loop_table loops = {avx512::read, multiply, multiply, avx512::multiply_floats};

}  // namespace avx512vnni
}  // namespace
}  // namespace bench
QUELL_TARGET_END

QUELL_TARGET_BEGIN("amx-tile,amx-int8")
namespace bench {
namespace {
namespace amx {

/// Two tiles of activations times two of weights: 16 x 16 sums of 64 products in each of the four.
inline double multiply(std::size_t steps) {
    const quell::kernels::amx::tile_config config(32, 64);
    _tile_loadconfig(&config);  // leaves all tiles at zero
    for (std::size_t i = 0; i < steps; ++i) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_release();
    return 4.0 * 2.0 * 16 * 16 * 64 * static_cast<double>(steps);
}

constexpr loop_table loops = {avx512::read, multiply, multiply, avx512::multiply_floats};

}  // namespace amx
}  // namespace
}  // namespace bench
QUELL_TARGET_END
QUELL_AVX512_END
#endif

namespace bench {
namespace {

using quell::kernels::isa;

const loop_table& loops_of(isa level) {
    switch (level) {
#if QUELL_ARCH_X86_64
        case isa::avx2: return avx2::loops;
        case isa::avxvnni: return avxvnni::loops;
        case isa::avx512: return avx512::loops;
        case isa::avx512vnni: return avx512vnni::loops;
        case isa::amx: return amx::loops;
#endif
        default: return scalar::loops;
    }
}

/// The most that work(thread) did in a second, of all threads together, over many windows.
template <typename Work>
double best_rate(const quell::executor& threads, double seconds, Work work) {
    const std::size_t count = threads.concurrency();
    const stopwatch whole;
    double best = 0;
    for (int window = 0; window < 3 || whole.wall_seconds() < seconds; ++window) {
        std::vector<double> done(count);
        const stopwatch watch;
        threads.parallel_for(count, [&](std::size_t t) { done[t] = work(t); });
        best = std::max(best, std::accumulate(done.begin(), done.end(), 0.0) / watch.seconds(count));
    }
    return best;
}

double product_rate(double (*loop)(std::size_t), const quell::executor& threads, double seconds) {
    constexpr double window_seconds = 1e-3;
    std::size_t steps = 1;
    for (double taken = 0; taken < window_seconds; steps *= 2) {
        const stopwatch watch;
        loop(steps);
        taken = watch.seconds(1);
    }
    return best_rate(threads, seconds, [&](std::size_t) { return loop(steps); }) / 1e9;
}

double read_rate(const loop_table& loops, const quell::executor& threads, double seconds) {
    constexpr std::size_t bytes = std::size_t{512} << 20U;
    constexpr std::size_t piece = std::size_t{32} << 20U;
    quell::buffer<std::byte> memory(bytes);
    std::fill(memory.begin(), memory.end(), std::byte{1});  // untouched, all of it would be one page of zeros
    const std::size_t share = bytes / threads.concurrency() / piece * piece;
    std::vector<std::size_t> at(threads.concurrency());
    return best_rate(threads, seconds,
                     [&](std::size_t t) {
                         loops.read(memory.data() + t * share + at[t], piece);
                         at[t] = (at[t] + piece) % share;
                         return static_cast<double>(piece);
                     }) /
           1e9;
}

}  // namespace

limits measure_limits(isa level, const quell::executor& threads, double seconds) {
    const loop_table& loops = loops_of(level);
    return {read_rate(loops, threads, seconds), product_rate(loops.multiply_w8, threads, seconds),
            product_rate(loops.multiply_narrow, threads, seconds),
            product_rate(loops.multiply_floats, threads, seconds)};
}

}  // namespace bench
