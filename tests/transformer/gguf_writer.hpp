// SPDX-License-Identifier: MIT
/// @file
/// A GGUF v3 file of F32 tensors, as plain as the format allows: written by the tests, read by the loader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace support {

class gguf_writer {
public:
    void add_text(const std::string& key, const std::string& value) {
        start(key, 8);
        put_text(pairs_, value);
    }
    void add_number(const std::string& key, std::size_t value) {
        start(key, 4);
        put(pairs_, static_cast<std::uint32_t>(value));
    }
    void add_real(const std::string& key, float value) {
        start(key, 6);
        put(pairs_, value);
    }
    void add_texts(const std::string& key, const std::vector<std::string>& values) {
        start(key, 9);
        put(pairs_, std::uint32_t{8});
        put(pairs_, std::uint64_t{values.size()});
        for (const std::string& value : values) {
            put_text(pairs_, value);
        }
    }

    /// `shape` is row-major, outermost first.
    void add_tensor(const std::string& name, const std::vector<std::size_t>& shape, const std::vector<float>& values) {
        ++tensors_;
        put_text(infos_, name);
        put(infos_, static_cast<std::uint32_t>(shape.size()));
        for (std::size_t d = shape.size(); d-- > 0;) {
            put(infos_, std::uint64_t{shape[d]});
        }
        put(infos_, std::uint32_t{0});
        put(infos_, std::uint64_t{data_.size()});
        data_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
        pad(data_);
    }

    void write(const std::string& path) const {
        std::string file = "GGUF";
        put(file, std::uint32_t{3});
        put(file, tensors_);
        put(file, keys_);
        file += pairs_ + infos_;
        pad(file);
        std::ofstream(path, std::ios::binary) << file << data_;
    }

private:
    template <typename T>
    static void put(std::string& to, T value) {
        char bytes[sizeof(T)];
        std::memcpy(bytes, &value, sizeof(T));
        to.append(bytes, sizeof(T));
    }
    static void put_text(std::string& to, const std::string& text) {
        put(to, std::uint64_t{text.size()});
        to += text;
    }
    static void pad(std::string& bytes) { bytes.resize((bytes.size() + 31) / 32 * 32); }
    void start(const std::string& key, std::uint32_t type) {
        ++keys_;
        put_text(pairs_, key);
        put(pairs_, type);
    }

    std::uint64_t keys_ = 0;
    std::uint64_t tensors_ = 0;
    std::string pairs_;
    std::string infos_;
    std::string data_;
};

}  // namespace support
