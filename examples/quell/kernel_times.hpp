// SPDX-License-Identifier: MIT
/// @file
/// How long a linear of a form takes for one token on this machine: what an allocation with a budget of time goes by.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/rng.hpp"
#include "quell/model/allocate_model.hpp"
#include "quell/packing/blob.hpp"
#include "quell/packing/pack.hpp"
#include "quell/quant/forward.hpp"
#include "quell/rounding/hqq.hpp"
#include "quell/rounding/rtn.hpp"
#include "speed.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace program {

/// Measures each form and shape once. The weights come from memory, as they do when a whole model runs: as many copies
/// take turns as no cache holds.
class kernel_times {
public:
    explicit kernel_times(const quell::executor& threads) : threads_(threads) {}

    quell::result<std::uint64_t> of(const quell::scheme& form, std::size_t out_features, std::size_t in_features) {
        const auto key = std::tuple(form.bits, form.group, out_features, in_features);
        const auto known = known_.find(key);
        if (known != known_.end()) {
            return known->second;
        }
        QUELL_TRY(const std::uint64_t measured, measure(form, out_features, in_features));
        known_.emplace(key, measured);
        return measured;
    }

private:
    static constexpr std::size_t beyond_caches = 64U << 20U;
    static constexpr int passes = 5;

    quell::result<std::uint64_t> measure(const quell::scheme& form, std::size_t out_features,
                                         std::size_t in_features) const {
        quell::matrix<float> w(out_features, in_features);
        quell::rng random(1);
        for (float& v : w.elements()) {
            v = static_cast<float>(random.below(4096)) - 2048.0F;
        }
        QUELL_TRY(const quell::quantized q, rounded(w.view(), form));
        QUELL_TRY(const quell::packing::packed_matrix packed, quell::packing::pack(q, threads_));
        std::vector<quell::buffer<std::byte>> blobs;
        std::vector<quell::quant::linear> copies;
        for (std::size_t held = 0; copies.empty() || held < beyond_caches; held += packed.blob().size()) {
            blobs.push_back(quell::buffer<std::byte>::copy_of(packed.blob()));
            QUELL_TRY(quell::packing::packed_matrix view, quell::packing::view_blob(blobs.back()));
            QUELL_TRY(quell::quant::quantized_linear layer,
                      quell::quant::quantized_linear::make(std::move(view), {}, {}, {}));
            copies.emplace_back(std::move(layer));
        }
        return time_of(copies, out_features, in_features);
    }

    [[nodiscard]] quell::result<quell::quantized> rounded(quell::matrix_view<const float> w,
                                                          const quell::scheme& form) const {
        return form.zeros == quell::zero_type::real
                   ? quell::rounding::hqq{.iterations = 1}.solve(w, form, {}, threads_)
                   : quell::rounding::rtn{quell::rounding::no_clip_search}.solve(w, form, {}, threads_);
    }

    [[nodiscard]] std::uint64_t time_of(const std::vector<quell::quant::linear>& copies, std::size_t out_features,
                                        std::size_t in_features) const {
        quell::matrix<float> x(1, in_features);
        std::fill(x.elements().begin(), x.elements().end(), 1.0F);
        quell::matrix<float> y(1, out_features);
        quell::buffer<std::byte> workspace(quell::quant::workspace_bytes(copies.front(), 1));
        std::vector<double> seconds;
        for (int pass = 0; pass < passes; ++pass) {
            const stopwatch watch;
            for (const quell::quant::linear& layer : copies) {
                quell::quant::forward(layer, x.view(), y.view(), workspace, threads_);
            }
            seconds.push_back(watch.seconds() / static_cast<double>(copies.size()));
        }
        return static_cast<std::uint64_t>(1e9 * median(std::move(seconds)));
    }

    quell::executor threads_;
    std::map<std::tuple<int, std::size_t, std::size_t, std::size_t>, std::uint64_t> known_;
};

}  // namespace program
