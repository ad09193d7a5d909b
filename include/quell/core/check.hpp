// SPDX-License-Identifier: MIT
/// @file
/// Contract checks. A broken contract is the caller's bug, so it ends the program with one line; bad data is not: that
/// is a `result`. The checks are on in debug builds and where QUELL_CHECKS is 1, and cost nothing elsewhere. The
/// handler can be replaced; it must not return.
#pragma once

#include <cstdio>
#include <cstdlib>

#ifndef QUELL_CHECKS
#ifdef NDEBUG
#define QUELL_CHECKS 0
#else
#define QUELL_CHECKS 1
#endif
#endif

namespace quell {

using failure_handler = void (*)(const char* condition, const char* sentence, const char* file, int line);

[[noreturn]] inline void abort_with_message(const char* condition, const char* sentence, const char* file, int line) {
    std::fprintf(stderr, "%s:%d: quell: %s (%s)\n", file, line, sentence, condition);
    std::abort();
}

/// The function that a failed check calls; replace it before the first use of the library.
inline failure_handler on_contract_failure = &abort_with_message;

namespace detail {

[[noreturn]] inline void contract_failed(const char* condition, const char* sentence, const char* file, int line) {
    on_contract_failure(condition, sentence, file, line);
    std::abort();
}

}  // namespace detail
}  // namespace quell

#if QUELL_CHECKS
#define QUELL_EXPECTS(condition, sentence) \
    ((condition) ? void(0) : ::quell::detail::contract_failed(#condition, sentence, __FILE__, __LINE__))
#else
#define QUELL_EXPECTS(condition, sentence) void(0)
#endif

/// The same for what our own code promises.
#define QUELL_ENSURES(condition, sentence) QUELL_EXPECTS(condition, sentence)
