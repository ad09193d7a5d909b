// SPDX-License-Identifier: MIT
/// @file
/// The merge step of byte-pair encoding on token ids: of all neighbours that a rule joins, the pair with the lowest
/// rank becomes one token, the leftmost first, until no rule applies. A linked list of symbols and a heap of candidate
/// pairs, so that a piece of n bytes costs O(n log n) however long it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace transformer {

class byte_pairs {
public:
    struct rule {
        std::int32_t left;
        std::int32_t right;
        std::int32_t merged;
    };

    /// The rule of the next rank. False when the pair already has a rule.
    bool add(std::int32_t left, std::int32_t right, std::int32_t merged) {
        rules_.push_back({left, right, merged});
        return ranks_.emplace(key(left, right), rules_.size() - 1).second;
    }

    /// By rank.
    [[nodiscard]] const std::vector<rule>& rules() const { return rules_; }

    /// Merges the piece `ids` in place.
    void merge(std::vector<std::int32_t>& ids) const {
        if (ids.size() < 2 || rules_.empty()) {
            return;
        }
        std::vector<symbol> symbols;
        symbols.reserve(ids.size());
        for (std::size_t i = 0; i < ids.size(); ++i) {
            symbols.push_back({ids[i], i == 0 ? none : i - 1, i + 1 == ids.size() ? none : i + 1});
        }
        candidates heap;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            offer(symbols, i, heap);
        }
        while (!heap.empty()) {
            const candidate best = heap.top();
            heap.pop();
            if (still_there(symbols, best)) {
                join(symbols, best, heap);
            }
        }
        ids.clear();
        for (std::size_t i = 0; i != none; i = symbols[i].next) {  // the first symbol is never joined to one before it
            ids.push_back(symbols[i].id);
        }
    }

private:
    static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
    static constexpr std::int32_t joined = -1;  ///< the id of a symbol that has become part of its left neighbour

    struct symbol {
        std::int32_t id;
        std::size_t previous;
        std::size_t next;
    };
    struct candidate {
        std::size_t rank;
        std::size_t at;
        friend bool operator>(const candidate& a, const candidate& b) {
            return std::tie(a.rank, a.at) > std::tie(b.rank, b.at);
        }
    };
    using candidates = std::priority_queue<candidate, std::vector<candidate>, std::greater<>>;

    static std::uint64_t key(std::int32_t left, std::int32_t right) {
        return std::uint64_t{static_cast<std::uint32_t>(left)} << 32U | static_cast<std::uint32_t>(right);
    }

    void offer(const std::vector<symbol>& symbols, std::size_t at, candidates& heap) const {
        if (at == none || symbols[at].next == none) {
            return;
        }
        const auto found = ranks_.find(key(symbols[at].id, symbols[symbols[at].next].id));
        if (found != ranks_.end()) {
            heap.push({found->second, at});
        }
    }

    /// A candidate goes stale when a merge takes one of its halves away.
    [[nodiscard]] bool still_there(const std::vector<symbol>& symbols, const candidate& c) const {
        const symbol& left = symbols[c.at];
        return left.id == rules_[c.rank].left && left.next != none && symbols[left.next].id == rules_[c.rank].right;
    }

    void join(std::vector<symbol>& symbols, const candidate& c, candidates& heap) const {
        symbol& left = symbols[c.at];
        symbol& right = symbols[left.next];
        left.id = rules_[c.rank].merged;
        left.next = right.next;
        right.id = joined;
        if (left.next != none) {
            symbols[left.next].previous = c.at;
        }
        offer(symbols, left.previous, heap);
        offer(symbols, c.at, heap);
    }

    std::vector<rule> rules_;  ///< by rank
    std::unordered_map<std::uint64_t, std::size_t> ranks_;
};

}  // namespace transformer
