// SPDX-License-Identifier: MIT
/// @file
/// Memory between two pages that nobody may touch: an operand placed flush against one of them turns every read or
/// write past its end, or before its start, into a crash at once, without a sanitizer.
#pragma once

#include <cstddef>
#include <cstring>
#include <stdexcept>

#include <sys/mman.h>
#include <unistd.h>

namespace support {

enum class edge { front, back };

template <typename T>
class guarded {
public:
    explicit guarded(std::size_t most) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        usable_ = (most * sizeof(T) + page - 1) / page * page + page;
        mapped_ = usable_ + 2 * page;
        memory_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory_ == MAP_FAILED) {
            throw std::runtime_error("mmap of guarded memory");
        }
        begin_ = static_cast<std::byte*>(memory_) + page;
        mprotect(memory_, page, PROT_NONE);
        mprotect(begin_ + usable_, page, PROT_NONE);
    }
    guarded(const guarded&) = delete;
    guarded& operator=(const guarded&) = delete;
    ~guarded() { munmap(memory_, mapped_); }

    /// `size` elements flush against the guard page at that edge; what stood there before stays.
    T* place(std::size_t size, edge where) {
        std::byte* at = where == edge::front ? begin_ : begin_ + usable_ - size * sizeof(T);
        return reinterpret_cast<T*>(at);
    }
    T* place_copy(const T* from, std::size_t size, edge where) {
        T* at = place(size, where);
        if (size != 0) {
            std::memcpy(at, from, size * sizeof(T));
        }
        return at;
    }

private:
    void* memory_;
    std::byte* begin_;
    std::size_t usable_;
    std::size_t mapped_;
};

}  // namespace support
