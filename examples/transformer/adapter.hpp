// SPDX-License-Identifier: MIT
/// @file
/// How this engine lends itself to quell: a graph and four callbacks; and how it takes the result back. This file is
/// the pattern for an engine of your own.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/result.hpp"
#include "quell/model/engine.hpp"
#include "transformer/graph.hpp"
#include "transformer/model.hpp"
#include "transformer/session.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace transformer {

namespace detail {

/// The linear that a site of make_graph means; nullptr where a block has none of that module.
inline const quell::quant::linear* linear_of(const model& m, const quell::site& s) {
    const block& b = m.blocks[s.layer];
    const std::map<std::string_view, const quell::quant::linear*> modules = {
        {"q", &b.q},   {"k", &b.k},      {"v", &b.v}, {"o", &b.o}, {"gate", b.gate ? &*b.gate : nullptr},
        {"up", &b.up}, {"down", &b.down}};
    const auto at = modules.find(s.module);
    return at == modules.end() ? nullptr : at->second;
}

/// Every norm gain under the name that make_graph gives it.
inline std::map<std::string, std::span<const float>> gains_of(const model& m) {
    std::map<std::string, std::span<const float>> gains;
    for (std::size_t l = 0; l < m.blocks.size(); ++l) {
        gains[block_name(l) + "attn_norm"] = m.blocks[l].attn_norm;
        gains[block_name(l) + "ffn_norm"] = m.blocks[l].ffn_norm;
    }
    gains["output_norm"] = m.final_norm;
    return gains;
}

inline std::shared_ptr<const quell::quant::linear> make_table(const quell::matrix<float>& rows) {
    return std::make_shared<const quell::quant::linear>(quell::quant::float_linear(rows.view()));
}

/// Runs the ids in windows of `context` tokens, the last one shorter, and shows every linear's input, the
/// head's too. All windows stand behind the prefix.
inline quell::result<void> calibrate(const model& m, const prefix_ptr& prefix, std::span<const std::int32_t> ids,
                                     std::size_t context, const quell::executor& threads, const observer& see) {
    if (ids.empty()) {
        return quell::error{quell::errc::bad_value, "calibration: there is no text to run"};
    }
    const std::size_t window = std::min(context, ids.size());
    session run(m, threads, window, prefix);
    run.observe(see);
    for (std::size_t first = 0; first < ids.size(); first += window) {
        run.reset();
        QUELL_TRY_VOID(run.prefill(ids.subspan(first, std::min(window, ids.size() - first))));
        if (see) {
            see(inputs_per_block * m.blocks.size(), run.hidden());  // what enters the head
        }
    }
    return {};
}

}  // namespace detail

/// The callbacks refer to the model and copy the ids; the model must outlive them. Calibration runs behind the prefix.
/// Who has something to measure loss with adds `loss`.
inline quell::model::engine make_engine(const model& m, std::span<const std::int32_t> calibration_ids,
                                        std::size_t context, const quell::executor& threads,
                                        const prefix_ptr& prefix = {}) {
    quell::model::engine e;
    e.prefix = prefix ? prefix->ids : e.prefix;
    e.graph = make_graph(m.shape);
    e.weight = [&m](const quell::site& s) -> quell::result<quell::matrix<float>> {
        const quell::quant::linear* found = detail::linear_of(m, s);
        if (found == nullptr) {
            return quell::error{quell::errc::not_found, s.name + ": no such linear"};
        }
        return quell::quant::weight(*found);
    };
    e.bias = [&m](const quell::site& s) -> std::span<const float> {
        const quell::quant::linear* found = detail::linear_of(m, s);
        return found == nullptr ? std::span<const float>() : quell::quant::bias(*found);
    };
    e.gain = [&m](const std::string& name) -> quell::result<quell::buffer<float>> {
        const auto gains = detail::gains_of(m);
        const auto at = gains.find(name);
        if (at == gains.end()) {
            return quell::error{quell::errc::not_found, name + ": no such norm gain"};
        }
        return quell::buffer<float>::copy_of(at->second);
    };
    e.table = [&m](const std::string& name) -> quell::result<quell::matrix<float>> {
        return quell::quant::weight(name == make_graph(m.shape).stream.embedding ? *m.embedding : *m.head);
    };
    e.calibrate = [&m, ids = std::vector<std::int32_t>(calibration_ids.begin(), calibration_ids.end()), context,
                   threads, prefix](const quell::model::input_observer& see) {
        return detail::calibrate(m, prefix, ids, context, threads, see);
    };
    e.probe = [&m, threads](quell::model::token_ids front, quell::model::token_ids ids,
                            const quell::model::input_observer& see) -> quell::result<void> {
        QUELL_TRY(const prefix_ptr kept, make_prefix(m, front, threads));
        return detail::calibrate(m, kept, ids, ids.size(), threads, see);
    };
    return e;
}

/// `base` with the linears and gains of `changed`, which has one linear for every site of make_graph, behind the prefix
/// of its plan. Embedding and head are shared with `base` where the residual stream was not rotated.
inline model with_linears(const model& base, quell::model::quantized_model&& changed, const prefix_ptr& prefix = {}) {
    QUELL_EXPECTS(changed.linears.size() == make_graph(base.shape).sites.size(), "one linear for every site");
    QUELL_EXPECTS(changed.decided.prefix == (prefix ? prefix->ids : std::vector<std::int32_t>()),
                  "the prefix that the plan says");
    const auto gain = [&](const std::string& name, const quell::buffer<float>& old) {
        const auto at = changed.gains.find(name);
        return at == changed.gains.end() ? quell::buffer<float>::copy_of(old) : std::move(at->second);
    };
    auto next = std::make_move_iterator(changed.linears.begin());
    model m;
    m.shape = base.shape;
    m.mapped_from = base.mapped_from;  // the embedding may lie there
    m.embedding = base.embedding;
    m.head = base.head;
    if (changed.tables) {
        m.embedding = detail::make_table(changed.tables->embedding);
        m.head = detail::make_table(changed.tables->head);
        m.shape.tied_head = false;
    }
    if (changed.rounded_tables) {
        m.embedding = std::move(changed.rounded_tables->embedding);
        m.head = std::move(changed.rounded_tables->head);
    }
    m.final_norm = gain("output_norm", base.final_norm);
    m.rope_factors = quell::buffer<float>::copy_of(base.rope_factors);
    m.prefix = prefix;
    for (std::size_t l = 0; l < base.blocks.size(); ++l) {
        const block& old = base.blocks[l];
        m.blocks.push_back(block{.attn_norm = gain(block_name(l) + "attn_norm", old.attn_norm),
                                 .q = *next++,
                                 .k = *next++,
                                 .v = *next++,
                                 .o = *next++,
                                 .ffn_norm = gain(block_name(l) + "ffn_norm", old.ffn_norm),
                                 .gate = old.gate ? std::optional<quell::quant::linear>(*next++) : std::nullopt,
                                 .up = *next++,
                                 .down = *next++});
    }
    return m;
}

}  // namespace transformer
