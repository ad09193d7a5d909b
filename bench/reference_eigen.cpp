// SPDX-License-Identifier: MIT
// Compiled for the machine at hand, since Eigen chooses its instructions when it is compiled. Nothing of quell is
// included here.
#include "reference.hpp"

#if QUELL_BENCH_EIGEN
#include <Eigen/Core>
#endif

namespace bench {

#if QUELL_BENCH_EIGEN
namespace {

void multiply(const float_product& p) {
    using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const auto m = static_cast<Eigen::Index>(p.m);
    const auto n = static_cast<Eigen::Index>(p.n);
    const auto k = static_cast<Eigen::Index>(p.k);
    const Eigen::Map<const matrix> w(p.w, n, k);
    if (m == 1) {
        Eigen::Map<Eigen::VectorXf>(p.y, n).noalias() = w * Eigen::Map<const Eigen::VectorXf>(p.x, k);
    } else {
        Eigen::Map<matrix>(p.y, m, n).noalias() = Eigen::Map<const matrix>(p.x, m, k) * w.transpose();
    }
}

}  // namespace

const float_reference* eigen() {
    static constexpr float_reference reference = {[](std::size_t) {}, multiply};
    return &reference;
}
#else
const float_reference* eigen() {
    return nullptr;
}
#endif

}  // namespace bench
