// SPDX-License-Identifier: MIT
#include "fuzz/read_all.hpp"
#include "quell/io/safetensors.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto file = quell::io::safetensors_file::parse(std::as_bytes(std::span(data, size)), "f");
    if (file) {
        fuzz::read_all(file->tensors());
    }
    return 0;
}
