// SPDX-License-Identifier: MIT
/// @file
/// Whole files at once: reading them into memory, and replacing them by new bytes or not at all.
#pragma once

#include "quell/io/atomic_file.hpp"
#include "quell/io/descriptor.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quell::io {
inline namespace QUELL_BASELINE {

/// The bytes of a file, or of a pipe, to its end.
///
/// Errors   errc::io_failed.
[[nodiscard]] inline result<std::vector<std::byte>> read_file(const std::string& path) {
    constexpr std::size_t step = std::size_t{1} << 16U;
    QUELL_TRY(const detail::readable_file source, detail::open_to_read(path));
    std::vector<std::byte> bytes;
    std::size_t filled = 0;
    for (;;) {
        if (filled == bytes.size()) {  // one byte more than the size, so that its end is seen without growing
            bytes.resize(filled == 0 ? source.size + 1 : filled + filled / 2 + step);
        }
        const ssize_t got = ::read(source.file.number(), bytes.data() + filled, bytes.size() - filled);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return system_failure(path, "cannot be read");
        }
        filled += got > 0 ? static_cast<std::size_t>(got) : 0;
    }
    bytes.resize(filled);
    return bytes;
}

/// Replaces the file by `bytes`, or leaves it as it was.
[[nodiscard]] inline result<void> write_file_atomically(const std::string& path, std::span<const std::byte> bytes) {
    QUELL_TRY(atomic_file file, atomic_file::create(path));
    QUELL_TRY_VOID(file.write(bytes));
    return file.commit();
}

/// The same for text.
[[nodiscard]] inline result<void> write_file_atomically(const std::string& path, std::string_view text) {
    return write_file_atomically(path, std::as_bytes(std::span(text)));
}

}  // namespace QUELL_BASELINE
}  // namespace quell::io
