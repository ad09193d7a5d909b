// SPDX-License-Identifier: MIT
/// @file
/// QUAD's split of a residual stream: its few leading directions, which hold the outliers, come first and stay in
/// float; the rest, which is quantized, is spread evenly behind them.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/linalg/symmetric_eigen.hpp"
#include "quell/transforms/hadamard.hpp"
#include "quell/transforms/random_orthogonal.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>

namespace quell::transforms {
inline namespace QUELL_BASELINE {

struct svd_split {
    matrix<double> basis;          ///< [C, C], orthogonal: x becomes x basis
    std::size_t rank = 0;          ///< columns of it that are leading directions
    double captured_energy = 0.0;  ///< share of sum x^2 in those
};

namespace detail {

/// Row i becomes the coordinates of channel i along the directions behind the leading ones, spread evenly: a Hadamard
/// matrix gives each of them the same mean square, a random rotation nearly so.
inline void spread(matrix_view<double> rest, std::uint64_t seed) {
    const hadamard rotation(rest.cols());
    if (rotation.is_full()) {
        rotation.apply(rest);
        return;
    }
    const matrix<double> q = random_orthogonal(rest.cols(), seed);
    buffer<double> row(rest.cols());
    for (std::size_t r = 0; r < rest.rows(); ++r) {
        for (std::size_t c = 0; c < rest.cols(); ++c) {
            row[c] = inner_product(rest.row(r), q.view().row(c));
        }
        std::copy(row.begin(), row.end(), rest.row(r).begin());
    }
}

}  // namespace detail

/// Shapes   gram [C, C]: the sum of x^T x over all places where the stream is read.
/// Errors   errc::bad_value for a rank of C or more, NaN or infinity; errc::bad_shape.
/// Cost     about 15 C^3 multiply-adds in double.
/// Source   QUAD, arXiv 2503.19353, section 3. Differs: the paper appends r channels, x [U, I - U U^T], and C + r
///          channels run through the network. The rest has only C - r dimensions, so here the directions behind the
///          leading ones are its channels: the stream keeps its width, norms stay as they are, and the integer part is
///          narrower by 2 r / C.
/// Oracle   basis basis^T = I, lengths, energies (tests/transforms/svd_split_test.cpp).
[[nodiscard]] inline result<svd_split> split_stream(matrix_view<const double> gram, std::size_t rank,
                                                    std::uint64_t seed = 1) {
    if (rank >= gram.rows()) {
        return error{errc::bad_value, "rank " + std::to_string(rank) + " of a stream of " +
                                          std::to_string(gram.rows()) + " channels leaves nothing to quantize"};
    }
    QUELL_TRY(linalg::eigen_system directions, linalg::symmetric_eigen(gram));
    const auto& energies = directions.values;
    const double total = std::accumulate(energies.begin(), energies.end(), 0.0);
    const double leading = std::accumulate(energies.begin(), energies.begin() + static_cast<std::ptrdiff_t>(rank), 0.0);
    matrix<double> basis = std::move(directions.vectors);
    detail::spread(basis.view().block(0, rank, basis.rows(), basis.cols() - rank), seed);
    return svd_split{std::move(basis), rank, total > 0.0 ? leading / total : 0.0};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::transforms
