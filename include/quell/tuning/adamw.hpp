// SPDX-License-Identifier: MIT
/// @file
/// AdamW (Loshchilov and Hutter, arXiv 1711.05101). Everything runs over fixed blocks, so the threads change nothing.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/target.hpp"
#include "quell/tuning/gradient_clipping.hpp"
#include "quell/tuning/parameter.hpp"
#include "quell/tuning/product.hpp"

#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

struct adamw_options {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double eps = 1e-8;
    double weight_decay = 0.0;  ///< not for gains
};

/// Oracle   reference::adamw (tests/reference/adamw.hpp).
template <typename T>
class adamw {
public:
    /// The parameters must outlive the optimizer and stay where they are.
    explicit adamw(std::vector<parameter<T>*> trained, const adamw_options& options = {}) : options_(options) {
        for (parameter<T>* p : trained) {
            const std::size_t size = p->value.elements().size();
            slots_.push_back({.trained = p, .first = buffer<T>(size), .second = buffer<T>(size)});
        }
    }

    /// Takes one step along the gradients and clears them. `rate` counts in each parameter's own unit.
    void step(double rate, const executor& threads) {
        ++steps_;
        const auto steps = static_cast<double>(steps_);
        const double bias = 1.0 - std::pow(options_.beta1, steps);
        const T second_correction = static_cast<T>(1.0 / (1.0 - std::pow(options_.beta2, steps)));
        for (slot& s : slots_) {
            const double unit = static_cast<double>(s.trained->unit);
            const rates now{.rate = static_cast<T>(rate * unit / bias),
                            .second_correction = second_correction,
                            .decay = s.trained->is_gain ? T{0} : static_cast<T>(rate * options_.weight_decay)};
            for_row_blocks(s.first.size(), elements_per_task, threads,
                           [&](std::size_t begin, std::size_t end) { update(s, now, begin, end); });
        }
    }

    /// Steps taken, and a way to go on from a checkpoint.
    [[nodiscard]] std::size_t steps() const { return steps_; }
    void resume_at(std::size_t steps) { steps_ = steps; }

    /// f(parameter, first moments, second moments) for every parameter.
    template <typename F>
    void for_each_state(F f) {
        for (slot& s : slots_) {
            f(*s.trained, std::span<T>(s.first), std::span<T>(s.second));
        }
    }

private:
    struct slot {
        parameter<T>* trained;
        buffer<T> first;
        buffer<T> second;
    };
    struct rates {
        T rate;
        T second_correction;
        T decay;
    };

    void update(slot& s, const rates& now, std::size_t begin, std::size_t end) const {
        const T beta1 = static_cast<T>(options_.beta1);
        const T beta2 = static_cast<T>(options_.beta2);
        const T eps = static_cast<T>(options_.eps);
        T* value = s.trained->value.elements().data();
        T* gradient = s.trained->gradient.elements().data();
        T* first = s.first.data();
        T* second = s.second.data();
        for (std::size_t i = begin; i < end; ++i) {
            const T g = gradient[i];
            first[i] = beta1 * first[i] + (T{1} - beta1) * g;
            second[i] = beta2 * second[i] + (T{1} - beta2) * g * g;
            value[i] -=
                now.decay * value[i] + now.rate * first[i] / (std::sqrt(second[i] * now.second_correction) + eps);
            gradient[i] = T{0};
        }
    }

    adamw_options options_;
    std::vector<slot> slots_;
    std::size_t steps_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
