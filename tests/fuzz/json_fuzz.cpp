// SPDX-License-Identifier: MIT
#include "quell/io/json.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

/// What was read must survive being written and read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto document = quell::io::parse_json({reinterpret_cast<const char*>(data), size}, "f");
    if (document) {
        const auto again = quell::io::parse_json(document->dump(), "f");
        if (!again || *again != *document) {
            __builtin_trap();
        }
    }
    return 0;
}
