// SPDX-License-Identifier: MIT
/// @file
/// Plants into a model the outliers that large language models grow by themselves and toys do not. The float function
/// stays the same: what is scaled up is scaled down where it is read, and what is added is multiplied by zero.
#pragma once

#include "toy/channel_outliers.hpp"
#include "toy/corpus.hpp"
#include "toy/massive_tokens.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace toy {

enum class plant_kind : std::uint8_t { channels, tokens, both };

[[nodiscard]] inline std::optional<plant_kind> plant_named(std::string_view name) {
    if (name == "channels") {
        return plant_kind::channels;
    }
    if (name == "tokens") {
        return plant_kind::tokens;
    }
    return name == "both" ? std::optional(plant_kind::both) : std::nullopt;
}

/// The calibration text as the ids of a model over bytes.
[[nodiscard]] inline std::vector<std::int32_t> calibration_bytes(std::size_t bytes) {
    const std::string all = text(calibration_seed, bytes);
    std::vector<std::int32_t> ids;
    for (const char c : all) {
        ids.push_back(static_cast<unsigned char>(c));
    }
    return ids;
}

namespace detail {

inline quell::result<massive_tokens> learn_massive_tokens(const transformer::model& m,
                                                          std::span<const std::int32_t> ids,
                                                          const quell::executor& threads) {
    constexpr std::size_t enough = 6144;
    if (!ids.empty()) {
        const std::span<const std::int32_t> some = ids.first(std::min(ids.size(), enough));
        return massive_tokens::learn(m, some, most_frequent(some), threads);
    }
    if (m.shape.vocab != 256) {
        return quell::error{quell::errc::unsupported, "massive tokens: a model over " + std::to_string(m.shape.vocab) +
                                                          " tokens needs some text to learn from"};
    }
    return massive_tokens::learn(m, calibration_bytes(enough), '.', threads);
}

}  // namespace detail

/// A copy of the model with planted outliers; embedding and head are shared with it. The massive token is the most
/// frequent one of `ids`, some thousand tokens of text; without them it is the full stop of a model over bytes.
///
/// Errors   errc::unsupported when a linear is not in float, or those ids are missing.
[[nodiscard]] inline quell::result<transformer::model> plant(const transformer::model& m, plant_kind kind,
                                                             std::uint64_t seed, const quell::executor& threads = {},
                                                             std::span<const std::int32_t> ids = {}) {
    if (!std::ranges::all_of(m.blocks, is_float)) {
        return quell::error{quell::errc::unsupported, "outliers can be planted into a float model only"};
    }
    std::optional<massive_tokens> tokens;
    if (kind != plant_kind::channels) {
        QUELL_TRY(tokens, detail::learn_massive_tokens(m, ids, threads));
    }
    channel_outliers channels(m.blocks.front().attn_norm, m.shape.ff_width, seed);
    transformer::model planted = frame_of(m);
    planted.shape.ff_width += tokens ? massive_tokens::channels : 0;
    for (std::size_t layer = 0; layer < m.blocks.size(); ++layer) {
        editable_block b = open_block(m.blocks[layer]);
        if (tokens) {
            tokens->plant(layer, b);
        }
        if (kind != plant_kind::tokens) {
            channels.plant(b);
        }
        planted.blocks.push_back(close_block(std::move(b), threads));
    }
    return planted;
}

}  // namespace toy
