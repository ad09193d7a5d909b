// SPDX-License-Identifier: MIT
/// @file
/// The choice of a kernel table: the strongest level that this build has and this processor can run, unless the
/// environment variable QUELL_ISA or lower_to() asks for a weaker one. Take the table once, above the loop.
#pragma once

#include "quell/core/result.hpp"
#include "quell/kernels/table.hpp"
#if !QUELL_KERNELS_APART
#include "quell/kernels/levels.hpp"
#endif

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace quell::kernels {

namespace detail {

/// What lower_to() chose: 0 or 1 + the level. Outside the tagged namespace, so that the whole program shares it.
inline std::atomic<unsigned> lowered_to = 0;

}  // namespace detail

inline namespace QUELL_BASELINE {

namespace detail {

using quell::kernels::detail::lowered_to;

#if QUELL_KERNELS_APART
std::span<const kernel_table* const> compiled_tables();  // in the unit that includes levels.hpp
#endif

struct runnable_levels {
    isa levels[std::size(all_isas)] = {};
    std::size_t count = 0;

    runnable_levels() {
        for (const kernel_table* table : compiled_tables()) {
            if (processor_has(table->level)) {
                levels[count++] = table->level;
            }
        }
    }
};

}  // namespace detail

/// The levels that both this build and this processor have, weakest first.
[[nodiscard]] inline std::span<const isa> available() {
    static const detail::runnable_levels runnable;
    return {runnable.levels, runnable.count};
}

/// The kernels of one level; nullptr where it is not available.
[[nodiscard]] inline const kernel_table* by_isa(isa level) {
    for (const kernel_table* table : detail::compiled_tables()) {
        if (table->level == level && processor_has(level)) {
            return table;
        }
    }
    return nullptr;
}

namespace detail {

[[nodiscard]] inline error not_available(std::string_view wanted) {
    std::string message = "instruction set '" + std::string(wanted) + "' is not available here; there are:";
    for (const isa level : available()) {
        message += ' ';
        message += name(level);
    }
    return {errc::unsupported, std::move(message)};
}

}  // namespace detail

/// The level that QUELL_ISA asks for, the strongest one where it is not set.
/// Errors   errc::unsupported for a word that names no available level; best() then ignores it, programs should not.
[[nodiscard]] inline result<isa> isa_from_environment() {
    const char* text = std::getenv("QUELL_ISA");
    if (text == nullptr || *text == '\0') {
        return available().back();
    }
    const std::optional<isa> level = isa_named(text);
    if (!level || by_isa(*level) == nullptr) {
        return detail::not_available(text).in("QUELL_ISA");
    }
    return *level;
}

/// The kernels to use: of the level given to lower_to(), else of QUELL_ISA, else the strongest available.
[[nodiscard]] inline const kernel_table& best() {
    static const kernel_table* const preset = by_isa(isa_from_environment().value_or(available().back()));
    const unsigned lowered = detail::lowered_to.load(std::memory_order_relaxed);
    return lowered == 0 ? *preset : *by_isa(static_cast<isa>(lowered - 1));
}

/// Makes best() return the kernels of this level from now on, in the whole program.
/// Errors   errc::unsupported where the level is not available; then nothing changes.
[[nodiscard]] inline result<void> lower_to(isa level) {
    if (by_isa(level) == nullptr) {
        return detail::not_available(name(level));
    }
    detail::lowered_to.store(1 + static_cast<unsigned>(level), std::memory_order_relaxed);
    return {};
}

}  // namespace QUELL_BASELINE
}  // namespace quell::kernels
