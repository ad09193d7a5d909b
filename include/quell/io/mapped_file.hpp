// SPDX-License-Identifier: MIT
/// @file
/// `mapped_file`: a file in memory that the system pages in and out. A file that somebody cuts short while it is mapped
/// kills the program (SIGBUS) at the first byte that is gone: what others may write to is better read with read_file.
/// POSIX only.
#pragma once

#include "quell/io/descriptor.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <sys/mman.h>

namespace quell::io {
inline namespace QUELL_BASELINE {

/// A regular file in memory, read-only.
class mapped_file {
public:
    /// Errors   errc::io_failed where there is no such file, it cannot be read, or it is no regular file.
    [[nodiscard]] static result<mapped_file> open(const std::string& path) {
        QUELL_TRY(const detail::readable_file source, detail::open_to_read(path));
        if (!source.regular) {
            return failure(errc::io_failed, path, "is not a regular file");
        }
        if (source.size == 0) {
            return mapped_file(path, {});
        }
        void* memory = ::mmap(nullptr, source.size, PROT_READ, MAP_PRIVATE, source.file.number(), 0);
        if (memory == MAP_FAILED) {
            return system_failure(path, "cannot be mapped");
        }
        return mapped_file(path, {static_cast<const std::byte*>(memory), source.size});
    }

    mapped_file() = default;
    mapped_file(mapped_file&& other) noexcept
        : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}
    mapped_file& operator=(mapped_file&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    mapped_file(const mapped_file&) = delete;
    mapped_file& operator=(const mapped_file&) = delete;
    ~mapped_file() {
        if (!bytes_.empty()) {
            ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
        }
    }

    [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
    [[nodiscard]] const std::string& path() const { return path_; }

    /// The pages under `part` may leave memory; the next access reads them again.
    ///
    /// Requires part lies inside bytes().
    void drop(std::span<const std::byte> part) const {
        if (part.empty()) {
            return;
        }
        QUELL_EXPECTS(part.data() >= bytes_.data() && part.data() + part.size() <= bytes_.data() + bytes_.size(),
                      "a part of another file");
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        const std::size_t lead = reinterpret_cast<std::uintptr_t>(part.data()) % page;
        ::madvise(const_cast<std::byte*>(part.data()) - lead, part.size() + lead, MADV_DONTNEED);
    }

private:
    mapped_file(std::string path, std::span<const std::byte> bytes) : path_(std::move(path)), bytes_(bytes) {}

    std::string path_;
    std::span<const std::byte> bytes_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::io
