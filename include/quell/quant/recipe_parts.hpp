// SPDX-License-Identifier: MIT
/// @file
/// What recipes are made of: forms of weights and activations, and steps that take a recipe and return it with more.
#pragma once

#include "quell/core/scheme.hpp"
#include "quell/core/target.hpp"
#include "quell/quant/activation_scheme.hpp"
#include "quell/quant/any_quantizer.hpp"
#include "quell/quant/recipe.hpp"
#include "quell/quant/recipe_options.hpp"
#include "quell/quant/tuning_rule.hpp"

#include <cstddef>
#include <utility>

namespace quell::quant {
inline namespace QUELL_BASELINE {
namespace detail {

inline constexpr scheme int8_rows{.bits = 8, .reach = granularity::channel};
inline constexpr scheme int4_rows{.bits = 4, .reach = granularity::channel};
inline constexpr activation_scheme int8_static{.reach = granularity::tensor};
inline constexpr activation_scheme int8_dynamic{.reach = granularity::tensor, .at_run_time = true};
inline constexpr activation_scheme int8_zeros{.zero_point = true};
inline constexpr activation_scheme int7_zeros{.bits = 7, .zero_point = true};
inline constexpr activation_scheme int4_tokens{.bits = 4, .clip = 0.9F};
inline constexpr activation_scheme int4_fitted{.bits = 4, .clip = 0.0F};
inline constexpr activation_scheme weight_only{.bits = 16};  ///< fine enough that the weights alone cost anything

constexpr scheme in_groups(int bits, std::size_t group, scale_type scales, code_set codes = code_set::symmetric,
                           zero_type zeros = zero_type::none) {
    return {
        .bits = bits, .codes = codes, .reach = granularity::group, .group = group, .scales = scales, .zeros = zeros};
}

constexpr scheme int4_groups(std::size_t group, scale_type scales) {
    return in_groups(4, group, scales);
}

inline recipe plain(const scheme& weights, const activation_scheme& activations) {
    return {.name = {},
            .weights = weights,
            .activations = activations,
            .solver = {rounding::rtn{rounding::no_clip_search}}};
}

inline recipe searched(const scheme& weights, const activation_scheme& activations) {
    return {.name = {}, .weights = weights, .activations = activations, .solver = {rounding::rtn{}}};
}

inline recipe with_gptq(recipe base) {
    base.solver = {rounding::gptq{.hessian = {.order = rounding::column_order::activation}, .static_groups = true}};
    return base;
}

inline constexpr float usual_alpha = 0.5F;
inline constexpr float coarse_alpha = 0.65F;  ///< at 4 bits; SmolLM2, 16,384 tokens: a divergence of 4.94, 5.15 at 0.5

/// By one alpha, or by the best of some scales for each input, where layer errors tell them apart: with scales of
/// tokens, at 8 bits. At 4 they are all near 1, and o and down need the scale most.
inline recipe smoothed(recipe base, const recipe_options& o) {
    const bool is_coarse = base.activations.bits == 4;
    if (o.alpha || is_coarse || base.activations.reach != granularity::token) {
        base.transforms = {{{{smooth{.alpha = o.alpha.value_or(is_coarse ? coarse_alpha : usual_alpha)}}},
                            is_coarse ? input_choice::all : input_choice::norm_fed}};
        return base;
    }
    base.transforms = {{{{balance{}},
                         {balance{.alpha = 0.4F}},
                         {balance{.alpha = 0.6F}},
                         {smooth{}},
                         {smooth{.alpha = 0.7F}},
                         {smooth{.alpha = 0.85F}},
                         {no_transform{}}},
                        input_choice::all}};
    return base;
}

inline recipe rotated(recipe base, const recipe_options& o) {
    base.rotates_stream = true;
    base.transforms = {{{{rotate{.reach = o.reach}}}, input_choice::all}};
    return base;
}

inline recipe smoothed_and_rotated(recipe base, const recipe_options& o) {
    base = rotated(std::move(base), o);
    base.transforms.insert(
        base.transforms.begin(),
        {{{smooth_rotate{.alpha = o.alpha.value_or(usual_alpha), .reach = o.reach}}}, input_choice::product_fed});
    return base;
}

/// Scaled and rotated everywhere, the scales by energy, which massive tokens cannot rule.
inline recipe hybrid(recipe base, const recipe_options& o) {
    base.transforms = {
        {{{balance_rotate{.alpha = o.alpha.value_or(usual_alpha), .reach = o.reach}}}, input_choice::all}};
    return base;
}

/// QUAD: the leading directions of the stream in float, the rest rotated; scaled and rotated behind no norm.
inline recipe split(recipe base, const recipe_options& o) {
    base = hybrid(std::move(base), o);
    base.rotates_stream = true;
    base.split_rank = o.rank;
    return base;
}

inline recipe with_writers_at_8_bits(recipe base) {
    base.writer_activations = activation_scheme{};
    return base;
}

inline recipe quad_w4a4(const recipe_options& o) {
    return with_gptq(split(searched(int4_rows, int4_fitted), o));
}

inline recipe quad_w4a4a8(const recipe_options& o) {
    return with_writers_at_8_bits(quad_w4a4(o));
}

/// What learns from the calibration text after rounding: QUAD's second half, or the codes too. apply() leaves that to
/// who can run the model backward.
inline recipe tuned(recipe base, const tuning_rule& rule = default_tuning) {
    base.tuning = rule;
    return base;
}

/// The best of none, smooth, rotate and both, with the scales of the paper and with ours.
inline recipe chosen(recipe base, const recipe_options& o) {
    const float alpha = o.alpha.value_or(usual_alpha);
    base.transforms = {{{{balance_rotate{.reach = o.reach}},
                         {balance_rotate{.alpha = 0.4F, .reach = o.reach}},
                         {balance_rotate{.alpha = 0.6F, .reach = o.reach}},
                         {smooth_rotate{.alpha = alpha, .reach = o.reach}},
                         {rotate{.reach = o.reach}},
                         {smooth{.alpha = alpha}},
                         {no_transform{}}},
                        input_choice::all}};
    return base;
}

/// Signs in groups, with the mean of each.
constexpr scheme binary_groups(std::size_t group) {
    return in_groups(1, group, scale_type::f16, code_set::sign_mean, zero_type::real);
}

/// One bit for four fifths of the input channels, four bits for the others.
inline recipe squeezed(std::size_t group = 64) {
    return {.name = {}, .weights = binary_groups(group), .activations = {}, .solver = {rounding::staged{}}};
}

/// What no kernel runs: the weight in float, with the values that its codes have.
inline recipe simulated_binary(const any_solver& solver, std::size_t group) {
    return {.name = {}, .weights = binary_groups(group), .activations = {.bits = 32}, .solver = solver};
}

/// QFeM.
inline recipe exempting(recipe base) {
    base.exempts_spikes = true;
    return base;
}

/// QFeP.
inline recipe prefixed(recipe base) {
    base.finds_prefix = true;
    return base;
}

/// Codes in groups with an f16 scale and an integer zero.
constexpr scheme zero_groups(int bits, std::size_t group) {
    return in_groups(bits, group, scale_type::f16, code_set::zero_point, zero_type::integer);
}

/// Codes in groups with one f16 scale; below 4 bits, where symmetric codes waste the most, with an integer zero too.
constexpr scheme plain_groups(int bits, std::size_t group) {
    return bits < 4 ? zero_groups(bits, group) : in_groups(bits, group, scale_type::f16);
}

/// Codes in groups with a scale and a real zero, 8 bits each.
constexpr scheme real_groups(int bits, std::size_t group) {
    return in_groups(bits, group, scale_type::codes8, code_set::zero_point, zero_type::real);
}

/// The best of AWQ's exponents for each input: 0, 0.05, ... 0.95.
inline recipe with_activation_scales(recipe base) {
    base.transforms = {{}};
    for (int i = 0; i < 20; ++i) {
        base.transforms.front().transforms.push_back({activation_scale{.alpha = static_cast<float>(i) / 20.0F}});
    }
    return base;
}

/// Scale and zero of every group fitted with what an error in a column costs after the open columns made up for it.
inline rounding::gptq fitted_gptq() {
    return {.weighting = rounding::clip_weighting::schur,
            .hessian = {.order = rounding::column_order::activation},
            .static_groups = true};
}

inline recipe solved_by(const scheme& weights, const any_solver& solver) {
    return {.name = {}, .weights = weights, .solver = solver};
}

}  // namespace detail

/// The form of a rung: that of HQQ.
[[nodiscard]] constexpr scheme ladder_form(const alloc::rung& r) {
    return detail::real_groups(r.bits, r.group);
}

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
