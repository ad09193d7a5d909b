// SPDX-License-Identifier: MIT
/// @file
/// Eigenvalues and eigenvectors of a symmetric matrix, by Eigen, of which no type leaves this file. Repeatable on one
/// machine; other instruction sets and compilers may differ in the last bits. Translation units that include it must be
/// built with the same instruction set flags, as with all of Eigen.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"

#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

namespace quell::linalg {
inline namespace QUELL_BASELINE {

/// A = V diag(values) V^T with V^T V = I. The largest value comes first; the largest component of each vector, the
/// first of equals, is positive.
struct eigen_system {
    buffer<double> values;   ///< [n], descending
    matrix<double> vectors;  ///< [n, n], V: column i belongs to values[i]
};

namespace detail {

using eigen_matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic>;

[[nodiscard]] inline eigen_matrix to_eigen(matrix_view<const double> a) {
    eigen_matrix copy(static_cast<Eigen::Index>(a.rows()), static_cast<Eigen::Index>(a.cols()));
    for (std::size_t r = 0; r < a.rows(); ++r) {
        for (std::size_t c = 0; c < a.cols(); ++c) {
            copy(static_cast<Eigen::Index>(r), static_cast<Eigen::Index>(c)) = a(r, c);
        }
    }
    return copy;
}

[[nodiscard]] inline double sign_of_largest(const eigen_matrix& vectors, Eigen::Index column) {
    Eigen::Index largest = 0;
    vectors.col(column).cwiseAbs().maxCoeff(&largest);
    return vectors(largest, column) < 0.0 ? -1.0 : 1.0;
}

}  // namespace detail

/// Shapes   a [n, n], symmetric: only what is on and below its diagonal is read.
/// Errors   errc::bad_shape; errc::bad_value for NaN or infinity, or where the iteration does not end.
/// Cost     about 9 n^3 multiply-adds in one thread.
/// Oracle   the identities above (tests/linalg/symmetric_eigen_test.cpp), within 1e-12 of the largest value.
[[nodiscard]] inline result<eigen_system> symmetric_eigen(matrix_view<const double> a) {
    if (a.rows() != a.cols()) {
        return error{errc::bad_shape, std::to_string(a.rows()) + " x " + std::to_string(a.cols()) + " is not square"};
    }
    const std::size_t n = a.rows();
    eigen_system system{.values = buffer<double>(n), .vectors = {n, n}};
    const detail::eigen_matrix copy = detail::to_eigen(a);
    if (n == 0) {
        return system;
    }
    if (!copy.allFinite()) {
        return error{errc::bad_value, "a matrix with NaN or infinity has no eigenvalues"};
    }
    const Eigen::SelfAdjointEigenSolver<detail::eigen_matrix> solver(copy);
    if (solver.info() != Eigen::Success) {
        return error{errc::bad_value, "the eigenvalues of the matrix do not converge"};
    }
    for (std::size_t i = 0; i < n; ++i) {
        const auto column = static_cast<Eigen::Index>(n - 1 - i);  // Eigen's order is ascending
        const double sign = detail::sign_of_largest(solver.eigenvectors(), column);
        system.values[i] = solver.eigenvalues()(column);
        for (std::size_t r = 0; r < n; ++r) {
            system.vectors(r, i) = sign * solver.eigenvectors()(static_cast<Eigen::Index>(r), column);
        }
    }
    return system;
}

}  // namespace QUELL_BASELINE
}  // namespace quell::linalg
