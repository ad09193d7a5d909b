// SPDX-License-Identifier: MIT
/// @file
/// For every concept the least that fulfils it: what compiles with these uses nothing that the contract does not name.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/quant/concepts.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace archetypes {

struct executor {
    std::size_t concurrency() { return 1; }
    void parallel_for(std::size_t n, quell::index_function f) {
        for (std::size_t i = 0; i < n; ++i) {
            f(i);
        }
    }
};

struct collector {
    void add(quell::matrix_view<const float>) {}
    void merge(const collector&) {}
    std::uint64_t count() const { return 0; }
};

struct detector {
    quell::quant::channel_set detect(const collector&) const { return {}; }
};

struct transform {
    quell::quant::input_change prepare(const collector&, const quell::quant::channel_set&,
                                       quell::quant::weight_views) const {
        return {};
    }
};

struct solver {
    quell::result<quell::quantized> solve(quell::matrix_view<const float> w, const quell::scheme& form,
                                          const quell::rounding::input_knowledge&, const quell::executor&) const {
        return quell::make_quantized(form, w.rows(), w.cols());
    }
};

struct layout {
    struct packed {
        quell::quantized codes;
    };
    quell::result<packed> pack(quell::quantized&& q, const quell::executor&) const { return packed{std::move(q)}; }
};

static_assert(quell::parallel_executor<executor>);
static_assert(quell::quant::collector<collector>);
static_assert(quell::quant::detector<detector, collector>);
static_assert(quell::quant::transform<transform, collector>);
static_assert(quell::quant::solver<solver>);
static_assert(quell::quant::layout<layout>);

}  // namespace archetypes
