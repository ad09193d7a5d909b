// SPDX-License-Identifier: MIT
/// @file
/// How quell borrows threads: an `executor` refers to anything with `concurrency()` and `parallel_for(n, f)`. The
/// library never starts a thread on its own; without an executor it runs serially. Results never depend on it.
#pragma once

#include "quell/core/target.hpp"

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>

namespace quell {
inline namespace QUELL_BASELINE {

/// A reference to a callable `void(std::size_t)`; does not own it.
class index_function {
public:
    template <typename F>
    requires(!std::same_as<std::remove_cvref_t<F>, index_function> && std::invocable<F&, std::size_t>)
        index_function(F&& f)
        : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
          call_([](void* object, std::size_t i) { (*static_cast<std::remove_reference_t<F>*>(object))(i); }) {}

    void operator()(std::size_t i) const { call_(object_, i); }

private:
    void* object_;
    void (*call_)(void*, std::size_t);
};

/// `parallel_for(n, f)` calls f(0) ... f(n - 1), each once, in any order, on at most `concurrency()` threads, and
/// returns when all have returned.
template <typename E>
concept parallel_executor = requires(E& e, std::size_t n, index_function f) {
    { e.concurrency() } -> std::convertible_to<std::size_t>;
    e.parallel_for(n, f);
};

struct serial_executor {
    [[nodiscard]] std::size_t concurrency() const { return 1; }
    void parallel_for(std::size_t n, index_function f) const {
        for (std::size_t i = 0; i < n; ++i) {
            f(i);
        }
    }
};

/// A reference to an executor of any type, two words wide; the default one is serial.
class executor {
public:
    executor() = default;
    template <parallel_executor E>
    requires(!std::same_as<E, executor>) executor(E& e)
        : object_(const_cast<void*>(static_cast<const void*>(std::addressof(e)))),
          concurrency_([](const void* object) -> std::size_t { return static_cast<const E*>(object)->concurrency(); }),
          parallel_for_(
              [](void* object, std::size_t n, index_function f) { static_cast<E*>(object)->parallel_for(n, f); }) {}

    [[nodiscard]] std::size_t concurrency() const { return object_ == nullptr ? 1 : concurrency_(object_); }
    void parallel_for(std::size_t n, index_function f) const {
        if (object_ == nullptr || n <= 1) {
            serial_executor{}.parallel_for(n, f);
        } else {
            parallel_for_(object_, n, f);
        }
    }

private:
    void* object_ = nullptr;
    std::size_t (*concurrency_)(const void*) = nullptr;
    void (*parallel_for_)(void*, std::size_t, index_function) = nullptr;
};

}  // namespace QUELL_BASELINE
}  // namespace quell
