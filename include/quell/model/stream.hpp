// SPDX-License-Identifier: MIT
/// @file
/// The rotation of the residual stream that a plan asks for. A split follows what the calibration showed of the stream.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/graph.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/model/calibrate.hpp"
#include "quell/model/folded_network.hpp"
#include "quell/transforms/folding.hpp"
#include "quell/transforms/svd_split.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// X^T X over all inputs that read the stream, of what their norms give before the gain: the stream as it is read, each
/// token at the same length, so that massive tokens do not decide its directions alone.
///
/// Requires a Gram matrix in the record of each such input.
/// Errors   those of folded_network::norm_gain.
[[nodiscard]] inline result<matrix<double>> stream_gram(const graph& g, const folded_network& network,
                                                        std::span<const input_record> records,
                                                        const executor& threads) {
    matrix<double> sum(g.stream.width, g.stream.width);
    for (std::size_t i = 0; i < g.inputs.size(); ++i) {
        if (!g.inputs[i].reads_residual) {
            continue;
        }
        QUELL_TRY(const buffer<float> gain, network.norm_gain(i));
        matrix<double> gram = records[i].gram->sum(threads);
        transforms::divide_rows(gram.view(), gain);
        transforms::divide_columns(gram.view(), gain);
        std::transform(gram.elements().begin(), gram.elements().end(), sum.elements().begin(), sum.elements().begin(),
                       std::plus<>());
    }
    return sum;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::model
