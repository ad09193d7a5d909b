// SPDX-License-Identifier: MIT
/// @file
/// The concept of all rounders, and what every one of them checks first.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/result.hpp"
#include "quell/core/split_quantized.hpp"
#include "quell/core/storage.hpp"
#include "quell/core/views.hpp"
#include "quell/stats/finite.hpp"

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// How much an error in each input channel costs, such as the mean of x_j^2; empty where nothing is known.
using column_weights = std::span<const float>;

class factor_memo;

/// What is known of the rows x that a weight will be multiplied with. Every solver takes from it what it can use.
///
/// Shapes   importance [in]; gram [in, in], symmetric: the sum over tokens of x^T x; each empty where it is not known.
struct input_knowledge {
    column_weights importance = {};
    matrix_view<const double> gram = {};
    std::uint64_t tokens = 0;     ///< that gram is a sum over
    factor_memo* memo = nullptr;  ///< of factors of gram, for who rounds more than once behind one input
};

/// `solve` turns W [out, in] into codes of the asked form. The result does not depend on the executor.
template <typename S>
concept solver = std::copyable<S> && std::default_initializable<S> &&
    requires(const S& s, matrix_view<const float> w, const scheme& form, const input_knowledge& known,
             const executor& threads) {
    { s.solve(w, form, known, threads) } -> std::same_as<result<quantized>>;
};

/// A weight in a form that no kernel has, such as one with a mask for every single weight: its values in float, and
/// what a file would store of it.
struct simulated {
    matrix<float> values;
    storage_bits stored;
};

/// Solvers of two forms: some columns get one, the others another.
template <typename S>
concept split_solver = std::copyable<S> && std::default_initializable<S> &&
    requires(const S& s, matrix_view<const float> w, const scheme& form, const input_knowledge& known,
             const executor& threads) {
    { s.solve_split(w, form, known, threads) } -> std::same_as<result<split_quantized>>;
};

/// Solvers whose result can only be simulated: to compare with.
template <typename S>
concept simulating_solver = std::copyable<S> && std::default_initializable<S> &&
    requires(const S& s, matrix_view<const float> w, const scheme& form, const input_knowledge& known,
             const executor& threads) {
    { s.simulate(w, form, known, threads) } -> std::same_as<result<simulated>>;
};

/// Whether a solver cannot work without input_knowledge::gram; such a one says so by a member of this name.
template <typename S>
[[nodiscard]] constexpr bool needs_gram(const S& s) {
    if constexpr (requires { s.needs_gram(); }) {
        return s.needs_gram();
    } else {
        return false;
    }
}

/// Whether a solver cannot work without input_knowledge::importance, said in the same way.
template <typename S>
[[nodiscard]] constexpr bool needs_importance(const S& s) {
    if constexpr (requires { s.needs_importance(); }) {
        return s.needs_importance();
    } else {
        return false;
    }
}

/// Scales per channel or group.
///
/// Errors   errc::unsupported or errc::bad_shape, naming what does not fit.
[[nodiscard]] inline result<void> check_reach(const scheme& form) {
    if (form.reach != granularity::channel && form.reach != granularity::group) {
        return error{errc::unsupported, "the scales of a weight reach over a channel or a group"};
    }
    if (form.reach == granularity::group && form.group == 0) {
        return error{errc::bad_shape, "a group of 0 weights"};
    }
    return {};
}

/// Scales that are stored as floats of some width, each by itself.
///
/// Errors   errc::unsupported.
[[nodiscard]] inline result<void> check_plain_scales(const scheme& form) {
    if (form.scales == scale_type::codes8) {
        return error{errc::unsupported, "two-level scales; f32, f16 and bf16 are possible"};
    }
    return {};
}

/// 2 to 8 bits, per channel or group.
///
/// Errors   errc::unsupported or errc::bad_shape, naming what does not fit.
[[nodiscard]] inline result<void> check_codes(const scheme& form) {
    if (form.bits < 2 || form.bits > 8) {
        return error{errc::unsupported, std::to_string(form.bits) + "-bit integer codes; 2 to 8 bits are possible"};
    }
    return check_reach(form);
}

/// Integers of 2 to 8 bits, per channel or group, with a scale that is a plain float of some width.
///
/// Errors   errc::unsupported or errc::bad_shape, naming what does not fit.
[[nodiscard]] inline result<void> check_integer_form(const scheme& form) {
    const bool symmetric = form.codes == code_set::symmetric && form.zeros == zero_type::none;
    const bool with_zero = form.codes == code_set::zero_point && form.zeros == zero_type::integer;
    if (!symmetric && !with_zero) {
        return error{errc::unsupported, "integer rounding takes symmetric codes or codes with an integer zero"};
    }
    QUELL_TRY_VOID(check_plain_scales(form));
    return check_codes(form);
}

/// Errors   errc::bad_shape, errc::bad_value.
[[nodiscard]] inline result<void> check_importance(column_weights importance, std::size_t in_features) {
    if (!importance.empty() && importance.size() != in_features) {
        return error{errc::bad_shape, std::to_string(importance.size()) + " column weights for " +
                                          std::to_string(in_features) + " columns"};
    }
    for (std::size_t j = 0; j < importance.size(); ++j) {
        if (!(importance[j] >= 0.0F) || std::isinf(importance[j])) {
            return error{errc::bad_value,
                         "the weight of column " + std::to_string(j) + " is negative or not a finite number"};
        }
    }
    return {};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
