// SPDX-License-Identifier: MIT
/// @file
/// `result<T>`: a value, or an error that says what is wrong with the data. Nothing in the library throws or logs.
/// Own type on purpose: std::expected would be another type in another language mode of the same program.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/target.hpp"

#include <string>
#include <utility>
#include <variant>

namespace quell {
inline namespace QUELL_BASELINE {

enum class errc {
    bad_shape,    ///< sizes that contradict each other
    bad_format,   ///< a file or text that is not what it claims to be
    bad_value,    ///< NaN, infinity or a number outside its range
    unsupported,  ///< well-formed, but quell cannot do it
    not_found,    ///< a name that is not there
    io_failed,    ///< the operating system said no
    not_positive_definite,
};

/// What went wrong, in one line that names the file, the tensor and the number.
struct error {
    errc code = errc::bad_value;
    std::string message;

    /// The same error seen from further out: "`where`: message".
    [[nodiscard]] error in(const std::string& where) const { return {code, where + ": " + message}; }
};

template <typename T>
class [[nodiscard]] result {
public:
    using value_type = T;

    result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    result(::quell::error e) : state_(std::in_place_index<1>, std::move(e)) {}

    [[nodiscard]] bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }

    [[nodiscard]] T& operator*() & { return value(); }
    [[nodiscard]] const T& operator*() const& { return const_cast<result&>(*this).value(); }
    [[nodiscard]] T&& operator*() && { return std::move(value()); }
    [[nodiscard]] T* operator->() { return &value(); }
    [[nodiscard]] const T* operator->() const { return &const_cast<result&>(*this).value(); }

    [[nodiscard]] const ::quell::error& error() const {
        QUELL_EXPECTS(!has_value(), "error() of a result that holds a value");
        return *std::get_if<1>(&state_);
    }
    [[nodiscard]] T value_or(T other) && { return has_value() ? std::move(value()) : std::move(other); }

private:
    T& value() {
        QUELL_EXPECTS(has_value(), "the value of a result that holds an error");
        return *std::get_if<0>(&state_);
    }

    std::variant<T, ::quell::error> state_;
};

template <>
class [[nodiscard]] result<void> {
public:
    using value_type = void;

    result() = default;
    result(::quell::error e) : error_(std::move(e)), ok_(false) {}

    [[nodiscard]] bool has_value() const { return ok_; }
    explicit operator bool() const { return ok_; }
    [[nodiscard]] const ::quell::error& error() const {
        QUELL_EXPECTS(!ok_, "error() of a result without one");
        return error_;
    }

private:
    ::quell::error error_;
    bool ok_ = true;
};

}  // namespace QUELL_BASELINE
}  // namespace quell

/// `QUELL_TRY(auto rows, count_rows(file));` binds the value or returns the error from the enclosing function.
#define QUELL_TRY(declaration, expression) \
    QUELL_DETAIL_TRY(declaration, expression, QUELL_DETAIL_TRY_NAME(quell_try_, __LINE__))
#define QUELL_DETAIL_TRY(declaration, expression, name) \
    auto name = (expression);                           \
    if (!name) {                                        \
        return name.error();                            \
    }                                                   \
    declaration = *std::move(name)
#define QUELL_DETAIL_TRY_NAME(a, b) QUELL_DETAIL_TRY_NAME_JOIN(a, b)
#define QUELL_DETAIL_TRY_NAME_JOIN(a, b) a##b

/// The same for a `result<void>`.
#define QUELL_TRY_VOID(expression)                             \
    do {                                                       \
        if (auto quell_status = (expression); !quell_status) { \
            return quell_status.error();                       \
        }                                                      \
    } while (false)
