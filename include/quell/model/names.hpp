// SPDX-License-Identifier: MIT
/// @file
/// The words that plans and packed files use for the enumerations of transforms, rounding and plans.
#pragma once

#include "quell/core/target.hpp"
#include "quell/model/plan.hpp"
#include "quell/report/names.hpp"
#include "quell/rounding/clip_search.hpp"
#include "quell/rounding/gptq.hpp"
#include "quell/rounding/salience.hpp"
#include "quell/rounding/staged.hpp"
#include "quell/transforms/hadamard.hpp"

#include <array>

namespace quell::report {
inline namespace QUELL_BASELINE {

template <>
inline constexpr std::array words_of<model::scale_target>{
    named<model::scale_target>{model::scale_target::none, "none"},
    named<model::scale_target>{model::scale_target::gain, "gain"},
    named<model::scale_target>{model::scale_target::producer, "producer"},
    named<model::scale_target>{model::scale_target::stream, "stream"},
    named<model::scale_target>{model::scale_target::online, "online"}};

template <>
inline constexpr std::array words_of<model::stream_basis>{
    named<model::stream_basis>{model::stream_basis::original, "original"},
    named<model::stream_basis>{model::stream_basis::rotated, "rotated"},
    named<model::stream_basis>{model::stream_basis::split, "split"}};

template <>
inline constexpr std::array words_of<rounding::error_norm>{
    named<rounding::error_norm>{rounding::error_norm::power_2_4, "power_2_4"},
    named<rounding::error_norm>{rounding::error_norm::squares, "squares"}};

template <>
inline constexpr std::array words_of<rounding::clip_weighting>{
    named<rounding::clip_weighting>{rounding::clip_weighting::none, "none"},
    named<rounding::clip_weighting>{rounding::clip_weighting::diagonal, "diagonal"},
    named<rounding::clip_weighting>{rounding::clip_weighting::schur, "schur"}};

template <>
inline constexpr std::array words_of<rounding::column_order>{
    named<rounding::column_order>{rounding::column_order::natural, "natural"},
    named<rounding::column_order>{rounding::column_order::activation, "activation"}};

template <>
inline constexpr std::array words_of<rounding::salience>{
    named<rounding::salience>{rounding::salience::magnitude, "magnitude"},
    named<rounding::salience>{rounding::salience::hessian, "hessian"},
    named<rounding::salience>{rounding::salience::pbar, "pbar"},
    named<rounding::salience>{rounding::salience::pbar_compensated, "pbar_compensated"}};

template <>
inline constexpr std::array words_of<rounding::calibration_inputs>{
    named<rounding::calibration_inputs>{rounding::calibration_inputs::full_precision, "full_precision"},
    named<rounding::calibration_inputs>{rounding::calibration_inputs::propagated, "propagated"}};
template <>
inline constexpr std::array words_of<rounding::first_stage>{
    named<rounding::first_stage>{rounding::first_stage::none, "none"},
    named<rounding::first_stage>{rounding::first_stage::gptq, "gptq"}};

template <>
inline constexpr std::array words_of<transforms::rotation>{
    named<transforms::rotation>{transforms::rotation::none, "none"},
    named<transforms::rotation>{transforms::rotation::full, "full"},
    named<transforms::rotation>{transforms::rotation::blocks, "blocks"}};

}  // namespace QUELL_BASELINE
}  // namespace quell::report
