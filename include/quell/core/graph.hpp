// SPDX-License-Identifier: MIT
/// @file
/// The model as quell sees it: the linears (`site`) and the activations that enter them (`input_point`), nothing else.
/// An engine fills this in once; transforms read from it where a scale or a rotation can be folded.
#pragma once

#include "quell/core/target.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace quell {
inline namespace QUELL_BASELINE {

/// Where the activations of an input point come from, which decides what can be folded before them.
enum class producer_kind {
    none,       ///< nothing foldable
    norm_gain,  ///< a normalization followed by a per-channel gain
    product,    ///< an elementwise product with the output of the linear `producer`
    linear,     ///< the output of the linear `producer`, each head repeated `head_repeat` times
};

/// Activations [tokens, features] that one or more linears read: q, k and v share one.
struct input_point {
    std::string name{};
    std::size_t features = 0;
    producer_kind kind = producer_kind::none;
    std::string producer{};       ///< name of the norm gain or of the linear
    std::size_t head_repeat = 1;  ///< grouped-query attention: query heads per key-value head
    std::size_t head_size = 0;
    bool reads_residual = false;  ///< the norm in front reads the residual stream
};

/// One linear, y = x W^T + b with W [out_features, in_features].
struct site {
    std::string name{};    ///< the engine's own name, such as "blk.3.ffn_down"
    std::string module{};  ///< q, k, v, o, gate, up, down, head
    std::size_t layer = 0;
    std::size_t out_features = 0;
    std::size_t in_features = 0;
    std::string storage{};  ///< equal for tied weights
    std::size_t input = 0;  ///< index into graph::inputs
    bool writes_residual = false;
};

/// Where the residual stream begins and ends: tables [vocabulary, width] that are no sites. Without names the engine
/// does not lend them, and nothing can turn the stream.
struct stream_ends {
    std::string embedding{};   ///< its rows start the stream
    std::string head{};        ///< reads the stream behind the final norm; the embedding's name where they are tied
    std::string final_norm{};  ///< name of its gain
    std::size_t width = 0;

    [[nodiscard]] bool empty() const { return embedding.empty() || head.empty() || final_norm.empty(); }
};

struct graph {
    std::vector<input_point> inputs{};
    std::vector<site> sites{};
    stream_ends stream{};

    /// The indices of all sites that read this input.
    [[nodiscard]] std::vector<std::size_t> readers_of(std::size_t input) const {
        std::vector<std::size_t> readers;
        for (std::size_t s = 0; s < sites.size(); ++s) {
            if (sites[s].input == input) {
                readers.push_back(s);
            }
        }
        return readers;
    }

    /// The index of a site; sites.size() where none has this name.
    [[nodiscard]] std::size_t site_named(std::string_view name) const {
        std::size_t s = 0;
        while (s < sites.size() && sites[s].name != name) {
            ++s;
        }
        return s;
    }
};

}  // namespace QUELL_BASELINE
}  // namespace quell
