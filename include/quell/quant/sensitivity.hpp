// SPDX-License-Identifier: MIT
/// @file
/// What rounding a weight costs at its output, without running anything: from the Gram matrix of its inputs. Such costs
/// add up over linears.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/quant/layer_error.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace quell::quant {
inline namespace QUELL_BASELINE {

/// The mean over tokens of |(W - W^) x|^2, for inputs whose second moments are given: tr(D M D^T) with D = W - W^.
/// Many roundings of the weights that read one input can be measured by one object.
///
/// Source   the sensitivity of "A Sensitivity-based Approach to Mixed-Precision Quantization", arXiv 2503.06518,
///          equation 10, times the number of outputs. Differs: from the Gram matrix, which is the same in exact
///          arithmetic.
/// Oracle   the outputs themselves (tests/quant/sensitivity_test.cpp); equal within a relative 1e-4.
class output_cost {
public:
    /// Shapes   gram [in, in], the sum over `tokens` tokens of x^T x.
    /// Requires tokens > 0.
    output_cost(matrix_view<const double> gram, std::uint64_t tokens, const executor& threads = {})
        : threads_(threads), moments_(float_linear(scaled(gram, tokens).view(), {}, threads)) {}

    /// Shapes   both [out, in].
    /// Cost     out * in^2 multiply-adds in float, and a copy of the weight. The same sum for any executor.
    [[nodiscard]] double of(matrix_view<const float> w, matrix_view<const float> rounded) const {
        QUELL_EXPECTS(w.rows() == rounded.rows() && w.cols() == rounded.cols(), "weights of one shape");
        matrix<float> d(w.rows(), w.cols());
        for (std::size_t r = 0; r < w.rows(); ++r) {
            for (std::size_t c = 0; c < w.cols(); ++c) {
                d(r, c) = w(r, c) - rounded(r, c);
            }
        }
        const matrix<float> product = detail::outputs_of(moments_, std::as_const(d).view(), threads_);
        double sum = 0.0;
        for (std::size_t i = 0; i < product.elements().size(); ++i) {
            sum += static_cast<double>(product.elements()[i]) * static_cast<double>(d.elements()[i]);
        }
        return sum > 0.0 ? sum : 0.0;
    }

private:
    [[nodiscard]] static matrix<float> scaled(matrix_view<const double> gram, std::uint64_t tokens) {
        QUELL_EXPECTS(tokens > 0, "moments of at least one token");
        matrix<float> m(gram.rows(), gram.cols());
        for (std::size_t r = 0; r < m.rows(); ++r) {
            for (std::size_t c = 0; c < m.cols(); ++c) {
                m(r, c) = static_cast<float>(gram(r, c) / static_cast<double>(tokens));
            }
        }
        return m;
    }

    executor threads_;
    linear moments_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::quant
