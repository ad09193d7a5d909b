// SPDX-License-Identifier: MIT
/// @file
/// From the Gram matrix of the inputs to what solvers with error feedback walk along: an order of the columns and the
/// factor U of the damped Hessian's inverse. Also the weight that is best for inputs which will be rounded themselves.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/linalg/cholesky.hpp"
#include "quell/linalg/ordered_product.hpp"
#include "quell/rounding/solver.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace quell::rounding {
inline namespace QUELL_BASELINE {

/// The order in which columns are rounded; the error of a column goes into those that follow.
enum class column_order : std::uint8_t {
    natural,
    activation,  ///< by descending diagonal of the Gram matrix, so that what matters most is rounded while all can help
};

struct hessian_options {
    double damping = 0.01;          ///< times the mean of the diagonal, added to the diagonal
    double activation_noise = 0.0;  ///< see factor_hessian(); 0: inputs are taken as exact
    column_order order = column_order::natural;

    friend bool operator==(const hessian_options&, const hessian_options&) = default;
};

struct hessian_factor {
    std::vector<std::size_t> order = {};  ///< [in] position -> column of the weight
    std::vector<bool> dead = {};          ///< [in] by position: inputs that were never active
    matrix<double> u = {};                ///< [in, in] by position: H^-1 = U^T U
    double noise = 0.0;                   ///< lambda below
    double damping = 0.0;                 ///< what was added to the diagonal besides
};

/// Factors of one Gram matrix: weights that read the same input, and trials of one weight in several forms, need the
/// same. Its owner forgets them when the matrix changes. Not for threads that solve at the same time.
class factor_memo {
public:
    void forget() { made_.clear(); }

    /// The factor made with these options, or nullptr.
    [[nodiscard]] std::shared_ptr<const hessian_factor> find(const hessian_options& options) const {
        const auto at = std::find_if(made_.begin(), made_.end(), [&](const auto& m) { return m.first == options; });
        return at == made_.end() ? nullptr : at->second;
    }
    void keep(const hessian_options& options, std::shared_ptr<const hessian_factor> factor) {
        made_.emplace_back(options, std::move(factor));
    }

private:
    std::vector<std::pair<hessian_options, std::shared_ptr<const hessian_factor>>> made_;
};

/// Columns by falling score; equals stay in their order.
[[nodiscard]] inline std::vector<std::size_t> ranked(std::span<const double> scores) {
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    return order;
}

namespace detail {

[[nodiscard]] inline result<void> check_gram(const input_knowledge& known, std::size_t in_features) {
    if (known.gram.rows() == 0 && in_features > 0) {
        return error{errc::not_found, "the solver needs the Gram matrix of the inputs"};
    }
    if (known.gram.rows() != in_features || known.gram.cols() != in_features) {
        return error{errc::bad_shape, "a Gram matrix of " + std::to_string(known.gram.rows()) + " x " +
                                          std::to_string(known.gram.cols()) + " for " + std::to_string(in_features) +
                                          " columns"};
    }
    for (std::size_t j = 0; j < in_features; ++j) {
        if (!(known.gram(j, j) >= 0.0) || std::isinf(known.gram(j, j))) {
            return error{errc::bad_value, "the Gram matrix has " + std::to_string(known.gram(j, j)) +
                                              " on its diagonal, in column " + std::to_string(j)};
        }
    }
    return {};
}

[[nodiscard]] inline std::vector<std::size_t> order_of(matrix_view<const double> gram, column_order wanted) {
    std::vector<double> energy(gram.rows(), 0.0);
    for (std::size_t j = 0; j < energy.size() && wanted == column_order::activation; ++j) {
        energy[j] = gram(j, j);
    }
    return ranked(energy);  // in natural order all are equal
}

struct diagonal_terms {
    double live_mean = 0.0;  ///< over the inputs that were active
    double mean = 0.0;
};

[[nodiscard]] inline diagonal_terms diagonal_of(matrix_view<const double> gram) {
    double sum = 0.0;
    std::size_t live = 0;
    for (std::size_t j = 0; j < gram.rows(); ++j) {
        sum += gram(j, j);
        live += gram(j, j) > 0.0 ? 1 : 0;
    }
    const auto count = [](std::size_t n) { return static_cast<double>(std::max<std::size_t>(n, 1)); };
    return {sum / count(live), sum / count(gram.rows())};
}

/// G in the factor's order with noise and damping on the diagonal, and 1 where an input is dead.
[[nodiscard]] inline matrix<double> damped_hessian(matrix_view<const double> gram, const hessian_factor& f) {
    const std::size_t n = gram.rows();
    matrix<double> h(n, n);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            h(i, j) = gram(f.order[i], f.order[j]);
        }
        h(i, i) = f.dead[i] ? 1.0 : h(i, i) + (f.noise + f.damping);
    }
    return h;
}

/// The factor for columns in this order; see factor_hessian().
[[nodiscard]] inline result<hessian_factor> factor_in_order(const input_knowledge& known,
                                                            std::vector<std::size_t> order,
                                                            const hessian_options& options, const executor& threads) {
    QUELL_EXPECTS(options.damping >= 0.0 && options.activation_noise >= 0.0, "damping and noise are not negative");
    const diagonal_terms diagonal = diagonal_of(known.gram);
    hessian_factor f{.order = std::move(order)};
    f.noise = options.activation_noise * diagonal.mean;
    for (const std::size_t column : f.order) {
        f.dead.push_back(known.gram(column, column) == 0.0);
    }
    constexpr int ladder = 4;
    double damping = options.damping;
    for (int step = 1;; ++step) {
        f.damping = damping * diagonal.live_mean;
        auto u = linalg::inverse_factor(damped_hessian(known.gram, f), threads);
        if (u) {
            f.u = *std::move(u);
            return f;
        }
        if (step == ladder) {
            return error{u.error().code, "the Hessian, damped by " + std::to_string(damping) + " times its mean, is " +
                                             u.error().message};
        }
        damping = damping > 0.0 ? 10.0 * damping : 0.01;
    }
}

/// Rows of a weight in the factor's order; what dead inputs are multiplied by becomes 0.
[[nodiscard]] inline matrix<double> in_factor_order(matrix_view<const float> w, const hessian_factor& f) {
    matrix<double> ordered(w.rows(), w.cols());
    for (std::size_t r = 0; r < w.rows(); ++r) {
        for (std::size_t i = 0; i < w.cols(); ++i) {
            ordered(r, i) = f.dead[i] ? 0.0 : static_cast<double>(w(r, f.order[i]));
        }
    }
    return ordered;
}

}  // namespace detail

/// The factor of H = G + (lambda + delta) I with lambda = activation_noise * trace(G) / in and delta = damping times
/// the mean of G's diagonal over active inputs. Where H is not positive definite, delta grows tenfold, three times at
/// most.
///
/// Activation noise is the expected error of rounded inputs relative to their mean square: for white noise of variance
/// nu per input and token the expected squared error of a weight V is tr((V - W) G (V - W)^T) + nu tokens |V|^2. Its
/// Hessian is G + lambda I, and its minimum is no longer at W but at toward_noise(). Ours; 0 is plain GPTQ.
///
/// Shapes   known.gram [in, in], symmetric.
/// Errors   errc::not_found without a Gram matrix; errc::bad_shape; errc::bad_value for a diagonal that is negative or
///          not finite; errc::not_positive_definite after the last damping.
/// Cost     in^3 / 3 multiply-subtracts and in^2 doubles.
/// Source   GPTQ, arXiv 2210.17323, with the damping and the dead columns of its code. Differs: the damping of dead
///          columns does not count, the ladder.
/// Oracle   reference::gptq (tests/reference/gptq.hpp).
[[nodiscard]] inline result<std::shared_ptr<const hessian_factor>> factor_hessian(const input_knowledge& known,
                                                                                  std::size_t in_features,
                                                                                  const hessian_options& options,
                                                                                  const executor& threads = {}) {
    if (auto made = known.memo != nullptr ? known.memo->find(options) : nullptr) {
        return made;
    }
    QUELL_TRY_VOID(detail::check_gram(known, in_features));
    QUELL_TRY(hessian_factor f,
              detail::factor_in_order(known, detail::order_of(known.gram, options.order), options, threads));
    auto made = std::make_shared<const hessian_factor>(std::move(f));
    if (known.memo != nullptr) {
        known.memo->keep(options, made);
    }
    return made;
}

/// The same in an order of one's own; options.order is not read.
///
/// Requires `order` to name each column once.
[[nodiscard]] inline result<hessian_factor> factor_hessian(const input_knowledge& known, std::vector<std::size_t> order,
                                                           const hessian_options& options,
                                                           const executor& threads = {}) {
    QUELL_TRY_VOID(detail::check_gram(known, order.size()));
    return detail::factor_in_order(known, std::move(order), options, threads);
}

/// Moves rows of weights, in the factor's order, to the minimum under noise: W (G + delta I) H^-1 = W - lambda W H^-1.
/// Damping pulls to W and noise to 0.
///
/// Cost     rows * in^2 multiply-subtracts.
inline void toward_noise(matrix_view<double> w, const hessian_factor& f, matrix_view<const double> u_transposed) {
    if (f.noise == 0.0) {
        return;
    }
    constexpr std::size_t width = 64;
    const std::size_t n = w.cols();
    matrix<double> t(w.rows(), n);
    for (std::size_t j = 0; j < n; j += width) {  // -W U^T, where U^T is zero above its diagonal
        const std::size_t cols = std::min(width, n - j);
        linalg::subtract_product(t.view().block(0, j, w.rows(), cols), w.block(0, j, w.rows(), n - j),
                                 u_transposed.block(j, j, n - j, cols));
    }
    for (double& v : t.elements()) {
        v *= -f.noise;
    }
    for (std::size_t j = 0; j < n; j += width) {
        const std::size_t end = std::min(n, j + width);
        linalg::subtract_product(w.block(0, j, w.rows(), end - j), t.view().block(0, 0, w.rows(), end),
                                 f.u.view().block(0, j, end, end - j));
    }
}

}  // namespace QUELL_BASELINE
}  // namespace quell::rounding
