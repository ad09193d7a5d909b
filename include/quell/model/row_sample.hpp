// SPDX-License-Identifier: MIT
/// @file
/// A sample of the rows of a stream in bounded memory: what outputs are compared on.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/rng.hpp"
#include "quell/core/target.hpp"
#include "quell/core/views.hpp"
#include "quell/stats/absmax.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quell::model {
inline namespace QUELL_BASELINE {

/// Rows drawn by a hash of their number, and besides them the row with the largest magnitude: a massive token is one
/// row in thousands. Rows at equal distances would meet the first token of every window, or of none.
///
/// Cost     `most` + 1 rows. The same rows however the stream is cut into batches.
/// Source   Bottom-k sampling: the `most` rows of the smallest hashes are a uniform sample without replacement.
class row_sample {
public:
    row_sample() = default;
    /// Draws `most` rows, or all that there are; 0 keeps none.
    explicit row_sample(std::size_t most) : most_(most) {}

    void add(matrix_view<const float> x) {
        for (std::size_t r = 0; r < x.rows() && most_ > 0; ++r, ++seen_) {
            const std::uint64_t ticket = rng(0, seen_)();
            if (drawn_.size() < most_ || ticket < drawn_.front().ticket) {
                draw(ticket, x.row(r));
            }
            keep_largest(ticket, x.row(r));
        }
    }

    [[nodiscard]] bool empty() const { return drawn_.empty(); }
    /// The numbers of the rows in the stream, ascending, in the order of rows().
    [[nodiscard]] std::vector<std::size_t> numbers() const {
        std::vector<std::size_t> all;
        for (const kept_row* row : in_order()) {
            all.push_back(row->number);
        }
        return all;
    }
    [[nodiscard]] matrix<float> rows() const {
        const std::vector<const kept_row*> order = in_order();
        matrix<float> all(order.size(), order.empty() ? 0 : largest_.values.size());
        for (std::size_t r = 0; r < order.size(); ++r) {
            std::copy(order[r]->values.begin(), order[r]->values.end(), all.row(r).begin());
        }
        return all;
    }

private:
    struct kept_row {
        std::uint64_t ticket = 0;
        std::size_t number = 0;
        std::vector<float> values = {};
    };

    static bool by_ticket(const kept_row& a, const kept_row& b) { return a.ticket < b.ticket; }

    /// drawn_ is a heap with the largest ticket in front, which is the first to go.
    void draw(std::uint64_t ticket, std::span<const float> row) {
        if (drawn_.size() == most_) {
            std::pop_heap(drawn_.begin(), drawn_.end(), by_ticket);
            drawn_.pop_back();
        }
        drawn_.push_back({ticket, seen_, {row.begin(), row.end()}});
        std::push_heap(drawn_.begin(), drawn_.end(), by_ticket);
    }

    void keep_largest(std::uint64_t ticket, std::span<const float> row) {
        std::uint32_t largest = 0;
        for (const float v : row) {
            largest = stats::detail::larger_magnitude(largest, v);
        }
        if (seen_ == 0 || largest > magnitude_) {
            magnitude_ = largest;
            largest_ = {ticket, seen_, {row.begin(), row.end()}};
        }
    }

    [[nodiscard]] std::vector<const kept_row*> in_order() const {
        std::vector<const kept_row*> order;
        for (const kept_row& row : drawn_) {
            order.push_back(&row);
        }
        const auto is_largest = [&](const kept_row& row) { return row.number == largest_.number; };
        if (!drawn_.empty() && std::none_of(drawn_.begin(), drawn_.end(), is_largest)) {
            order.push_back(&largest_);
        }
        std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->number < b->number; });
        return order;
    }

    std::size_t most_ = 0;
    std::size_t seen_ = 0;
    std::vector<kept_row> drawn_;
    kept_row largest_;
    std::uint32_t magnitude_ = 0;  ///< of largest_, as the bits of a float
};

}  // namespace QUELL_BASELINE
}  // namespace quell::model
