// SPDX-License-Identifier: MIT
/// @file
/// The calibration text on its way through the float model and a copy of it whose layers are being rounded: what
/// engine::propagate promises.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/model/engine.hpp"
#include "transformer/model.hpp"
#include "transformer/prefix_cache.hpp"
#include "transformer/session.hpp"
#include "trial_block.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace program {

class propagating_text {
public:
    /// The model must outlive the object.
    propagating_text(const transformer::model& m, std::span<const std::int32_t> ids, std::size_t context,
                     const quell::executor& threads, const transformer::prefix_ptr& prefix)
        : network_(m),
          ids_(ids.begin(), ids.end()),
          window_(std::clamp<std::size_t>(context, 1, 512)),
          threads_(threads),
          run_(m, threads, window_, prefix) {}

    quell::result<void> pass(std::size_t layer, std::span<const quell::model::trial_weight> instead,
                             const quell::model::paired_observer& see) {
        if (ids_.empty()) {
            return quell::error{quell::errc::bad_value, "calibration: there is no text to run"};
        }
        if (layer == 0 && layer_ != 0) {
            start();
        }
        QUELL_EXPECTS(layer == layer_, "layers in their order");
        const std::optional<transformer::block> rounded = trial_block(network_, layer, instead, threads_);
        for (std::size_t first = 0; first < ids_.size(); first += window_) {
            const std::size_t rows = std::min(window_, ids_.size() - first);
            see ? show(layer, first, rows, rounded, see) : move_on(layer, first, rows, rounded);
        }
        layer_ += see ? 0 : 1;
        return {};
    }

private:
    void start() {
        exact_ = {ids_.size(), network_.shape.width};
        run_.embed(ids_, exact_.view());
        rounded_ = quell::matrix<float>::copy_of(exact_.view());
        layer_ = 0;
    }

    [[nodiscard]] static const transformer::block* pointer(const std::optional<transformer::block>& b) {
        return b ? &*b : nullptr;
    }

    void run(std::size_t layer, quell::matrix_view<float> stream, const transformer::block* instead) {
        quell::matrix<float> out(stream.rows(), stream.cols());
        run_.run_blocks(layer, layer + 1, stream, out.view(), instead);
    }

    void show(std::size_t layer, std::size_t first, std::size_t rows, const std::optional<transformer::block>& rounded,
              const quell::model::paired_observer& see) {
        std::map<std::size_t, quell::matrix<float>> before;
        quell::matrix<float> stream = quell::matrix<float>::copy_of(window(exact_, first, rows));
        run_.observe([&](std::size_t input, quell::matrix_view<const float> x) {
            before.insert_or_assign(input, quell::matrix<float>::copy_of(x));
        });
        run(layer, stream.view(), nullptr);
        stream = quell::matrix<float>::copy_of(window(rounded_, first, rows));
        run_.observe(
            [&](std::size_t input, quell::matrix_view<const float> x) { see(input, before[input].view(), x); });
        run(layer, stream.view(), pointer(rounded));
        run_.observe({});
    }

    void move_on(std::size_t layer, std::size_t first, std::size_t rows,
                 const std::optional<transformer::block>& rounded) {
        run(layer, window(exact_, first, rows), nullptr);
        run(layer, window(rounded_, first, rows), pointer(rounded));
    }

    [[nodiscard]] static quell::matrix_view<float> window(quell::matrix<float>& all, std::size_t first,
                                                          std::size_t rows) {
        return all.view().block(first, 0, rows, all.cols());
    }

    const transformer::model& network_;
    std::vector<std::int32_t> ids_;
    std::size_t window_;
    quell::executor threads_;
    transformer::session run_;
    quell::matrix<float> exact_;    ///< the residual stream in front of layer_, of the float model
    quell::matrix<float> rounded_;  ///< and of the copy
    std::size_t layer_ = ~std::size_t{0};
};

/// Lends `engine` its callback `propagate`. The model must outlive the engine; the text is copied.
inline void lend_propagation(quell::model::engine& engine, const transformer::model& m,
                             std::span<const std::int32_t> ids, std::size_t context, const quell::executor& threads,
                             const transformer::prefix_ptr& prefix) {
    const auto text = std::make_shared<propagating_text>(m, ids, context, threads, prefix);
    engine.propagate = [text](std::size_t layer, std::span<const quell::model::trial_weight> instead,
                              const quell::model::paired_observer& see) { return text->pass(layer, instead, see); };
}

}  // namespace program
