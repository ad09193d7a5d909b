// SPDX-License-Identifier: MIT
#include "packing/forms.hpp"
#include "quell/packing/pack.hpp"
#include "quell/packing/unpack.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace {

using namespace quell;
using packing::blob_header;

packing::packed_matrix small_weight() {
    quantized q =
        make_quantized({.bits = 4, .reach = granularity::group, .group = 64, .scales = scale_type::f16}, 3, 70);
    for (std::size_t i = 0; i < q.codes.elements().size(); ++i) {
        q.codes.elements()[i] = static_cast<std::int8_t>(static_cast<int>(i % 16) - 8);
    }
    for (float& scale : q.scales.elements()) {
        scale = 0.5F;
    }
    return *packing::pack(q);
}

buffer<std::byte> small_blob() {
    return buffer<std::byte>::copy_of(small_weight().blob());
}

std::span<const std::byte> bytes_of(const buffer<std::byte>& b) {
    return {b.data(), b.size()};
}

/// The blob with a changed header and, so that nothing else is wrong, a fresh checksum.
result<packing::packed_matrix> view_with(const std::function<void(blob_header&)>& change) {
    static buffer<std::byte> blob;
    blob = small_blob();
    blob_header h;
    std::memcpy(&h, blob.data(), sizeof(h));
    change(h);
    std::memcpy(blob.data(), &h, sizeof(h));
    h.checksum = packing::checksum_of(bytes_of(blob), small_weight().panels().shape.panel_bytes());
    std::memcpy(blob.data(), &h, sizeof(h));
    return packing::view_blob(bytes_of(blob));
}

TEST(ViewBlob, BorrowsTheBytesItIsGiven) {
    const auto blob = small_blob();
    const auto view = packing::view_blob(bytes_of(blob));
    ASSERT_TRUE(view);
    EXPECT_EQ(view->blob().data(), blob.data());
    EXPECT_EQ(view->panels().data, blob.data() + 64);
    EXPECT_EQ(view->out_features(), 3U);
    EXPECT_EQ(view->in_features(), 70U);
    EXPECT_EQ(packing::unpack(*view)->codes(0, 1), -7);
}

TEST(ViewBlob, NoticesEveryByteThatChanges) {
    auto blob = small_blob();
    for (std::size_t i = 0; i < blob.size(); ++i) {
        for (const unsigned flip : {1U, 0x80U}) {
            const std::byte before = blob[i];
            blob[i] = before ^ static_cast<std::byte>(flip);
            EXPECT_FALSE(packing::view_blob(bytes_of(blob))) << "byte " << i;
            blob[i] = before;
        }
    }
    EXPECT_TRUE(packing::view_blob(bytes_of(blob)));
}

TEST(ViewBlob, RefusesEveryTruncation) {
    const auto blob = small_blob();
    for (std::size_t size = 0; size < blob.size(); ++size) {
        EXPECT_FALSE(packing::view_blob(bytes_of(blob).first(size))) << size;
    }
}

TEST(ViewBlob, RefusesBytesBehindItsEnd) {
    const auto blob = small_blob();
    buffer<std::byte> longer(blob.size() + 64);
    std::memcpy(longer.data(), blob.data(), blob.size());
    EXPECT_FALSE(packing::view_blob(bytes_of(longer)));
}

TEST(ViewBlob, RefusesABlobThatIsNotAligned) {
    const auto blob = small_blob();
    buffer<std::byte> shifted(blob.size() + 8);
    std::memcpy(shifted.data() + 8, blob.data(), blob.size());
    const auto view = packing::view_blob(bytes_of(shifted).subspan(8));
    ASSERT_FALSE(view);
    EXPECT_EQ(view.error().code, errc::bad_shape);
}

TEST(ViewBlob, RefusesHeadersThatLie) {
    EXPECT_TRUE(view_with([](blob_header&) {}));
    EXPECT_FALSE(view_with([](blob_header& h) { h.magic[0] = 'x'; }));
    EXPECT_EQ(view_with([](blob_header& h) { h.version = 1; }).error().message,
              "packed weight of version 1; this build reads 2");
    EXPECT_FALSE(view_with([](blob_header& h) { h.layout = 2; }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.bits = 9; }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.bits = 32; }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.codes = static_cast<code_set>(200); }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.reach = static_cast<granularity>(200); }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.scales = static_cast<scale_type>(200); }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.zeros = static_cast<zero_type>(200); }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.reserved[1] = 1; }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.group = 0; }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.group = (std::uint64_t{1} << 32U) + 64; }));
}

TEST(ViewBlob, RefusesHeadersWhoseFieldsDoNotBelongTogether) {
    EXPECT_FALSE(view_with([](blob_header& h) { h.zeros = zero_type::integer; }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.codes = code_set::zero_point; }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.codes = code_set::sign; }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.scales = scale_type::f32; })) << "more bytes than there are";
    EXPECT_FALSE(view_with([](blob_header& h) { h.reach = granularity::token; }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.group = 48; }));
    EXPECT_FALSE(view_with([](blob_header& h) { h.group = ~std::uint64_t{31}; }));
    for (const int bits : {0, 1, 2, 3, 5, 7, 8, 9, 128, 255}) {
        EXPECT_FALSE(view_with([bits](blob_header& h) { h.bits = static_cast<std::uint8_t>(bits); })) << bits;
    }
    for (std::uint32_t layout = 0; layout < 10; ++layout) {
        EXPECT_EQ(view_with([layout](blob_header& h) { h.layout = layout; }).has_value(), layout == 3) << layout;
    }
}

TEST(ViewBlob, AnswersEveryCombinationOfFieldsWithoutHarm) {
    std::size_t taken = 0;
    for (int i = 0; i < 9 * 7 * 4 * 4 * 4 * 3; ++i) {
        const auto view = view_with([i](blob_header& h) {
            h.bits = static_cast<std::uint8_t>(i % 9);
            h.layout = static_cast<std::uint32_t>(i / 9 % 7);
            h.codes = static_cast<code_set>(i / 63 % 4);
            h.reach = static_cast<granularity>(i / 252 % 4);
            h.scales = static_cast<scale_type>(i / 1008 % 4);
            h.zeros = static_cast<zero_type>(i / 4032 % 3);
        });
        if (view) {
            ++taken;
            EXPECT_EQ(view->panels().shape.bytes() + packing::header_bytes, view->blob().size());
            const auto codes = packing::unpack(*view);
            EXPECT_TRUE(codes || codes.error().code == errc::bad_value);
        }
    }
    EXPECT_GE(taken, 1U);
}

TEST(ViewBlob, TakesRowsWithoutColumnsHoweverMany) {
    for (const bool codes : {false, true}) {
        buffer<std::byte> blob(64);
        blob_header h = {.layout = codes ? 3U : 1U,
                         .out_features = std::uint64_t{1} << 59U,
                         .bits = static_cast<std::uint8_t>(codes ? 4 : 32)};
        h.reach = codes ? granularity::group : granularity::tensor;
        h.group = codes ? 32 : 0;
        std::memcpy(blob.data(), &h, sizeof(h));
        h.checksum = packing::checksum_of(bytes_of(blob), 64);
        std::memcpy(blob.data(), &h, sizeof(h));
        const auto view = packing::view_blob(bytes_of(blob));
        ASSERT_TRUE(view);
        EXPECT_EQ(codes ? packing::unpack(*view)->in_features() : packing::unpack_f32(*view).cols(), 0U);
    }
}

TEST(ViewBlob, RefusesSizesThatOverflow) {
    for (const std::uint64_t n : {std::uint64_t{17}, std::uint64_t{1} << 32U, std::uint64_t{1} << 60U,
                                  ~std::uint64_t{0}, ~std::uint64_t{0} - 14}) {
        EXPECT_FALSE(view_with([n](blob_header& h) { h.out_features = n; })) << n;
        EXPECT_FALSE(view_with([n](blob_header& h) { h.in_features = n * 8; })) << n;
        EXPECT_FALSE(view_with([n](blob_header& h) { h.panel_bytes = n; })) << n;
        EXPECT_FALSE(view_with([n](blob_header& h) {
            h = blob_header{.layout = 1, .out_features = n, .in_features = n, .bits = 32};
        })) << n;
    }
}

TEST(ViewBlob, RefusesSizesWhoseProductWrapsToThatOfTheBlob) {
    buffer<std::byte> blob(64);
    blob_header h = {
        .layout = 1, .out_features = std::uint64_t{1} << 32U, .in_features = std::uint64_t{1} << 32U, .bits = 32};
    std::memcpy(blob.data(), &h, sizeof(h));
    h.checksum = packing::checksum_of(bytes_of(blob), 64);
    std::memcpy(blob.data(), &h, sizeof(h));
    const auto view = packing::view_blob(bytes_of(blob));
    ASSERT_FALSE(view);
    EXPECT_EQ(view.error().code, errc::bad_shape);
}

TEST(ViewBlob, KeepsItsFormatFromVersionToVersion) {
    const auto blob = small_blob();
    blob_header h;
    std::memcpy(&h, blob.data(), sizeof(h));
    EXPECT_EQ(h.checksum, 350616305660009271U) << "a new value is a new blob_version";
}

}  // namespace
