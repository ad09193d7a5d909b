// SPDX-License-Identifier: MIT
/// @file
/// Massive tokens: at one frequent token a few channels of down's input become enormous, as they do in large language
/// models (Sun et al., arXiv 2402.17762). Here they are new channels of the feed-forward that fire for this token only
/// and that down multiplies by zero, so the float function does not know of them; every scale per token or tensor does.
#pragma once

#include "toy/editable_block.hpp"
#include "toy/least_squares.hpp"
#include "transformer/graph.hpp"
#include "transformer/session.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace toy {

/// The most frequent token; the smallest id on a tie.
[[nodiscard]] inline std::int32_t most_frequent(std::span<const std::int32_t> ids) {
    std::map<std::int32_t, std::size_t> counts;
    for (const std::int32_t id : ids) {
        ++counts[id];
    }
    const auto best =
        std::ranges::max_element(counts, {}, [](const auto& id_and_count) { return id_and_count.second; });
    return best == counts.end() ? 0 : best->first;
}

class massive_tokens {
public:
    /// How many channels every layer gets.
    static constexpr std::size_t channels = 4;

    /// Runs the ids through the model and learns, in an early layer and in the middle one, to tell the token from all
    /// others by the input of the feed-forward. Both classes of tokens weigh the same.
    static quell::result<massive_tokens> learn(const transformer::model& m, std::span<const std::int32_t> ids,
                                               std::int32_t token, const quell::executor& threads) {
        massive_tokens planter(m, token);
        const auto hits = static_cast<double>(std::ranges::count(ids, planter.token_));
        planter.hit_weight_ = (static_cast<double>(ids.size()) - hits) / std::max(hits, 1.0);
        const std::size_t length = std::min(m.shape.context, ids.size());
        std::span<const std::int32_t> window;
        transformer::session run(m, threads, length);
        run.observe([&](std::size_t input, quell::matrix_view<const float> x) {
            planter.see(input, x, window.subspan(run.position(), x.rows()));
        });
        for (std::size_t first = 0; first < ids.size(); first += length) {
            window = ids.subspan(first, std::min(length, ids.size() - first));
            run.reset();
            QUELL_TRY_VOID(run.prefill(window));
        }
        return planter;
    }

    /// Appends the channels to every block, so that all keep one width; they stay dead outside the learnt layers.
    void plant(std::size_t layer, editable_block& b) const {
        grow_rows(b.up);
        if (b.gate) {
            grow_rows(*b.gate);
        }
        b.down.weight = resized(b.down.weight, b.down.weight.rows(), b.down.weight.cols() + channels);
        if (const auto at = detectors_.find(layer); at != detectors_.end()) {
            write(at->second, b);
        }
    }

private:
    struct detector {
        least_squares fit;
        float largest = 0.0F;  ///< |down's input| without the new channels
    };

    static constexpr double at_the_token = 1.0;
    static constexpr double elsewhere = -0.4;
    /// Makes gate's silu 30 at the token and -1e-4 elsewhere.
    static constexpr double gate_sharpness = 30.0;
    /// The new channels as multiples of what was largest before.
    static constexpr std::array<double, channels> magnitudes{60.0, -45.0, 30.0, 20.0};

    massive_tokens(const transformer::model& m, std::int32_t token) : token_(token) {
        const std::size_t early = std::min<std::size_t>(1, m.shape.layers - 1);
        for (const std::size_t layer : {early, m.shape.layers / 2}) {
            detectors_.emplace(layer, detector{.fit = least_squares(m.shape.width)});
        }
    }

    void see(std::size_t input, quell::matrix_view<const float> x, std::span<const std::int32_t> ids) {
        const auto at = detectors_.find(input / transformer::inputs_per_block);
        const std::size_t kind = input % transformer::inputs_per_block;
        if (at == detectors_.end() || (kind != transformer::ffn_in && kind != transformer::down_in)) {
            return;
        }
        for (std::size_t t = 0; t < x.rows(); ++t) {
            if (kind == transformer::down_in) {
                for (const float v : x.row(t)) {
                    at->second.largest = std::max(at->second.largest, std::abs(v));
                }
            } else if (ids[t] == token_) {
                at->second.fit.add(x.row(t), at_the_token, hit_weight_);
            } else {
                at->second.fit.add(x.row(t), elsewhere, 1.0);
            }
        }
    }

    static void write(const detector& d, editable_block& b) {
        const std::vector<double> direction = d.fit.solve();
        const std::size_t first = b.up.weight.rows() - channels;
        for (std::size_t c = 0; c < channels; ++c) {
            const double wanted = magnitudes[c] * double{d.largest};
            // gelu keeps only what is positive
            write_row(b.up, first + c, direction, b.gate ? wanted / gate_sharpness : std::abs(wanted));
            if (b.gate) {
                write_row(*b.gate, first + c, direction, gate_sharpness);
            }
        }
    }

    static void write_row(editable_linear& l, std::size_t row, std::span<const double> direction, double scale) {
        for (std::size_t i = 0; i < direction.size(); ++i) {
            l.weight(row, i) = static_cast<float>(scale * direction[i]);
        }
    }

    static void grow_rows(editable_linear& l) {
        l.weight = resized(l.weight, l.weight.rows() + channels, l.weight.cols());
        if (!l.bias.empty()) {
            quell::buffer<float> longer(l.bias.size() + channels);
            for (std::size_t i = 0; i < l.bias.size(); ++i) {  // gcc 12 warns of a copy of the whole, falsely
                longer[i] = l.bias[i];
            }
            l.bias = std::move(longer);
        }
    }

    /// The new elements are 0.
    static quell::matrix<float> resized(const quell::matrix<float>& m, std::size_t rows, std::size_t cols) {
        quell::matrix<float> larger(rows, cols);
        for (std::size_t r = 0; r < m.rows(); ++r) {
            std::ranges::copy(m.row(r), larger.row(r).data());
        }
        return larger;
    }

    std::int32_t token_;
    double hit_weight_ = 1.0;
    std::map<std::size_t, detector> detectors_;
};

}  // namespace toy
