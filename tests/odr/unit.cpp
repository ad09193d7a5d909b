// SPDX-License-Identifier: MIT
// Compiled twice into one program, with and without wider instructions; see CMakeLists.txt.
#include "quell/core/rng.hpp"
#include "quell/core/thread_pool.hpp"
#include "quell/layer.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <utility>

namespace {

using rounder = quell::quant::quantizer<quell::quant::no_stats, quell::quant::no_detector, quell::quant::no_transform,
                                        quell::rounding::rtn, quell::quant::panels>;

constexpr std::array<quell::scheme, 3> forms{
    quell::packing::float_form, quell::scheme{.bits = 8, .reach = quell::granularity::channel},
    quell::scheme{.bits = 4, .reach = quell::granularity::group, .group = 32, .scales = quell::scale_type::f16}};

quell::result<quell::quant::linear> make_linear(const quell::scheme& form, quell::matrix_view<const float> w,
                                                quell::executor threads) {
    if (form.bits == 32) {
        return quell::quant::linear(quell::quant::float_linear(w, {}, threads));
    }
    QUELL_TRY(auto layer, quell::quant::make_linear(rounder{}, {form, {}}, w, {}, {}, threads));
    return quell::quant::linear(std::move(layer));
}

quell::matrix<float> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    quell::matrix<float> m(rows, cols);
    quell::rng random(seed);
    for (float& v : m.elements()) {
        v = static_cast<float>(random.uniform(-1.0, 1.0));
    }
    return m;
}

std::uint64_t hash_of(const quell::matrix<float>& m, std::uint64_t hash) {
    for (const float v : m.elements()) {
        hash = (hash ^ std::bit_cast<std::uint32_t>(v)) * 0x100000001b3U;
    }
    return hash;
}

}  // namespace

/// A hash of the bits of all outputs: quantize, pack, unpack and multiply in three forms. 0: something failed.
std::uint64_t ODR_FUNCTION() {
    quell::thread_pool pool(2);
    const quell::matrix<float> w = random_matrix(40, 200, 1);
    const quell::matrix<float> x = random_matrix(7, 200, 2);
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const quell::scheme& form : forms) {
        const auto layer = make_linear(form, w.view(), pool);
        if (!layer) {
            return 0;
        }
        quell::buffer<std::byte> workspace(quell::quant::workspace_bytes(*layer, x.rows()));
        quell::matrix<float> y(x.rows(), w.rows());
        quell::quant::forward(*layer, x.view(), y.view(), workspace, pool);
        hash = hash_of(y, hash_of(quell::quant::weight(*layer), hash));
    }
    return hash;
}
