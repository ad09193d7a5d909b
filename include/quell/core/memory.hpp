// SPDX-License-Identifier: MIT
/// @file
/// Where a buffer's memory comes from. Much of it comes from the system itself, on huge pages where that has them: a
/// GEMV then reads memory a third faster, and what is freed is given back at once. (The malloc of glibc 2.36 does not
/// find a block with a large alignment again that was freed: a program that packs weights in turn grew by each of
/// them.)
#pragma once

#include "quell/core/target.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace quell::memory {
inline namespace QUELL_BASELINE {

inline constexpr std::size_t huge_page = std::size_t{1} << 21U;

/// Whether so many bytes come from the system, which gives zeros.
[[nodiscard]] constexpr bool comes_zeroed([[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
    return bytes >= 2 * huge_page;
#else
    return false;
#endif
}

#if defined(__linux__)
/// Only whole pages can be given back, and they may have up to 64 KB.
[[nodiscard]] constexpr std::size_t whole_pages(std::size_t bytes) {
    constexpr std::size_t largest_page = std::size_t{1} << 16U;
    return (bytes + largest_page - 1) / largest_page * largest_page;
}

/// At a multiple of huge_page, cut out of a little more.
[[nodiscard]] inline void* map(std::size_t bytes) {
    const std::size_t wanted = whole_pages(bytes);
    void* mapped = mmap(nullptr, wanted + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return ::operator new(std::numeric_limits<std::size_t>::max() / 2);  // fails as it always fails
    }
    auto* begin = static_cast<std::byte*>(mapped);
    const std::size_t before = (huge_page - reinterpret_cast<std::uintptr_t>(begin) % huge_page) % huge_page;
    if (before > 0) {
        munmap(begin, before);
    }
    munmap(begin + before + wanted, huge_page - before);
    madvise(begin + before, wanted, MADV_HUGEPAGE);
    return begin + before;
}
#endif

/// At a multiple of 64 bytes; of huge_page where it comes from the system.
/// Requires less than half of the address space.
[[nodiscard]] inline void* allocate(std::size_t bytes) {
#if defined(__linux__)
    if (comes_zeroed(bytes)) {
        return map(bytes);
    }
#endif
    return ::operator new (bytes, std::align_val_t{64});
}

/// Gives back what allocate() gave for so many bytes, or nothing.
inline void release(void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
    if (comes_zeroed(bytes)) {
        munmap(memory, whole_pages(bytes));
        return;
    }
#endif
    ::operator delete (memory, std::align_val_t{64});
}

}  // namespace QUELL_BASELINE
}  // namespace quell::memory
