// SPDX-License-Identifier: MIT
#include "fuzz/read_all.hpp"
#include "quell/io/gguf.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

/// Every getter on every key; errors are fine, faults are not.
static void read_keys(const quell::io::gguf_file& file) {
    for (const auto& [key, value] : file.values()) {
        (void)file.unsigned_value(key);
        (void)file.signed_value(key);
        (void)file.real_value(key);
        (void)file.bool_value(key);
        (void)file.string_value(key);
        (void)file.string_array(key);
        (void)file.int_array(key);
        (void)file.real_array(key);
    }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto file = quell::io::gguf_file::parse(std::as_bytes(std::span(data, size)), "f");
    if (file) {
        read_keys(*file);
        fuzz::read_all(file->tensors());
    }
    return 0;
}
