// SPDX-License-Identifier: MIT
/// @file
/// The place of a linear in the one block through which all layers of a tuned model run, one after the other. It meets
/// `linear_module`.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/quant/forward.hpp"
#include "quell/tuning/tunable_codes.hpp"
#include "quell/tuning/tunable_linear.hpp"
#include "quell/tuning/tunable_split.hpp"
#include "toy/parameters.hpp"
#include "toy/product.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <variant>

namespace toy {

/// A linear with a part that is tuned, or one that stays as it is.
using tuned_site =
    std::variant<quell::tuning::tunable_linear, quell::tuning::tunable_split, quell::tuning::tunable_codes,
                 quell::tuning::tunable_split_codes, const quell::quant::linear*>;

template <typename F>
void for_each_parameter_of(tuned_site& site, F f) {
    std::visit(
        [&](auto& s) {
            if constexpr (requires { s.for_each_parameter(f); }) {
                s.for_each_parameter(f);
            }
        },
        site);
}

class linear_slot {
public:
    linear_slot(std::string name, quell::tuning::linear_scratch& scratch)
        : name_(std::move(name)), scratch_(&scratch) {}

    /// What runs here from now on; it must stay where it is.
    void bind(tuned_site& site) { site_ = &site; }

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] quell::matrix_view<const float> input() const { return x_; }

    void forward(quell::matrix_view<const float> x, quell::matrix_view<float> y, const quell::executor& threads) {
        x_ = x;
        std::visit([&](auto& site) { run(site, y, threads); }, *site_);
    }

    /// dx += dy W, and the gradients of what is tuned.
    void backward(quell::matrix_view<const float> dy, quell::matrix_view<float> dx, const quell::executor& threads) {
        std::visit([&](auto& site) { run_back(site, dy, dx, threads); }, *site_);
    }

    template <typename F>
    void for_each_parameter(F f) {
        for_each_parameter_of(*site_, f);
    }

private:
    using resizable = quell::tuning::linear_scratch;

    template <typename Tunable>
    void run(Tunable& site, quell::matrix_view<float> y, const quell::executor& threads) {
        resizable::resize(integer_part_, y.rows(), site.kept_features());
        site.forward(x_, integer_part_.view(), y, *scratch_, threads);
    }
    void run(const quell::quant::linear*& site, quell::matrix_view<float> y, const quell::executor& threads) {
        scratch_->reserve(quell::quant::workspace_bytes(*site, x_.rows()));
        quell::quant::forward(*site, x_, y, scratch_->workspace, threads);
    }

    template <typename Tunable>
    void run_back(Tunable& site, quell::matrix_view<const float> dy, quell::matrix_view<float> dx,
                  const quell::executor& threads) {
        site.backward(x_, integer_part_.view(), dy, dx, *scratch_, threads);
    }
    void run_back(const quell::quant::linear*& site, quell::matrix_view<const float> dy, quell::matrix_view<float> dx,
                  const quell::executor& threads) {
        const quell::matrix<float> weight = quell::quant::weight(*site);
        scratch_->operand.pack(weight.view());
        multiply(dy, scratch_->operand, dx, into::add, threads);
    }

    std::string name_;
    quell::tuning::linear_scratch* scratch_;
    tuned_site* site_ = nullptr;
    quell::matrix_view<const float> x_;
    quell::matrix<float> integer_part_;  ///< of a tuned linear: what its backward pass wants to see again
};

}  // namespace toy
