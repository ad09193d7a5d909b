// SPDX-License-Identifier: MIT
/// @file
/// How long work tells where it is: a callback in the options. The library itself prints nothing.
#pragma once

#include "quell/core/target.hpp"

#include <cstddef>
#include <functional>
#include <string_view>

namespace quell {
inline namespace QUELL_BASELINE {

/// Called as (stage, item, done, total), for example ("quantize", "blk.3.ffn_down", 24, 210). May be empty.
using progress_callback =
    std::function<void(std::string_view stage, std::string_view item, std::size_t done, std::size_t total)>;

inline void report_progress(const progress_callback& callback, std::string_view stage, std::string_view item,
                            std::size_t done, std::size_t total) {
    if (callback) {
        callback(stage, item, done, total);
    }
}

}  // namespace QUELL_BASELINE
}  // namespace quell
