// SPDX-License-Identifier: MIT
#include "quell/packing/unpack.hpp"

#include "packing/forms.hpp"
#include "quell/packing/pack.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace {

using namespace quell;

TEST(UnpackRow, GivesTheBitsOfEveryValue) {
    for (const scheme& form : all_forms()) {
        const std::size_t k = 130;
        const quantized q = random_codes(form, 18, k);
        const auto packed = packing::pack(q);
        std::vector<float> row(k);
        for (std::size_t r = 0; r < q.out_features(); ++r) {
            packing::unpack_row(*packed, r, row);
            for (std::size_t c = 0; c < k; ++c) {
                const float expected = value_of(q, r, c);
                ASSERT_EQ(std::memcmp(&row[c], &expected, sizeof(float)), 0) << describe(form, r, c);
            }
        }
    }
}

TEST(UnpackRow, GivesRowsOfFloats) {
    matrix<float> w(17, 5);
    for (std::size_t i = 0; i < w.elements().size(); ++i) {
        w.elements()[i] = static_cast<float>(i);
    }
    const auto packed = packing::pack_f32(w.view());
    std::vector<float> row(5);
    packing::unpack_row(packed, 16, row);
    EXPECT_TRUE(std::equal(row.begin(), row.end(), w.row(16).begin()));
}

/// A blob whose panels were changed after packing, with a fresh checksum.
template <typename T>
result<quantized> unpack_with(const quantized& q, std::size_t at, T value) {
    const auto good = packing::pack(q);
    auto blob = buffer<std::byte>::copy_of(good->blob());
    std::memcpy(blob.data() + packing::header_bytes + at, &value, sizeof(value));
    const std::uint64_t sum = packing::checksum_of({blob.data(), blob.size()}, good->panels().shape.panel_bytes());
    std::memcpy(blob.data() + offsetof(packing::blob_header, checksum), &sum, sizeof(sum));
    QUELL_TRY(const packing::packed_matrix packed, packing::view_blob({blob.data(), blob.size()}));
    return packing::unpack(packed);
}

TEST(Unpack, RefusesNumbersThatAreNeverPacked) {
    const scheme zeros = {.bits = 4, .codes = code_set::zero_point, .zeros = zero_type::integer};
    const scheme real = {.bits = 4, .codes = code_set::zero_point, .zeros = zero_type::real};
    EXPECT_EQ(unpack_with(random_codes({.bits = 8}, 4, 8), 64 + 2 * 4 + 1, std::int8_t{-128}).error().message,
              "code -128 at row 2, column 5 is not one of -127 ... 127");
    EXPECT_EQ(unpack_with(random_codes(zeros, 4, 8), 512 + 64 + 3, std::int8_t{16}).error().message,
              "zero 16 at row 3, group 0 is not one of 0 ... 15");
    EXPECT_EQ(unpack_with(random_codes(real, 4, 8), 512 + 64 + 4, 0x7fc00000U).error().code, errc::bad_value);
    EXPECT_EQ(unpack_with(random_codes({.bits = 4}, 4, 8), 512, 0x7f800000U).error().code, errc::bad_value);
    EXPECT_TRUE(unpack_with(random_codes(zeros, 4, 8), 512 + 64 + 3, std::int8_t{15}));
}

}  // namespace
