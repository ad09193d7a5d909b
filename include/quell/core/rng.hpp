// SPDX-License-Identifier: MIT
/// @file
/// A counter-based generator: number i of a stream is a hash of (seed, i), so that any part of a stream can be made by
/// any thread. The integers and uniforms have the same bits on every platform; normals also depend on libm.
/// Source: the SplitMix64 finalizer (Steele, Lea, Flood 2014).
#pragma once

#include "quell/core/target.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

namespace quell {
inline namespace QUELL_BASELINE {

class rng {
public:
    using result_type = std::uint64_t;

    explicit rng(std::uint64_t seed, std::uint64_t stream = 0) : key_(mix(seed + mix(stream + golden))) {}

    static constexpr result_type min() { return 0; }
    static constexpr result_type max() { return ~result_type{0}; }
    std::uint64_t operator()() { return mix(key_ + golden * ++counter_); }

    /// Uniform in [0, 1), 53 random bits.
    double uniform() { return static_cast<double>((*this)() >> 11U) * 0x1p-53; }
    double uniform(double low, double high) { return low + (high - low) * uniform(); }

    /// Uniform in 0 ... n - 1; n > 0. The bias is below n / 2^64.
    std::size_t below(std::size_t n) { return static_cast<std::size_t>((*this)() % n); }

    /// Normal with mean 0 and variance 1 (Box and Muller).
    double normal() {
        const double radius = std::sqrt(-2.0 * std::log1p(-uniform()));
        return radius * std::cos(2.0 * std::numbers::pi * uniform());
    }

private:
    static constexpr std::uint64_t golden = 0x9e3779b97f4a7c15U;

    static constexpr std::uint64_t mix(std::uint64_t z) {
        z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31U);
    }

    std::uint64_t key_;
    std::uint64_t counter_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell
