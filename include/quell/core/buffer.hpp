// SPDX-License-Identifier: MIT
/// @file
/// `buffer`: a 64-byte aligned array that owns its memory and starts as zeros; the only allocator of the library.
#pragma once

#include "quell/core/check.hpp"
#include "quell/core/memory.hpp"
#include "quell/core/target.hpp"

#include <cstddef>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

namespace quell {
inline namespace QUELL_BASELINE {

template <typename T>
class buffer {
    static_assert(std::is_trivially_copyable_v<T>, "buffer holds plain data; use std::vector for the rest");

public:
    buffer() = default;
    explicit buffer(std::size_t size) : buffer(unset(size)) {
        if (size > 0 && !memory::comes_zeroed(size_bytes())) {
            std::memset(static_cast<void*>(data_), 0, size_bytes());
        }
    }
    buffer(buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    buffer& operator=(buffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    buffer(const buffer&) = delete;
    buffer& operator=(const buffer&) = delete;
    ~buffer() { memory::release(data_, size_bytes()); }

    /// A copy is always asked for by name.
    [[nodiscard]] static buffer copy_of(std::span<const T> source) {
        buffer copy = unset(source.size());
        if (!source.empty()) {
            std::memcpy(copy.data_, source.data(), source.size_bytes());
        }
        return copy;
    }

    [[nodiscard]] T* data() { return data_; }
    [[nodiscard]] const T* data() const { return data_; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::size_t size_bytes() const { return size_ * sizeof(T); }
    [[nodiscard]] bool empty() const { return size_ == 0; }
    [[nodiscard]] T* begin() { return data_; }
    [[nodiscard]] T* end() { return data_ + size_; }
    [[nodiscard]] const T* begin() const { return data_; }
    [[nodiscard]] const T* end() const { return data_ + size_; }
    [[nodiscard]] T& operator[](std::size_t i) {
        QUELL_EXPECTS(i < size_, "an element outside the buffer");
        return data_[i];
    }
    [[nodiscard]] const T& operator[](std::size_t i) const {
        QUELL_EXPECTS(i < size_, "an element outside the buffer");
        return data_[i];
    }

private:
    /// One whose elements mean nothing yet.
    [[nodiscard]] static buffer unset(std::size_t size) {
        buffer fresh;
        fresh.data_ = allocate(size);
        fresh.size_ = size;
        return fresh;
    }

    static T* allocate(std::size_t size) {
        if (size == 0) {
            return nullptr;
        }
        QUELL_EXPECTS(size <= std::numeric_limits<std::size_t>::max() / sizeof(T) / 2,
                      "a size that does not fit in memory");
        return static_cast<T*>(memory::allocate(size * sizeof(T)));
    }

    T* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace QUELL_BASELINE
}  // namespace quell
