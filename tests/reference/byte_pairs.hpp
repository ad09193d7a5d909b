// SPDX-License-Identifier: MIT
/// @file
/// Byte-pair merging as the definition says it: look at all neighbours, join the first of the lowest rank, start again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace reference {

/// A rule is {left, right, merged}; its rank is its place.
inline std::vector<std::int32_t> merge_byte_pairs(std::vector<std::int32_t> ids,
                                                  const std::vector<std::array<std::int32_t, 3>>& rules) {
    for (std::size_t rank = 0; rank < rules.size(); ++rank) {
        for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
            if (ids[i] == rules[rank][0] && ids[i + 1] == rules[rank][1]) {
                ids[i] = rules[rank][2];
                ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
                return merge_byte_pairs(ids, rules);
            }
        }
    }
    return ids;
}

}  // namespace reference
