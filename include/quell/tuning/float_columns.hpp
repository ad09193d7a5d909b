// SPDX-License-Identifier: MIT
/// @file
/// The columns of a quantized linear that are in float, as a parameter, and the linear with what was tuned.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/packing/pack.hpp"
#include "quell/packing/unpack.hpp"
#include "quell/quant/quantized_linear.hpp"
#include "quell/stats/finite.hpp"
#include "quell/tuning/parameter.hpp"

#include <optional>
#include <string>
#include <utility>

namespace quell::tuning {
inline namespace QUELL_BASELINE {

/// Shapes   [out, r]; r is 0 where all columns are in integers.
[[nodiscard]] inline parameter<float> columns_of(const std::string& name, const quant::quantized_linear& layer) {
    parameter<float> columns(name + ".columns", layer.out_features(), layer.float_features());
    if (layer.float_columns()) {
        columns.value = packing::unpack_f32(*layer.float_columns());
        columns.unit = root_mean_square(columns.value.elements());
    }
    return columns;
}

/// The linear with this weight in integers and these columns; everything else stays.
/// Errors   errc::bad_value for a column that is not finite; those of quantized_linear::make.
[[nodiscard]] inline result<quant::quantized_linear> with_tuned(const quant::quantized_linear& layer,
                                                                packing::packed_matrix weight,
                                                                const parameter<float>& columns,
                                                                const executor& threads) {
    QUELL_TRY_VOID(stats::check_finite(columns.value.view()));
    std::optional<packing::packed_matrix> packed_columns;
    if (layer.float_features() > 0) {
        packed_columns = packing::pack_f32(columns.value.view(), threads);
    }
    return quant::quantized_linear::make(std::move(weight), layer.activations(), layer.bias(),
                                         quant::online_input::copy_of(layer.online()), std::move(packed_columns));
}

}  // namespace QUELL_BASELINE
}  // namespace quell::tuning
