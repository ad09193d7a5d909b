// SPDX-License-Identifier: MIT
/// @file
/// safetensors files made by hand: whole ones from tensors, broken ones from any header text.
#pragma once

#include "support/byte_writer.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace support {

/// A file with this header, as it stands, and `data` after it.
inline std::vector<std::byte> safetensors_file_of(std::string_view header, std::span<const std::byte> data = {}) {
    return byte_writer().counted_text(header).put(data).bytes();
}

/// The same with so many zero bytes of data.
inline std::vector<std::byte> safetensors_file_of(std::string_view header, std::size_t zeros) {
    return safetensors_file_of(header, std::vector<std::byte>(zeros));
}

class safetensors_builder {
public:
    /// The names must need no escapes in JSON.
    safetensors_builder& add(const std::string& name, const std::string& type, const std::vector<std::size_t>& shape,
                             std::span<const std::byte> bytes) {
        std::string json = R"({"dtype":")" + type + R"(","shape":[)";
        for (std::size_t i = 0; i < shape.size(); ++i) {
            json.append(i == 0 ? "" : ",").append(std::to_string(shape[i]));
        }
        json.append(R"(],"data_offsets":[)").append(std::to_string(data_.size()));
        data_.put(bytes);
        return member(name, json.append(",").append(std::to_string(data_.size())).append("]}"));
    }

    safetensors_builder& add(const std::string& name, const std::vector<std::size_t>& shape,
                             std::span<const float> values) {
        return add(name, "F32", shape, std::as_bytes(values));
    }

    /// Any member of the header; `json` is its value.
    safetensors_builder& member(const std::string& name, const std::string& json) {
        header_ += (header_.empty() ? "\"" : ",\"") + name + "\":" + json;
        return *this;
    }

    [[nodiscard]] std::vector<std::byte> build() const {
        return safetensors_file_of("{" + header_ + "}", data_.bytes());
    }

private:
    std::string header_;
    byte_writer data_;
};

}  // namespace support
