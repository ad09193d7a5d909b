// SPDX-License-Identifier: MIT
#include "quell/packing/compact.hpp"

#include "forms.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <limits>

namespace {

using namespace quell;

std::span<const std::byte> view_of(const buffer<std::byte>& b) {
    return {b.data(), b.size()};
}

buffer<std::byte> compacted(const scheme& form, std::size_t n, std::size_t k) {
    return *packing::compact(*packing::pack(random_codes(form, n, k)));
}

TEST(Compact, ComesBackExactly) {
    for (const scheme& form : all_forms()) {
        for (const std::size_t k : {1U, 31U, 64U, 100U}) {
            if (!packing::is_compact(form)) {
                continue;
            }
            const auto packed = packing::pack(random_codes(form, 19, k));
            const auto bytes = packing::compact(*packed);
            ASSERT_TRUE(bytes) << describe(form, 19, k);
            const auto again = packing::expand(view_of(*bytes));
            ASSERT_TRUE(again) << again.error().message;
            EXPECT_TRUE(
                std::equal(packed->blob().begin(), packed->blob().end(), again->blob().begin(), again->blob().end()))
                << describe(form, 19, k);
        }
    }
}

TEST(Compact, TakesWhatStoredBitsSay) {
    for (const int bits : {5, 6, 7}) {
        const scheme rows{.bits = bits};
        const scheme groups{.bits = bits, .reach = granularity::group, .group = 64, .scales = scale_type::f16};
        for (const scheme& form : {rows, groups}) {
            EXPECT_TRUE(packing::is_compact(form));
            EXPECT_EQ(compacted(form, 24, 128).size(), 64 + packing::stored_bytes(form, 24, 128));
        }
        EXPECT_EQ(packing::packed_bytes(rows, 24, 128), packing::packed_bytes({.bits = 8}, 24, 128));
    }
    EXPECT_FALSE(packing::is_compact({.bits = 4}));
    EXPECT_FALSE(packing::is_compact({.bits = 8}));
}

TEST(Compact, RefusesEveryChangeAndEveryTruncation) {
    buffer<std::byte> bytes = compacted({.bits = 5}, 3, 70);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        EXPECT_FALSE(packing::expand(view_of(bytes).first(i))) << i;
        bytes[i] ^= std::byte{4};
        EXPECT_FALSE(packing::expand(view_of(bytes))) << i;
        bytes[i] ^= std::byte{4};
    }
    EXPECT_TRUE(packing::expand(view_of(bytes)));
}

TEST(Compact, RefusesHeadersThatLie) {
    const auto message = [](const std::function<void(packing::blob_header&)>& change) {
        buffer<std::byte> bytes = compacted({.bits = 6}, 3, 70);
        packing::blob_header h;
        std::memcpy(&h, bytes.data(), sizeof(h));
        change(h);
        std::memcpy(bytes.data(), &h, sizeof(h));
        h.checksum = packing::checksum_of(view_of(bytes), bytes.size() - packing::header_bytes);
        std::memcpy(bytes.data(), &h, sizeof(h));
        const auto read = packing::expand(view_of(bytes));
        return read ? std::string("read") : read.error().message;
    };
    EXPECT_EQ(message([](auto&) {}), "read");
    const std::string unknown = "not a compact weight that this build reads";
    EXPECT_EQ(message([](auto& h) { h.magic[5] = 'x'; }), unknown);
    EXPECT_EQ(message([](auto& h) { h.codes = static_cast<code_set>(77); }), unknown);
    EXPECT_EQ(message([](auto& h) { h.scales = scale_type::codes8; }), unknown);
    EXPECT_EQ(message([](auto& h) { h.bits = 5; }), "compact weight of 234 bytes for 3 x 70 codes of 5 bits");
    EXPECT_EQ(message([](auto& h) { h.bits = 8; }), "compact weight of 234 bytes for 3 x 70 codes of 8 bits");
    EXPECT_EQ(message([](auto& h) { h.out_features = 4; }), "compact weight of 234 bytes for 4 x 70 codes of 6 bits");
    EXPECT_NE(message([](auto& h) { h.out_features = std::numeric_limits<std::uint64_t>::max(); }), "read");
}

}  // namespace
