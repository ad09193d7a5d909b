// SPDX-License-Identifier: MIT
/// @file
/// The float network of an engine while a plan changes it: what weights and biases are behind the scales and rotations
/// that were folded so far, and what became of norm gains, embedding and head.
#pragma once

#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/graph.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/model/engine.hpp"
#include "quell/model/plan.hpp"
#include "quell/quant/concepts.hpp"
#include "quell/stats/finite.hpp"
#include "quell/transforms/folding.hpp"
#include "quell/transforms/stream_rotation.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// Errors   of all that fetch: errc::not_found for what the engine does not lend, errc::bad_shape and errc::bad_value
/// for
///          what it lends, with its name.
class folded_network {
public:
    /// The engine must outlive it.
    explicit folded_network(const engine& source) : source_(source), row_divisors_(source.graph.sites.size()) {}

    /// Turns both ends of the residual stream: the rotated x leaves the embedding, and the head reads it.
    result<void> rotate_stream(transforms::stream_rotation rotation, const executor& threads) {
        const stream_ends& ends = source_.graph.stream;
        rotation_ = std::make_shared<const transforms::stream_rotation>(std::move(rotation));
        QUELL_TRY(matrix<float> embedding, fetch_table(source_, ends.embedding));
        QUELL_TRY(matrix<float> head, fetch_table(source_, ends.head));
        QUELL_TRY(buffer<float> gain, fetch_gain(ends.final_norm, ends.head, ends.width));
        transforms::scale_columns(head.view(), gain);
        rotation_->apply(embedding.view(), threads);
        rotation_->apply(head.view(), threads);
        std::fill(gain.begin(), gain.end(), 1.0F);
        gains_[ends.final_norm] = std::move(gain);
        tables_ = stream_tables{std::move(embedding), std::move(head)};
        return {};
    }

    /// The gain of the norm in front of an input, as the engine has it.
    [[nodiscard]] result<buffer<float>> norm_gain(std::size_t input) const {
        const input_point& point = source_.graph.inputs[input];
        return fetch_gain(point.producer, point.name, point.features);
    }

    /// What a rotated stream is to an input behind a norm: the gain goes into the readers, and ones stay behind.
    result<quant::input_change> rotated_input(std::size_t input) {
        const input_point& point = source_.graph.inputs[input];
        quant::input_change change{.stream = rotation_};
        QUELL_TRY(change.divisors, norm_gain(input));
        buffer<float>& gain = gains_[point.producer] = buffer<float>(point.features);
        std::fill(gain.begin(), gain.end(), 1.0F);
        return change;
    }

    /// Puts the divisors of an input where its plan wants them.
    result<void> fold(std::size_t input, const input_plan& decided, const quant::input_change& change) {
        if (decided.target == scale_target::producer) {
            row_divisors_[source_.graph.site_named(decided.folded_into)] = buffer<float>::copy_of(change.divisors);
        }
        if (decided.target == scale_target::gain) {
            const std::size_t channels = source_.graph.inputs[input].features;
            QUELL_TRY(buffer<float> gain, fetch_gain(decided.folded_into, decided.name, channels));
            transforms::divide(gain, change.divisors);
            gains_[decided.folded_into] = std::move(gain);
        }
        return {};
    }

    /// The weight of a site, its rows divided where they took the scales of an input that they feed.
    [[nodiscard]] result<matrix<float>> weight(std::size_t at) const {
        QUELL_TRY(matrix<float> w, fetch_weight(source_, source_.graph.sites[at]));
        if (!row_divisors_[at].empty()) {
            transforms::divide_rows(w.view(), row_divisors_[at]);
        }
        return w;
    }

    [[nodiscard]] result<buffer<float>> bias(std::size_t at) const {
        const site& s = source_.graph.sites[at];
        buffer<float> bias = buffer<float>::copy_of(source_.bias ? source_.bias(s) : std::span<const float>());
        if (!bias.empty() && bias.size() != s.out_features) {
            return error{errc::bad_shape, "bias has " + std::to_string(bias.size()) + " entries, the weight asks for " +
                                              std::to_string(s.out_features)};
        }
        if (!bias.empty() && !row_divisors_[at].empty()) {
            transforms::divide(bias, row_divisors_[at]);
        }
        if (!bias.empty() && writes_rotated(at)) {
            rotation_->apply(matrix_view<float>(bias.data(), 1, bias.size()));
        }
        return bias;
    }

    /// Of the weight of a site that writes a rotated stream.
    void rotate_output(std::size_t at, matrix_view<float> weight, const executor& threads) const {
        if (writes_rotated(at)) {
            rotation_->apply_to_output(weight, threads);
        }
    }

    /// Whether its outputs are scaled or rotated.
    [[nodiscard]] bool changes_rows(std::size_t at) const { return writes_rotated(at) || !row_divisors_[at].empty(); }

    /// Takes back what weight() and rotate_output() did to the rows of a site.
    void restore_rows(std::size_t at, matrix_view<float> weight) const {
        if (writes_rotated(at)) {
            rotation_->undo_on_output(weight);
        }
        if (!row_divisors_[at].empty()) {
            transforms::scale_rows(weight, row_divisors_[at]);
        }
    }

    [[nodiscard]] std::map<std::string, buffer<float>> take_gains() { return std::move(gains_); }
    [[nodiscard]] std::optional<stream_tables> take_tables() { return std::move(tables_); }

private:
    [[nodiscard]] bool writes_rotated(std::size_t s) const {
        return rotation_ != nullptr && source_.graph.sites[s].writes_residual;
    }

    [[nodiscard]] result<buffer<float>> fetch_gain(const std::string& name, const std::string& reader,
                                                   std::size_t channels) const {
        if (!source_.gain) {
            return error{errc::not_found, name + ": the engine gives no norm gains"};
        }
        QUELL_TRY(buffer<float> gain, source_.gain(name));
        if (gain.size() != channels) {
            return error{errc::bad_shape, name + ": the gain has " + std::to_string(gain.size()) + " entries, " +
                                              reader + " has " + std::to_string(channels)};
        }
        return gain;
    }

    const engine& source_;
    std::vector<buffer<float>> row_divisors_;  ///< by site: the scales of the input that its output is a factor of
    std::shared_ptr<const transforms::stream_rotation> rotation_;  ///< of the stream, or nullptr
    std::map<std::string, buffer<float>> gains_;                   ///< those that changed
    std::optional<stream_tables> tables_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::model
