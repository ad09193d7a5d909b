// SPDX-License-Identifier: MIT
/// @file
/// Writing files whole or not at all: the bytes go to a temporary name in the target folder, reach the disk, and only
/// then take the target's name. Whoever stops halfway leaves the old file, or none.
#pragma once

#include "quell/io/descriptor.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <utility>

namespace quell::io {
inline namespace QUELL_BASELINE {
namespace detail {

[[nodiscard]] inline std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

/// Refuses what a rename would destroy or could not reach: devices, folders, missing folders.
[[nodiscard]] inline result<void> check_target(const std::string& path) {
    struct stat status = {};
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
        return failure(errc::io_failed, path, S_ISDIR(status.st_mode) ? "is a folder" : "is not a regular file");
    }
    const std::string folder = folder_of(path);
    if (::stat(folder.c_str(), &status) != 0) {
        return system_failure(path, "its folder " + io::quoted(folder) + " cannot be used");
    }
    if (!S_ISDIR(status.st_mode)) {
        return failure(errc::io_failed, path, io::quoted(folder), " is not a folder");
    }
    return {};
}

}  // namespace detail

/// A file that appears under its name at commit(), or never.
class atomic_file {
public:
    /// Errors   errc::io_failed, before anything is created, where the folder is missing or the target is not a file.
    [[nodiscard]] static result<atomic_file> create(const std::string& path) {
        QUELL_TRY_VOID(detail::check_target(path));
        const std::string start = detail::folder_of(path) + "/.quell-" + std::to_string(::getpid()) + "-";
        constexpr int attempts = 1000;  // other threads, or dead processes of the same number, hold some of the names
        for (int attempt = 0; attempt < attempts; ++attempt) {
            std::string temporary = start + std::to_string(attempt) + ".tmp";
            detail::descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
            if (file.is_open()) {
                return atomic_file(path, std::move(temporary), std::move(file));
            }
            if (errno != EEXIST) {
                break;
            }
        }
        return system_failure(path, "cannot be created");
    }

    atomic_file(atomic_file&& other) noexcept
        : path_(std::move(other.path_)),
          temporary_(std::exchange(other.temporary_, {})),
          file_(std::move(other.file_)) {}
    atomic_file& operator=(atomic_file&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(temporary_, other.temporary_);
        std::swap(file_, other.file_);
        return *this;
    }
    atomic_file(const atomic_file&) = delete;
    atomic_file& operator=(const atomic_file&) = delete;
    ~atomic_file() {
        if (!temporary_.empty()) {
            ::unlink(temporary_.c_str());
        }
    }

    [[nodiscard]] result<void> write(std::span<const std::byte> bytes) {
        constexpr std::size_t most = std::size_t{1} << 28U;  // macOS refuses 2 GiB in one call
        while (!bytes.empty()) {
            const ssize_t put = ::write(file_.number(), bytes.data(), std::min(bytes.size(), most));
            if (put < 0 && errno != EINTR) {
                return system_failure(path_, "cannot be written");
            }
            bytes = bytes.subspan(put > 0 ? static_cast<std::size_t>(put) : 0);
        }
        return {};
    }

    /// Errors   errc::io_failed; the target is then as it was before.
    [[nodiscard]] result<void> commit() {
        const bool on_disk = ::fsync(file_.number()) == 0 || errno == EINVAL;  // EINVAL: nothing to sync there
        if (!on_disk || !file_.close()) {
            return system_failure(path_, "cannot be written");
        }
        if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
            return system_failure(path_, "cannot be renamed from " + io::quoted(temporary_));
        }
        temporary_.clear();
        // Best effort: the name reaches the disk too, where the file system can promise that.
        const detail::descriptor folder(::open(detail::folder_of(path_).c_str(), O_RDONLY | O_CLOEXEC));
        if (folder.is_open()) {
            ::fsync(folder.number());
        }
        return {};
    }

private:
    atomic_file(std::string path, std::string temporary, detail::descriptor file)
        : path_(std::move(path)), temporary_(std::move(temporary)), file_(std::move(file)) {}

    std::string path_;
    std::string temporary_;
    detail::descriptor file_;
};

}  // namespace QUELL_BASELINE
}  // namespace quell::io
