// SPDX-License-Identifier: MIT
/// @file
/// How a model is scored: perplexity, KL divergence to the float model and top-1 agreement over disjoint windows. Every
/// token but the first of a window is scored and the tail that fills no window is dropped. Logits of a whole window
/// would take 100 MB, so the head runs over a few rows at a time and only hidden states are kept.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "transformer/elementwise.hpp"
#include "transformer/session.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace program {

using quell::matrix;
using quell::matrix_view;
using quell::result;

/// The part of a text that is scored.
struct protocol {
    std::size_t context = 512;
    std::size_t windows = 0;

    [[nodiscard]] std::size_t tokens() const { return windows * context; }
    [[nodiscard]] std::size_t scored() const { return windows * (context - 1); }
};

struct scores {
    double perplexity = 0;
    double kl_divergence = 0;   ///< KL(float || model), nats per scored token
    double top1_agreement = 0;  ///< percent of the likeliest tokens that are the float model's
    double top1_accuracy = 0;   ///< percent of them that are the text's
};

/// log sum exp of a row of logits, and where its largest entry stands.
struct row_summary {
    double log_sum = 0;
    std::size_t best = 0;
};

/// Σ exp(row - shift) in a fixed order: eight running sums, so that the loop vectorizes without reassociation.
inline double sum_of_exponentials(std::span<const float> row, float shift) {
    constexpr std::size_t lanes = 8;
    double sums[lanes] = {};
    const std::size_t whole = row.size() / lanes * lanes;
    for (std::size_t i = 0; i < whole; i += lanes) {
        for (std::size_t j = 0; j < lanes; ++j) {
            sums[j] += static_cast<double>(transformer::exp_approx(row[i + j] - shift));
        }
    }
    for (std::size_t i = whole; i < row.size(); ++i) {
        sums[0] += static_cast<double>(transformer::exp_approx(row[i] - shift));
    }
    return std::accumulate(std::begin(sums), std::end(sums), 0.0);
}

inline row_summary summarize(std::span<const float> row) {
    const auto best = static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
    return {static_cast<double>(row[best]) + std::log(sum_of_exponentials(row, row[best])), best};
}

/// Σ p (log p - log q) of two rows of logits.
inline double kl_of_row(std::span<const float> p, const row_summary& of_p, std::span<const float> q,
                        const row_summary& of_q) {
    constexpr std::size_t lanes = 8;
    double sums[lanes] = {};
    const auto shift = static_cast<float>(of_p.log_sum);
    const double constant = of_q.log_sum - of_p.log_sum;
    const auto term = [&](std::size_t i) {
        const double difference = static_cast<double>(p[i]) - static_cast<double>(q[i]) + constant;
        return static_cast<double>(transformer::exp_approx(p[i] - shift)) * difference;
    };
    const std::size_t whole = p.size() / lanes * lanes;
    for (std::size_t i = 0; i < whole; i += lanes) {
        for (std::size_t j = 0; j < lanes; ++j) {
            sums[j] += term(i + j);
        }
    }
    for (std::size_t i = whole; i < p.size(); ++i) {
        sums[0] += term(i);
    }
    return std::max(0.0, std::accumulate(std::begin(sums), std::end(sums), 0.0));
}

/// What the float model computed: its hidden states for every window, from which its logits are made again when a
/// quantized model is compared with them. Empty when only the float model is scored.
struct reference {
    const transformer::model* network = nullptr;
    matrix<float> hidden;
};

/// Scores one model; keeps the sums of all windows.
class scorer {
public:
    scorer(const transformer::model& network, const reference* base, const protocol& rules,
           const quell::executor& threads)
        : network_(network),
          base_(base),
          rules_(rules),
          threads_(threads),
          logits_(rows_at_once, network.shape.vocab),
          base_logits_(base == nullptr ? 0 : rows_at_once, network.shape.vocab) {}

    /// `hidden` [context, width]: the states of window `w`; `ids` its tokens.
    void add(std::size_t w, matrix_view<const float> hidden, std::span<const std::int32_t> ids) {
        for (std::size_t begin = 0; begin + 1 < rules_.context; begin += rows_at_once) {
            const std::size_t rows = std::min(rows_at_once, rules_.context - 1 - begin);
            const matrix_view<float> logits = logits_.view().block(0, 0, rows, logits_.cols());
            transformer::head_logits(network_, hidden.block(begin, 0, rows, hidden.cols()), logits, threads_);
            if (base_ != nullptr) {
                const auto states = base_->hidden.view().block(w * rules_.context + begin, 0, rows, hidden.cols());
                transformer::head_logits(*base_->network, states, base_logits_.view().block(0, 0, rows, logits_.cols()),
                                         threads_);
            }
            add_rows(logits, ids.subspan(begin + 1, rows));
        }
    }

    [[nodiscard]] scores finish() const {
        const auto n = static_cast<double>(rules_.scored());
        return {.perplexity = std::exp(loss_ / n),
                .kl_divergence = kl_ / n,
                .top1_agreement = 100.0 * agreed_ / n,
                .top1_accuracy = 100.0 * right_ / n};
    }

private:
    static constexpr std::size_t rows_at_once = 32;

    struct row_scores {
        double loss, kl, agreed, right;
    };

    void add_rows(matrix_view<const float> logits, std::span<const std::int32_t> targets) {
        row_scores rows[rows_at_once] = {};
        threads_.parallel_for(logits.rows(), [&](std::size_t r) {
            const row_summary mine = summarize(logits.row(r));
            const auto target = static_cast<std::size_t>(targets[r]);
            rows[r] = {mine.log_sum - static_cast<double>(logits(r, target)), 0.0, 1.0,
                       mine.best == target ? 1.0 : 0.0};
            if (base_ != nullptr) {
                const std::span<const float> other = std::as_const(base_logits_).row(r);
                const row_summary theirs = summarize(other);
                rows[r].kl = kl_of_row(other, theirs, logits.row(r), mine);
                rows[r].agreed = theirs.best == mine.best ? 1.0 : 0.0;
            }
        });
        for (std::size_t r = 0; r < logits.rows(); ++r) {
            loss_ += rows[r].loss;
            kl_ += rows[r].kl;
            agreed_ += rows[r].agreed;
            right_ += rows[r].right;
        }
    }

    const transformer::model& network_;
    const reference* base_;
    protocol rules_;
    quell::executor threads_;
    matrix<float> logits_;
    matrix<float> base_logits_;
    double loss_ = 0;
    double kl_ = 0;
    double agreed_ = 0;
    double right_ = 0;
};

/// Runs every window through `network`. With `keep` its hidden states are stored there; with `base` it is compared.
inline result<scores> evaluate(const transformer::model& network, std::span<const std::int32_t> ids,
                               const protocol& rules, const reference* base, matrix<float>* keep,
                               const quell::executor& threads, const quell::progress_callback& progress) {
    transformer::session run(network, threads, rules.context);
    scorer score(network, base, rules, threads);
    for (std::size_t w = 0; w < rules.windows; ++w) {
        const std::span<const std::int32_t> window = ids.subspan(w * rules.context, rules.context);
        run.reset();
        QUELL_TRY_VOID(run.prefill(window));
        const matrix_view<const float> hidden = run.hidden();
        score.add(w, hidden, window);
        if (keep != nullptr) {
            std::copy_n(hidden.data(), hidden.rows() * hidden.cols(), keep->row(w * rules.context).data());
        }
        quell::report_progress(progress, "evaluate", "windows", w + 1, rules.windows);
    }
    return score.finish();
}

}  // namespace program
