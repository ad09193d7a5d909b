// SPDX-License-Identifier: MIT
/// @file
/// Trials on the float model: one block with other weights, run on a few windows of the calibration text from where the
/// text enters that block; what enters its linears, and how far the predictions move.
#pragma once

#include "evaluate.hpp"
#include "quell/model/engine.hpp"
#include "transformer/model.hpp"
#include "transformer/session.hpp"
#include "trial_block.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace program {

class trials {
public:
    static constexpr std::size_t tokens = 512;     ///< of the text that are run
    static constexpr std::size_t scored_step = 4;  ///< predictions are compared at every so many tokens

    /// The model must outlive the object.
    trials(const transformer::model& m, std::span<const std::int32_t> ids, std::size_t context,
           const quell::executor& threads)
        : network_(m),
          ids_(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(std::min(tokens, ids.size()))),
          window_(std::max<std::size_t>(std::min({context, ids_.size(), std::size_t{512}}), 1)),
          threads_(threads),
          run_(m, threads, window_) {}

    /// What engine::replay promises.
    result<void> replay(std::size_t layer, std::span<const quell::model::trial_weight> instead,
                        const quell::model::input_observer& see) {
        QUELL_TRY_VOID(prepare());
        const std::optional<transformer::block> trial = trial_block(network_, layer, instead, threads_);
        run_.observe(see);
        for (std::size_t w = 0; w < windows(); ++w) {
            matrix<float> stream = start_of(layer, w);
            run_.run_blocks(layer, layer + 1, stream.view(), hidden_.view(), trial ? &*trial : nullptr);
        }
        run_.observe({});
        return {};
    }

    /// What engine::divergence promises.
    result<double> divergence(std::span<const quell::model::trial_weight> instead) {
        QUELL_TRY_VOID(prepare());
        const quell::graph g = transformer::make_graph(network_.shape);
        if (!instead.empty() && instead[0].site == g.sites.size()) {
            return table_divergence(instead[0].w);
        }
        const std::size_t layer = instead.empty() ? 0 : g.sites[instead[0].site].layer;
        const std::optional<transformer::block> trial = trial_block(network_, layer, instead, threads_);
        double sum = 0.0;
        for (std::size_t w = 0; w < windows(); ++w) {
            matrix<float> stream = start_of(layer, w);
            run_.run_blocks(layer, network_.blocks.size(), stream.view(), hidden_.view(), trial ? &*trial : nullptr);
            sum += divergence_in(w, scored_logits(*network_.head));
        }
        return sum / static_cast<double>(exact_.rows());
    }

private:
    [[nodiscard]] std::size_t windows() const { return ids_.size() / window_; }
    [[nodiscard]] std::size_t scored_rows() const { return (window_ + scored_step - 1) / scored_step; }

    /// The whole network with another head, and the same rows as embedding where the two are tied.
    [[nodiscard]] double table_divergence(matrix_view<const float> table) {
        const quell::quant::linear head = quell::quant::float_linear(table, {}, threads_);
        double sum = 0.0;
        for (std::size_t w = 0; w < windows(); ++w) {
            matrix<float> stream = start_of(0, w);
            for (std::size_t t = 0; t < window_ && network_.shape.tied_head; ++t) {
                std::copy_n(table.row(static_cast<std::size_t>(ids_[w * window_ + t])).begin(), stream.cols(),
                            stream.row(t).begin());
            }
            run_.run_blocks(0, network_.blocks.size(), stream.view(), hidden_.view());
            sum += divergence_in(w, scored_logits(head));
        }
        return sum / static_cast<double>(exact_.rows());
    }

    /// Summed over the predictions of window w that are compared.
    [[nodiscard]] double divergence_in(std::size_t w, const matrix<float>& logits) const {
        std::vector<double> rows(logits.rows());
        threads_.parallel_for(rows.size(), [&](std::size_t r) {
            const std::span<const float> exact = exact_.row(w * logits.rows() + r);
            rows[r] = kl_of_row(exact, summarize(exact), logits.row(r), summarize(logits.row(r)));
        });
        return std::accumulate(rows.begin(), rows.end(), 0.0);
    }

    /// The float model once: the stream in front of every block, and the predictions.
    result<void> prepare() {
        if (!streams_.empty()) {
            return {};
        }
        if (windows() == 0) {
            return quell::error{quell::errc::not_found, "trials need a calibration text"};
        }
        hidden_ = {window_, network_.shape.width};
        exact_ = {windows() * scored_rows(), network_.shape.vocab};
        for (std::size_t l = 0; l < network_.blocks.size(); ++l) {
            streams_.emplace_back(windows() * window_, network_.shape.width);
        }
        for (std::size_t w = 0; w < windows(); ++w) {
            matrix<float> stream(window_, network_.shape.width);
            run_.embed(std::span(ids_).subspan(w * window_, window_), stream.view());
            for (std::size_t l = 0; l < network_.blocks.size(); ++l) {
                std::copy(stream.elements().begin(), stream.elements().end(), streams_[l].row(w * window_).data());
                run_.run_blocks(l, l + 1, stream.view(), hidden_.view());
            }
            const matrix<float> logits = scored_logits(*network_.head);
            std::copy(logits.elements().begin(), logits.elements().end(), exact_.row(w * scored_rows()).data());
        }
        return {};
    }

    [[nodiscard]] matrix<float> start_of(std::size_t layer, std::size_t w) const {
        return matrix<float>::copy_of(streams_[layer].view().block(w * window_, 0, window_, network_.shape.width));
    }

    /// The predictions behind hidden_ that are compared.
    [[nodiscard]] matrix<float> scored_logits(const quell::quant::linear& head) const {
        matrix<float> logits(scored_rows(), network_.shape.vocab);
        const matrix_view<const float> every_so_many(hidden_.view().data(), scored_rows(), hidden_.cols(),
                                                     scored_step * hidden_.cols());
        const matrix<float> rows = matrix<float>::copy_of(every_so_many);
        quell::buffer<std::byte> workspace(quell::quant::workspace_bytes(head, rows.rows()));
        quell::quant::forward(head, rows.view(), logits.view(), workspace, threads_);
        return logits;
    }

    const transformer::model& network_;
    std::vector<std::int32_t> ids_;
    std::size_t window_;
    quell::executor threads_;
    transformer::session run_;
    std::vector<matrix<float>> streams_;  ///< by block: [tokens, width] in front of it
    matrix<float> exact_;                 ///< predictions of the float model
    matrix<float> hidden_;
};

/// Lends `engine` the callbacks of trials; the first call runs the float model. The model must outlive the engine; the
/// text is copied.
inline void lend_trials(quell::model::engine& engine, const transformer::model& m, std::span<const std::int32_t> ids,
                        std::size_t context, const quell::executor& threads) {
    const auto made = std::make_shared<std::optional<trials>>();
    const auto all = [made, &m, text = std::vector<std::int32_t>(ids.begin(), ids.end()), context,
                      threads]() -> trials& { return *made ? **made : made->emplace(m, text, context, threads); };
    engine.replay = [all](std::size_t layer, std::span<const quell::model::trial_weight> instead,
                          const quell::model::input_observer& see) { return all().replay(layer, instead, see); };
    engine.divergence = [all](std::span<const quell::model::trial_weight> instead) {
        return all().divergence(instead);
    };
}

}  // namespace program
