// SPDX-License-Identifier: MIT
/// @file
/// The calibration text on its way through the float model and a copy of it whose layers are being rounded: what
/// engine::propagate promises.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/graph.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/model/engine.hpp"
#include "transformer/graph.hpp"
#include "transformer/model.hpp"
#include "transformer/prefix_cache.hpp"
#include "transformer/session.hpp"
#include "trial_block.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

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
          graph_(transformer::make_graph(m.shape)),
          run_(m, threads, window_, prefix) {}

    quell::result<void> pass(std::size_t layer, std::span<const quell::model::trial_weight> instead,
                             const quell::model::paired_look& look) {
        if (ids_.empty()) {
            return quell::error{quell::errc::bad_value, "calibration: there is no text to run"};
        }
        if (layer == 0 && layer_ != 0) {
            start();
        }
        QUELL_EXPECTS(layer == layer_, "layers in their order");
        const std::optional<transformer::block> block = trial_block(network_, layer, instead, threads_);
        const rounded_block rounded{block ? &*block : nullptr, instead};
        if (!look.see || half::feed_forward == transformer::session::half_of(look.input)) {
            move_on(half::attention, rounded);
        }
        if (look.see) {
            show(look, rounded);
        } else {
            move_on(half::feed_forward, rounded);
        }
        give_back_free_memory();
        return {};
    }

private:
    using half = transformer::session::half;

    /// The block of the copy, nullptr for that of the float model, and what of it is new.
    struct rounded_block {
        const transformer::block* block;
        std::span<const quell::model::trial_weight> instead;
    };

    /// The solver's matrices come next. What glibc keeps of memory that is free already would come on top of them: 60
    /// MB of the 1.1 GB that SmolLM2 takes.
    static void give_back_free_memory() {
#ifdef __GLIBC__
        malloc_trim(0);
#endif
    }

    void start() {
        exact_ = {ids_.size(), network_.shape.width};
        exact_is_ahead_ = false;
        run_.embed(ids_, exact_.view());
        rounded_ = quell::matrix<float>::copy_of(exact_.view());
        layer_ = 0;
        next_ = half::attention;
    }

    template <typename F>
    void for_each_window(F f) {
        for (std::size_t first = 0; first < ids_.size(); first += window_) {
            f(first, std::min(window_, ids_.size() - first));
        }
    }

    /// The float model's stream moves on while its last linear of a half is looked at.
    void show(const quell::model::paired_look& look, const rounded_block& rounded) {
        QUELL_EXPECTS(!exact_is_ahead_, "inputs in their order, each once");
        const bool last = transformer::session::is_last_of_half(look.input);
        quell::matrix<float> before;
        for_each_window([&](std::size_t first, std::size_t rows) {
            run_.observe([&](std::size_t input, quell::matrix_view<const float> x) {
                input == look.input ? before.assign(x) : void();
            });
            last ? run_.run_half(layer_, transformer::session::half_of(look.input), window(exact_, first, rows))
                 : run_.run_to(look.input, window(exact_, first, rows));
            run_.observe([&](std::size_t input, quell::matrix_view<const float> x) {
                input == look.input ? look.see(before.view(), x) : void();
            });
            as_in(rounded, [&] { run_.run_to(look.input, window(rounded_, first, rows), rounded.block); });
            run_.observe({});
        });
        exact_is_ahead_ = last;
    }

    /// Both streams go behind this half, unless they are there.
    void move_on(half which, const rounded_block& rounded) {
        if (next_ != which) {
            return;
        }
        for_each_window([&](std::size_t first, std::size_t rows) {
            if (!exact_is_ahead_) {
                run_.run_half(layer_, which, window(exact_, first, rows));
            }
            as_in(rounded, [&] { run_.run_half(layer_, which, window(rounded_, first, rows), rounded.block); });
        });
        exact_is_ahead_ = false;
        layer_ += which == half::feed_forward ? 1 : 0;
        next_ = which == half::attention ? half::feed_forward : half::attention;
    }

    /// Runs with the inputs of the new linears rounded as they do; those that run as they are see to it themselves.
    template <typename F>
    void as_in(const rounded_block& rounded, F run) {
        run_.rewrite([&](std::size_t input, quell::matrix_view<float> x) {
            const auto reader = std::find_if(rounded.instead.begin(), rounded.instead.end(), [&](const auto& t) {
                return graph_.sites[t.site].input == input && t.round_input && t.quantized == nullptr;
            });
            reader != rounded.instead.end() ? reader->round_input(x) : void();
        });
        run();
        run_.rewrite({});
    }

    [[nodiscard]] static quell::matrix_view<float> window(quell::matrix<float>& all, std::size_t first,
                                                          std::size_t rows) {
        return all.view().block(first, 0, rows, all.cols());
    }

    const transformer::model& network_;
    std::vector<std::int32_t> ids_;
    std::size_t window_;
    quell::executor threads_;
    quell::graph graph_;
    transformer::session run_;
    quell::matrix<float> exact_;    ///< the residual stream in front of half `next_` of layer_, of the float model
    quell::matrix<float> rounded_;  ///< and of the copy
    bool exact_is_ahead_ = false;   ///< exact_ is behind that half
    std::size_t layer_ = ~std::size_t{0};
    half next_ = half::attention;
};

/// Lends `engine` its callback `propagate`. The model must outlive the engine; the text is copied.
inline void lend_propagation(quell::model::engine& engine, const transformer::model& m,
                             std::span<const std::int32_t> ids, std::size_t context, const quell::executor& threads,
                             const transformer::prefix_ptr& prefix) {
    const auto text = std::make_shared<propagating_text>(m, ids, context, threads, prefix);
    engine.propagate = [text](std::size_t layer, std::span<const quell::model::trial_weight> instead,
                              const quell::model::paired_look& look) { return text->pass(layer, instead, look); };
}

}  // namespace program
