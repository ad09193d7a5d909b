// SPDX-License-Identifier: MIT
// What a fuzzer does, small and repeatable: whole files with a few bytes changed are refused or read, never worse. The
// sanitizer builds run the same.
#include "quell/core/rng.hpp"
#include "quell/io/gguf.hpp"
#include "quell/io/safetensors.hpp"
#include "quell/io/to_float.hpp"
#include "support/llama_gguf.hpp"
#include "support/safetensors_builder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace {

/// Changes one to four bytes, to values that hurt; now and then cuts the end off.
std::vector<std::byte> mutated(std::vector<std::byte> bytes, std::size_t head, quell::rng& random) {
    constexpr std::array<unsigned, 8> values = {0, 1, 0x7f, 0x80, 0xff, '"', '[', '9'};
    for (std::size_t change = 1 + random.below(4); change > 0; --change) {
        const std::size_t at = random.below(head);
        bytes[at] =
            static_cast<std::byte>(random.below(2) == 0 ? values[random.below(values.size())] : random.below(256));
    }
    if (random.below(8) == 0) {
        bytes.resize(random.below(bytes.size() + 1));
        bytes.shrink_to_fit();
    }
    return bytes;
}

/// Parses mutations of the first `head` bytes; what is accepted must be readable to its last element.
template <typename File>
void expect_safe(const std::vector<std::byte>& whole, std::size_t head) {
    ASSERT_TRUE(File::parse(whole, "f"));
    quell::rng random(11);
    std::size_t refused = 0;
    for (int round = 0; round < 20'000; ++round) {
        const std::vector<std::byte> bytes = mutated(whole, head, random);
        const auto file = File::parse(bytes, "f");
        refused += file ? 0U : 1U;
        for (const auto& tensor : file ? file->tensors() : std::span<const quell::io::tensor_view>{}) {
            std::array<float, 1> last = {};
            if (tensor.elements() > 0 && quell::io::detail::decoder_of(tensor.type) != nullptr) {
                ASSERT_TRUE(quell::io::to_float(tensor, tensor.elements() - 1, last));
            }
        }
    }
    EXPECT_GT(refused, 1000U);
    EXPECT_LT(refused, 20'000U);
}

TEST(MutatedGguf, IsReadOrRefused) {
    support::gguf_builder builder;
    builder.set("general.alignment", 64U).set("texts", std::vector<std::string>{"a", "bc"});
    builder.alignment = 64;
    builder.add("w", {2, 3}, std::vector<float>(6));
    builder.add("q", quell::dtype::q4_k, {1, 256}, std::vector<std::byte>(144));
    expect_safe<quell::io::gguf_file>(builder.build(), builder.header().size());
}

TEST(MutatedSafetensors, IsReadOrRefused) {
    const std::vector<std::byte> bytes = support::safetensors_builder()
                                             .member("__metadata__", R"({"k":"v"})")
                                             .add("w", {2, 3}, std::vector<float>(6))
                                             .add("h", "F16", {5}, std::vector<std::byte>(10))
                                             .build();
    expect_safe<quell::io::safetensors_file>(bytes, bytes.size() - 34);
}

}  // namespace
