// SPDX-License-Identifier: MIT
/// @file
/// How a recipe spreads bits over the linears of a model, by its name: the knapsack of MXQ, the boosts of SensiBoost
/// and KurtBoost, and quell's own choice under a budget for the whole model.
#pragma once

#include "quell/alloc/boost_ladder.hpp"
#include "quell/core/target.hpp"

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace quell::quant {
inline namespace QUELL_BASELINE {

enum class allocation_goal : std::uint8_t {
    weight_errors,      ///< MXQ: the least sum of |W - W^|, every linear alike
    boost_sensitive,    ///< SensiBoost: some steps up the ladder for layers whose output is sensitive
    boost_heavy_tails,  ///< KurtBoost: for layers whose weights have outliers
    boost_random,       ///< as many layers as SensiBoost would take, drawn from those that neither would: a control
    whole_model,        ///< the least divergence of the whole model, within a budget for all of its bytes
};

struct allocation_rule {
    allocation_goal goal = allocation_goal::weight_errors;
    double bits = 0.0;       ///< the budget: of the quantized linears, of a whole model per parameter of it
    std::size_t base = 0;    ///< of a boost: where on alloc::boost_ladder all other layers stand
    std::size_t stop = 0;    ///< steps up for those that stand out
    std::size_t most = 0;    ///< so many layers of each module at most; 0: all that stand out
    std::uint64_t seed = 0;  ///< of the random draw

    [[nodiscard]] bool boosts() const {
        return goal != allocation_goal::weight_errors && goal != allocation_goal::whole_model;
    }
    /// Whether it looks at more than the weights.
    [[nodiscard]] bool needs_calibration() const {
        return goal != allocation_goal::weight_errors && goal != allocation_goal::boost_heavy_tails;
    }

    friend bool operator==(const allocation_rule&, const allocation_rule&) = default;
};

namespace detail {

/// Reads a name from left to right.
class name_reader {
public:
    explicit name_reader(std::string_view text) : rest_(text) {}

    [[nodiscard]] bool take(std::string_view word) {
        const bool is_there = rest_.starts_with(word);
        rest_.remove_prefix(is_there ? word.size() : 0);
        return is_there;
    }
    /// What stands before the next dash.
    [[nodiscard]] std::string_view part() {
        const std::string_view found = rest_.substr(0, rest_.find('-'));
        rest_.remove_prefix(found.size());
        return found;
    }
    /// A number in plain decimal digits, perhaps with a point where T has one.
    template <typename T>
    [[nodiscard]] std::optional<T> number() {
        const std::string_view text = part();
        T value{};
        const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool is_plain = text.find_first_not_of("0123456789.") == std::string_view::npos;
        return status == std::errc() && end == text.data() + text.size() && is_plain ? std::optional(value)
                                                                                     : std::nullopt;
    }
    [[nodiscard]] bool at_end() const { return rest_.empty(); }

private:
    std::string_view rest_;
};

[[nodiscard]] inline std::optional<allocation_rule> budget_named(name_reader name, allocation_goal goal) {
    const auto bits = name.number<double>();
    if (!bits || !name.at_end() || !(*bits >= 1.0 && *bits <= 32.0)) {
        return std::nullopt;
    }
    return allocation_rule{.goal = goal, .bits = *bits};
}

[[nodiscard]] inline std::optional<allocation_rule> boost_named(name_reader name, allocation_goal goal) {
    const auto base = alloc::rung_named(name.part());
    const auto stop = name.take("-s") ? name.number<std::size_t>() : std::nullopt;
    const auto most = name.take("-m") ? name.number<std::size_t>() : std::nullopt;
    const bool is_random = goal == allocation_goal::boost_random;
    const auto seed = is_random && name.take("-r") ? name.number<std::size_t>() : std::nullopt;
    if (!base || !stop || !most || is_random != seed.has_value() || !name.at_end()) {
        return std::nullopt;
    }
    return allocation_rule{.goal = goal, .base = *base, .stop = *stop, .most = *most, .seed = seed.value_or(0)};
}

}  // namespace detail

/// "mxq-<bits>", "auto-<bits>", "sensiboost-<base>-s<steps>-m<layers>", "kurtboost-..." and
/// "randomboost-...-r<seed>", where the base is a label of alloc::boost_ladder; otherwise nothing.
[[nodiscard]] inline std::optional<allocation_rule> allocation_named(std::string_view text) {
    detail::name_reader name(text);
    if (name.take("mxq-")) {
        return detail::budget_named(name, allocation_goal::weight_errors);
    }
    if (name.take("auto-")) {
        return detail::budget_named(name, allocation_goal::whole_model);
    }
    if (name.take("sensiboost-")) {
        return detail::boost_named(name, allocation_goal::boost_sensitive);
    }
    if (name.take("kurtboost-")) {
        return detail::boost_named(name, allocation_goal::boost_heavy_tails);
    }
    return name.take("randomboost-") ? detail::boost_named(name, allocation_goal::boost_random) : std::nullopt;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
