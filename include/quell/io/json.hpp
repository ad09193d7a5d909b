// SPDX-License-Identifier: MIT
/// @file
/// JSON from files that nobody vouches for: a limit on depth and on the number of values, duplicate keys refused, no
/// exceptions. The parser is nlohmann/json's; this is what it is fed to.
#pragma once

#include "quell/io/message.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quell::io {
inline namespace QUELL_BASELINE {

struct json_limits {
    std::size_t depth = 16;
    std::size_t values = 10'000'000;
};

namespace detail {

/// Receives nlohmann/json's events and builds the document; every function answers whether to go on.
class json_builder {
public:
    using json = nlohmann::json;

    explicit json_builder(const json_limits& limits) : limits_(limits) {}

    [[nodiscard]] json& document() { return document_; }
    /// Why the parser stopped.
    [[nodiscard]] const std::string& reason() const { return reason_; }

    bool null() { return add(nullptr) != nullptr; }
    bool boolean(bool value) { return add(value) != nullptr; }
    bool number_integer(json::number_integer_t value) { return add(value) != nullptr; }
    bool number_unsigned(json::number_unsigned_t value) { return add(value) != nullptr; }
    bool number_float(json::number_float_t value, const std::string&) { return add(value) != nullptr; }
    bool string(std::string& value) { return add(std::move(value)) != nullptr; }
    bool binary(json::binary_t&) { return stop("a binary value"); }

    bool start_object(std::size_t) { return open(json::object()); }
    bool end_object() { return close(); }
    bool start_array(std::size_t) { return open(json::array()); }
    bool end_array() { return close(); }

    bool key(std::string& name) {
        const auto [member, fresh] = open_.back()->get_ptr<json::object_t*>()->emplace(name, nullptr);
        member_ = &member->second;
        return fresh || stop("the key " + io::quoted(name) + " stands twice in one object");
    }

    bool parse_error(std::size_t position, const std::string&, const json::exception& problem) {
        const bool overflow = problem.id == 406;
        return stop((overflow ? "a number out of range at byte " : "not valid JSON at byte ") +
                    std::to_string(position));
    }

private:
    bool stop(std::string reason) {
        reason_ = std::move(reason);
        return false;
    }

    /// Where the value stands now; nullptr when there are too many.
    json* add(json value) {
        if (++values_ > limits_.values) {
            stop("more than " + std::to_string(limits_.values) + " values");
            return nullptr;
        }
        if (open_.empty()) {
            document_ = std::move(value);
            return &document_;
        }
        if (auto* array = open_.back()->get_ptr<json::array_t*>()) {
            return &array->emplace_back(std::move(value));
        }
        *member_ = std::move(value);
        return member_;
    }

    bool open(json container) {
        if (open_.size() == limits_.depth) {
            return stop("nested deeper than " + std::to_string(limits_.depth));
        }
        open_.push_back(add(std::move(container)));
        return open_.back() != nullptr;
    }

    bool close() {
        open_.pop_back();
        return true;
    }

    json_limits limits_;
    json document_;
    std::vector<json*> open_;  ///< from the document to the innermost container that is not yet closed
    json* member_ = nullptr;   ///< the object member whose value comes next
    std::size_t values_ = 0;
    std::string reason_;
};

}  // namespace detail

/// The document in `text`; `file` is named in errors.
///
/// Errors   errc::bad_format: not JSON, not UTF-8, a NUL byte, a key twice in one object, beyond a limit.
[[nodiscard]] inline result<nlohmann::json> parse_json(std::string_view text, const std::string& file,
                                                       const json_limits& limits = {}) {
    if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {  // the parser would end there
        return failure(errc::bad_format, file, "a NUL byte in the JSON at byte ", nul);
    }
    detail::json_builder builder(limits);
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
        return failure(errc::bad_format, file, builder.reason());
    }
    return std::move(builder.document());
}

}  // namespace QUELL_BASELINE
}  // namespace quell::io
