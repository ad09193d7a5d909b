// SPDX-License-Identifier: MIT
/// @file
/// Structs to JSON and back by one visit function a struct: `fields(visit, object)` calls visit(name, member) for each
/// member. The writer keeps that order; the reader reports unknown keys, wrong types and numbers out of range by path,
/// and leaves a member whose key is missing as it is.
#pragma once

#include "quell/core/result.hpp"
#include "quell/core/target.hpp"
#include "quell/report/names.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace quell::report {
inline namespace QUELL_BASELINE {

namespace detail {

/// The shortest decimal that reads back as the same float: 0.9, not 0.8999999761581421. Not finite: null.
inline nlohmann::ordered_json number(float value) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, value).ptr;
    double shortest = 0.0;
    std::from_chars(text, end, shortest);
    if (!std::isfinite(value)) {
        return nullptr;
    }
    return static_cast<float>(shortest) == value ? shortest : static_cast<double>(value);
}

}  // namespace detail

class json_writer {
public:
    template <typename T>
    void operator()(std::string_view key, const T& value) {
        object_[std::string(key)] = to_value(value);
    }

    [[nodiscard]] nlohmann::ordered_json finish() && { return std::move(object_); }

    template <typename T>
    [[nodiscard]] static nlohmann::ordered_json to_value(const T& value) {
        if constexpr (named_enum<T>) {
            return std::string(word_for(value));
        } else if constexpr (std::same_as<T, float>) {
            return detail::number(value);
        } else if constexpr (std::same_as<T, double>) {
            return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
        } else if constexpr (std::integral<T> || std::same_as<T, std::string>) {
            return value;
        } else {
            json_writer visit;
            fields(visit, value);
            return std::move(visit).finish();
        }
    }

    template <typename T>
    [[nodiscard]] static nlohmann::ordered_json to_value(const std::vector<T>& values) {
        auto list = nlohmann::ordered_json::array();
        for (const T& value : values) {
            list.push_back(to_value(value));
        }
        return list;
    }

    template <typename T>
    [[nodiscard]] static nlohmann::ordered_json to_value(const std::optional<T>& value) {
        return value ? to_value(*value) : nlohmann::ordered_json(nullptr);
    }

private:
    nlohmann::ordered_json object_ = nlohmann::ordered_json::object();
};

class json_reader {
public:
    /// `path` names the object in messages, such as "plan.json: sites[3]".
    json_reader(const nlohmann::json& object, std::string path) : object_(object), path_(std::move(path)) {
        if (!object_.is_object()) {
            fail(path_, "an object", object_);
        }
    }

    template <typename T>
    void operator()(std::string_view key, T& member) {
        known_.emplace_back(key);
        if (const auto found = object_.find(std::string(key)); found != object_.end() && !error_) {
            read(*found, path_ + "." + std::string(key), member);
        }
    }

    /// For a member that is more than a type can say: "path.key: expected `expected`".
    void refuse(std::string_view key, const std::string& expected) {
        const auto found = object_.find(std::string(key));
        fail(path_ + "." + std::string(key), expected, found == object_.end() ? nlohmann::json() : *found);
    }

    /// The first thing that was wrong, unknown keys included.
    [[nodiscard]] result<void> finish() const {
        if (error_) {
            return *error_;
        }
        for (const auto& [key, value] : object_.items()) {
            if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
                return error{errc::bad_format, path_ + ": unknown key '" + key + "'; known are " + list_of_keys()};
            }
        }
        return {};
    }

private:
    template <typename T>
    void read(const nlohmann::json& value, const std::string& path, T& member) {
        if constexpr (std::same_as<T, std::string>) {
            value.is_string() ? void(member = *value.template get_ptr<const std::string*>())
                              : fail(path, "a text", value);
        } else if constexpr (named_enum<T>) {
            read_word(value, path, member);
        } else if constexpr (std::integral<T>) {
            read_integer(value, path, member);
        } else if constexpr (std::floating_point<T>) {
            read_real(value, path, member);
        } else {
            json_reader visit(value, path);
            if (!visit.error_) {
                fields(visit, member);
            }
            keep(visit.finish());
        }
    }

    template <typename T>
    void read(const nlohmann::json& value, const std::string& path, std::vector<T>& members) {
        if (!value.is_array()) {
            fail(path, "a list", value);
            return;
        }
        for (std::size_t i = 0; i < value.size() && !error_; ++i) {
            read(value[i], path + "[" + std::to_string(i) + "]", members.emplace_back());
        }
    }

    template <typename T>
    void read(const nlohmann::json& value, const std::string& path, std::optional<T>& member) {
        value.is_null() ? member.reset() : read(value, path, member.emplace());
    }

    void read(const nlohmann::json& value, const std::string& path, bool& member) {
        value.is_boolean() ? void(member = value.template get<bool>()) : fail(path, "true or false", value);
    }

    template <typename T>
    void read_word(const nlohmann::json& value, const std::string& path, T& member) {
        const auto* word = value.template get_ptr<const std::string*>();
        const auto found = word == nullptr ? std::nullopt : from_word<T>(*word);
        if (found) {
            member = *found;
            return;
        }
        std::string words;
        for (const named<T>& entry : words_of<T>) {
            words += (words.empty() ? "" : ", ") + std::string(entry.name);
        }
        fail(path, "one of " + words, value);
    }

    template <typename T>
    void read_integer(const nlohmann::json& value, const std::string& path, T& member) {
        if (value.is_number_unsigned() && std::in_range<T>(value.template get<std::uint64_t>())) {
            member = static_cast<T>(value.template get<std::uint64_t>());
        } else if (value.is_number_integer() && !value.is_number_unsigned() &&
                   std::in_range<T>(value.template get<std::int64_t>())) {
            member = static_cast<T>(value.template get<std::int64_t>());
        } else {
            fail(path, std::is_signed_v<T> ? "an integer in range" : "an integer of at least 0", value);
        }
    }

    template <typename T>
    void read_real(const nlohmann::json& value, const std::string& path, T& member) {
        const double number =
            value.is_number() ? value.template get<double>() : std::numeric_limits<double>::infinity();
        if (std::abs(number) <= static_cast<double>(std::numeric_limits<T>::max())) {
            member = static_cast<T>(number);
        } else {
            fail(path, "a finite number", value);
        }
    }

    void fail(const std::string& path, const std::string& expected, const nlohmann::json& value) {
        std::string shown = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
        if (shown.size() > 40) {
            shown = shown.substr(0, 37) + "...";
        }
        keep(error{errc::bad_format, path + ": expected " + expected + ", found " + shown});
    }

    void keep(const result<void>& status) {
        if (!status && !error_) {
            error_ = status.error();
        }
    }

    [[nodiscard]] std::string list_of_keys() const {
        std::string keys;
        for (const std::string& key : known_) {
            keys += (keys.empty() ? "" : ", ") + key;
        }
        return keys;
    }

    const nlohmann::json& object_;
    std::string path_;
    std::vector<std::string> known_;
    std::optional<error> error_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::report
