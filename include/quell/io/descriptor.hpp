// SPDX-License-Identifier: MIT
/// @file
/// A POSIX file descriptor that closes itself; what mapped_file, read_file and atomic_file share.
#pragma once

#include "quell/io/message.hpp"

#include <cstddef>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace quell::io {
inline namespace QUELL_BASELINE {
namespace detail {

class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int number) : number_(number) {}
    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() {
        if (is_open()) {
            ::close(number_);
        }
    }

    [[nodiscard]] bool is_open() const { return number_ >= 0; }
    [[nodiscard]] int number() const { return number_; }
    /// Closes now and says whether the system kept what was written.
    [[nodiscard]] bool close() { return ::close(std::exchange(number_, -1)) == 0; }

private:
    int number_ = -1;
};

struct readable_file {
    descriptor file;
    std::size_t size;
    bool regular;
};

/// Opens what can be read; a folder cannot.
[[nodiscard]] inline result<readable_file> open_to_read(const std::string& path) {
    descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open()) {
        return system_failure(path, "cannot be opened");
    }
    struct stat status = {};
    if (::fstat(file.number(), &status) != 0) {
        return system_failure(path, "cannot be examined");
    }
    if (S_ISDIR(status.st_mode)) {
        return failure(errc::io_failed, path, "is a folder, not a file");
    }
    return readable_file{std::move(file), static_cast<std::size_t>(status.st_size), S_ISREG(status.st_mode)};
}

}  // namespace detail
}  // namespace QUELL_BASELINE
}  // namespace quell::io
