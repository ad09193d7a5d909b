// SPDX-License-Identifier: MIT
/// @file
/// The run-time edge: policies chosen by name. Each slot that varies is a variant of all its policies and fulfils the
/// contract of the slot itself, so that `any_quantizer` is one more `quantizer` and the pipeline is compiled once. A
/// new policy is one entry in one of the lists below.
#pragma once

#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/concepts.hpp"
#include "quell/quant/policies.hpp"
#include "quell/quant/quantizer.hpp"
#include "quell/quant/rounded_weight.hpp"
#include "quell/rounding/awq.hpp"
#include "quell/rounding/billm.hpp"
#include "quell/rounding/binary.hpp"
#include "quell/rounding/gptq.hpp"
#include "quell/rounding/hqq.hpp"
#include "quell/rounding/imatrix.hpp"
#include "quell/rounding/masked_binary.hpp"
#include "quell/rounding/rtn.hpp"
#include "quell/rounding/staged.hpp"
#include "quell/stats/absmax.hpp"
#include "quell/stats/channel_magnitude.hpp"
#include "quell/stats/token_energy.hpp"

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// Several collectors fed by one pass; only those selected see the data.
template <collector... Collectors>
class collector_set {
public:
    template <typename C>
    void select() {
        if constexpr (!std::is_same_v<C, no_stats>) {
            auto& slot = std::get<std::optional<C>>(collectors_);
            slot = slot.value_or(C{});
        }
    }
    [[nodiscard]] bool any_selected() const {
        return std::apply([](const auto&... c) { return (c.has_value() || ...); }, collectors_);
    }

    void add(matrix_view<const float> x) {
        std::apply([&](auto&... c) { ((c ? c->add(x) : void()), ...); }, collectors_);
        count_ += x.rows();
    }
    void merge(const collector_set& other) {
        ((merge_one<Collectors>(other)), ...);
        count_ += other.count_;
    }
    [[nodiscard]] std::uint64_t count() const { return count_; }

    /// nullptr where it was not selected.
    template <typename C>
    requires(std::same_as<C, Collectors> || ...) [[nodiscard]] const C* find() const {
        const auto& slot = std::get<std::optional<C>>(collectors_);
        return slot ? &*slot : nullptr;
    }
    /// The statistics of one collector; it must have been selected.
    template <typename C>
    [[nodiscard]] const C& get() const {
        if constexpr (std::is_same_v<C, no_stats>) {
            static constexpr no_stats nothing;
            return nothing;
        } else {
            QUELL_EXPECTS(std::get<std::optional<C>>(collectors_).has_value(), "a collector that was selected");
            return *std::get<std::optional<C>>(collectors_);
        }
    }

private:
    template <typename C>
    void merge_one(const collector_set& other) {
        auto& mine = std::get<std::optional<C>>(collectors_);
        if (const auto& theirs = std::get<std::optional<C>>(other.collectors_); mine && theirs) {
            mine->merge(*theirs);
        }
    }

    std::tuple<std::optional<Collectors>...> collectors_;
    std::uint64_t count_ = 0;
};

/// Every collector that a policy below asks for.
using any_stats = collector_set<stats::absmax, stats::token_energy, stats::channel_magnitude>;

namespace detail {

/// The word for a policy in plans and reports.
template <typename... Policies>
[[nodiscard]] std::string_view name_of(const std::variant<Policies...>& chosen) {
    return std::visit([](const auto& p) { return p.name; }, chosen);
}

}  // namespace detail

struct any_transform {
    std::variant<no_transform, smooth, rotate, smooth_rotate, balance, balance_rotate, activation_scale> policy;

    [[nodiscard]] std::string_view name() const { return detail::name_of(policy); }
    /// Whether the change has divisors, and whether it has a rotation.
    [[nodiscard]] bool scales() const { return needs_statistics(); }
    [[nodiscard]] bool rotates() const {
        return std::visit(
            [](const auto& p) {
                return requires {
                    p.reach;
                };
            },
            policy);
    }
    /// Switches on the collectors that the policy reads.
    void select(any_stats& stats) const {
        std::visit([&](const auto& p) { stats.select<typename std::decay_t<decltype(p)>::statistics>(); }, policy);
    }
    [[nodiscard]] bool needs_statistics() const {
        any_stats stats;
        select(stats);
        return stats.any_selected();
    }

    [[nodiscard]] input_change prepare(const any_stats& seen, const channel_set& channels, weight_views weights) const {
        return std::visit(
            [&](const auto& p) {
                return p.prepare(seen.get<typename std::decay_t<decltype(p)>::statistics>(), channels, weights);
            },
            policy);
    }
};

/// Switches on the collectors that a transform and an activation scheme read.
inline void select_collectors(any_stats& seen, const any_transform& transform, const activation_scheme& activations) {
    transform.select(seen);
    if (activations.needs_scale()) {
        seen.select<stats::absmax>();
    }
}

struct any_solver {
    std::variant<rounding::rtn, rounding::gptq, rounding::hqq, rounding::awq, rounding::imatrix, rounding::binary,
                 rounding::staged, rounding::masked_binary, rounding::billm>
        policy;

    [[nodiscard]] std::string_view name() const { return detail::name_of(policy); }
    [[nodiscard]] bool needs_gram() const {
        return std::visit([](const auto& p) { return rounding::needs_gram(p); }, policy);
    }
    [[nodiscard]] bool needs_importance() const {
        return std::visit([](const auto& p) { return rounding::needs_importance(p); }, policy);
    }
    [[nodiscard]] bool needs_calibration() const { return needs_gram() || needs_importance(); }
    /// Switches on the collectors that the policy reads; by the maxima what is not finite is found.
    void select(any_stats& seen) const {
        if (needs_importance()) {
            seen.select<stats::channel_magnitude>();
            seen.select<stats::absmax>();
        }
    }

    [[nodiscard]] result<quantized> solve(matrix_view<const float> w, const scheme& form,
                                          const rounding::input_knowledge& known, const executor& threads) const {
        return std::visit(
            [&](const auto& p) -> result<quantized> {
                if constexpr (rounding::solver<std::decay_t<decltype(p)>>) {
                    return p.solve(w, form, known, threads);
                } else {
                    return error{errc::unsupported,
                                 "codes of one form cannot hold what " + std::string(name()) + " makes of a weight"};
                }
            },
            policy);
    }

    /// Whatever the policy makes of a weight.
    [[nodiscard]] result<rounded_weight> round(matrix_view<const float> w, const scheme& form,
                                               const rounding::input_knowledge& known, const executor& threads) const {
        return std::visit(
            [&](const auto& p) -> result<rounded_weight> {
                using solver = std::decay_t<decltype(p)>;
                if constexpr (rounding::split_solver<solver>) {
                    QUELL_TRY(split_quantized q, p.solve_split(w, form, known, threads));
                    return rounded_weight(std::move(q));
                } else if constexpr (rounding::simulating_solver<solver>) {
                    QUELL_TRY(rounding::simulated s, p.simulate(w, form, known, threads));
                    return rounded_weight(std::move(s));
                } else {
                    QUELL_TRY(quantized q, p.solve(w, form, known, threads));
                    return rounded_weight(std::move(q));
                }
            },
            policy);
    }
    /// Whether only floats can run the result.
    [[nodiscard]] bool simulates() const {
        return std::visit([](const auto& p) { return rounding::simulating_solver<std::decay_t<decltype(p)>>; }, policy);
    }
};

/// `any_quantizer<>` ends in packed panels, `any_quantizer<no_layout>` in plain codes.
template <layout Layout = panels>
using any_quantizer = quantizer<any_stats, no_detector, any_transform, any_solver, Layout>;

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
