// SPDX-License-Identifier: MIT
// One broken GGUF file a case, after the faults that other readers had.
#include "quell/io/gguf.hpp"
#include "support/gguf_builder.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace std::string_literals;
using quell::dtype;
using quell::errc;
using quell::io::gguf_file;
using support::byte_writer;
using support::gguf_builder;

std::string gguf_refusal(const std::vector<std::byte>& bytes, errc code = errc::bad_format) {
    const auto file = gguf_file::parse(bytes, "f");
    if (file) {
        return "accepted";
    }
    EXPECT_EQ(file.error().code, code);
    EXPECT_EQ(file.error().message.find('\n'), std::string::npos);
    return file.error().message;
}

std::string gguf_refusal(const gguf_builder& builder, errc code = errc::bad_format) {
    return gguf_refusal(builder.build(), code);
}

gguf_builder two_tensors() {
    return gguf_builder()
        .set("general.architecture", "llama")
        .add("a", {3}, std::vector<float>(3))
        .add("b", {2, 4}, std::vector<float>(8));
}

TEST(GgufRefuses, FilesThatCannotBeOpened) {
    const support::temporary_folder folder;
    EXPECT_EQ(gguf_file::open(folder.file("none")).error().message,
              folder.file("none") + ": cannot be opened: No such file or directory");
    EXPECT_EQ(gguf_file::open(folder.path()).error().message, folder.path() + ": is a folder, not a file");
    const std::string empty = folder.write("empty", {});
    EXPECT_EQ(gguf_file::open(empty).error().message, empty + ": is empty");
}

TEST(GgufRefuses, OtherFiles) {
    EXPECT_EQ(gguf_refusal(byte_writer().text("GGML and more").bytes()), "f: does not start with \"GGUF\"");
    EXPECT_EQ(gguf_refusal(byte_writer().text("GG").bytes()),
              "f: the magic number at byte 0 takes 4 bytes, but only 2 follow (truncated?)");
}

TEST(GgufRefuses, OtherVersionsByName) {
    EXPECT_EQ(gguf_refusal(gguf_builder{.version = 1}, errc::unsupported), "f: is GGUF version 1, not 2 or 3");
    EXPECT_EQ(gguf_refusal(gguf_builder{.version = 4}, errc::unsupported), "f: is GGUF version 4, not 2 or 3");
    EXPECT_EQ(gguf_refusal(gguf_builder{.version = 0}, errc::unsupported), "f: is GGUF version 0, not 2 or 3");
    EXPECT_EQ(gguf_refusal(gguf_builder{.version = 0x03000000}, errc::unsupported), "f: is big-endian");
}

TEST(GgufRefuses, AFileCutAnywhere) {
    gguf_builder builder = two_tensors();
    builder.set("texts", std::vector<std::string>{"one", "two"}).set("numbers", std::vector<double>{1, 2});
    std::vector<std::byte> bytes = builder.build();
    const std::size_t last_byte_used = bytes.size();  // 32 bytes of data end it, without padding
    for (std::size_t size = last_byte_used; size-- > 0;) {
        bytes.resize(size);
        bytes.shrink_to_fit();
        EXPECT_NE(gguf_refusal(bytes), "accepted") << size;
    }
}

TEST(GgufRefuses, ATruncatedHeaderWithTheNumbers) {
    std::vector<std::byte> bytes = two_tensors().build();
    bytes.resize(20);
    EXPECT_EQ(gguf_refusal(bytes), "f: the number of tensors claims 2, but only 4 bytes follow (truncated?)");
    bytes = two_tensors().build();
    bytes.resize(66);
    EXPECT_EQ(gguf_refusal(bytes),
              "f: the value of \"general.architecture\" at byte 64 takes 5 bytes, but only 2 follow (truncated?)");
}

TEST(GgufRefuses, TruncatedDataWithTheTensor) {
    std::vector<std::byte> bytes = two_tensors().build();
    bytes.pop_back();
    EXPECT_EQ(gguf_refusal(bytes),
              "f: tensor \"b\" takes 32 bytes from byte 32 of the data on, but the data has 63 (truncated?)");
    bytes = two_tensors().header().bytes();
    EXPECT_EQ(gguf_refusal(bytes),
              "f: tensor \"a\" takes 12 bytes from byte 0 of the data on, but the data has 0 (truncated?)");
}

TEST(GgufRefuses, AbsurdCounts) {
    gguf_builder builder = two_tensors();
    builder.claimed_tensors = 1'000'001;
    EXPECT_EQ(gguf_refusal(builder), "f: the number of tensors claims 1000001, more than 1000000");
    builder.claimed_tensors = UINT64_MAX;
    EXPECT_EQ(gguf_refusal(builder), "f: the number of tensors claims 18446744073709551615, more than 1000000");
    builder.claimed_tensors = 1'000'000;
    EXPECT_EQ(gguf_refusal(builder), "f: the number of tensors claims 1000000, but only 208 bytes follow (truncated?)");
    builder.claimed_tensors = 0;
    builder.claimed_pairs = std::uint64_t{1} << 63U;
    EXPECT_EQ(gguf_refusal(builder), "f: the number of keys claims 9223372036854775808, more than 1000000");
    builder.claimed_pairs = 999'999;
    EXPECT_EQ(gguf_refusal(builder), "f: the number of keys claims 999999, but only 200 bytes follow (truncated?)");
}

TEST(GgufRefuses, CountsThatMissTheTruth) {
    gguf_builder builder = two_tensors();
    builder.claimed_pairs = 2;
    EXPECT_NE(gguf_refusal(builder), "accepted");
    builder.claimed_pairs = 0;
    EXPECT_NE(gguf_refusal(builder), "accepted");
    builder = two_tensors();
    builder.claimed_tensors = 3;
    EXPECT_NE(gguf_refusal(builder), "accepted");
}

TEST(GgufRefuses, KeysWithoutNameOrTooLong) {
    EXPECT_EQ(gguf_refusal(gguf_builder().set("", 1)), "f: key 0 is empty");
    EXPECT_EQ(gguf_refusal(gguf_builder().set(std::string(65'536, 'k'), 1)),
              "f: key 0 at byte 32 claims 65536 bytes, more than 65535");
    EXPECT_EQ(gguf_refusal(gguf_builder().set("a", 1).set("b", 1).set("a", 2)), "f: the key \"a\" stands twice");
}

TEST(GgufRefuses, StringsThatLieAboutTheirLength) {
    const auto text = [](std::uint64_t length) {
        return gguf_builder().set_raw("k", 8, byte_writer().put(length).text("abc").bytes());
    };
    EXPECT_EQ(gguf_refusal(text(100)),
              "f: the value of \"k\" at byte 45 takes 100 bytes, but only 19 follow (truncated?)");
    EXPECT_EQ(gguf_refusal(text((1U << 20U) + 1)),
              "f: the value of \"k\" at byte 45 claims 1048577 bytes, more than 1048576");
    EXPECT_EQ(gguf_refusal(text(UINT64_MAX)),
              "f: the value of \"k\" at byte 45 claims 18446744073709551615 bytes, more than 1048576");
}

TEST(GgufRefuses, ArraysThatLieAboutTheirLength) {
    const auto array = [](std::uint32_t element, std::uint64_t count) {
        return gguf_builder().set_raw("k", 9, byte_writer().put(element).put(count).text("abcdefghijklmno").bytes());
    };
    EXPECT_EQ(gguf_refusal(array(0, (1U << 30U) + 1)), "f: the value of \"k\" claims 1073741825, more than 1073741824");
    EXPECT_EQ(gguf_refusal(array(10, std::uint64_t{1} << 61U)),
              "f: the value of \"k\" claims 2305843009213693952, more than 1073741824");
    EXPECT_EQ(gguf_refusal(array(4, 1000)), "f: the value of \"k\" claims 1000, but only 15 bytes follow (truncated?)");
    EXPECT_EQ(gguf_refusal(array(8, 7)), "f: the value of \"k\" claims 7, but only 15 bytes follow (truncated?)");
}

TEST(GgufRefuses, ValuesOfUnknownForm) {
    EXPECT_EQ(gguf_refusal(gguf_builder().set_raw("k", 13, std::vector<std::byte>(8))),
              "f: the value of \"k\" has the unknown type 13");
    EXPECT_EQ(gguf_refusal(gguf_builder().set_raw("k", 0xffffffffU, std::vector<std::byte>(8))),
              "f: the value of \"k\" has the unknown type 4294967295");
    EXPECT_EQ(gguf_refusal(gguf_builder().set_raw("k", 9, byte_writer().put(99U).put(std::uint64_t{0}).bytes())),
              "f: the value of \"k\" has the unknown type 99");
    EXPECT_EQ(gguf_refusal(gguf_builder().set_raw("k", 9, byte_writer().put(9U).put(std::uint64_t{0}).bytes())),
              "f: the value of \"k\" holds an array of arrays");
}

TEST(GgufRefuses, AlignmentsThatAreNone) {
    for (const std::uint32_t bad : {0U, 3U, 48U, (1U << 20U) + 1, 1U << 21U, 0xffffffffU}) {
        EXPECT_EQ(gguf_refusal(gguf_builder().set("general.alignment", bad)),
                  "f: general.alignment is " + std::to_string(bad) + ", not a power of two up to 1048576");
    }
    EXPECT_EQ(gguf_refusal(gguf_builder().set("general.alignment", "32")),
              "f: key \"general.alignment\" holds string, not a whole number");
    EXPECT_EQ(gguf_refusal(gguf_builder().set("general.alignment", -32), errc::bad_value),
              "f: key \"general.alignment\": the number at position 0 is out of range");
}

TEST(GgufRefuses, SplitModelsByName) {
    EXPECT_EQ(gguf_refusal(gguf_builder().set("split.count", std::uint16_t{3}), errc::unsupported),
              "f: is one of 3 parts of a split model: merge them first");
}

TEST(GgufRefuses, TensorsWithoutNameOrWithATakenOne) {
    gguf_builder builder = two_tensors();
    builder.tensors[1].name = "";
    EXPECT_EQ(gguf_refusal(builder), "f: tensor 1 has no name");
    builder.tensors[1].name = "a";
    EXPECT_EQ(gguf_refusal(builder), "f: the tensor \"a\" stands twice");
    builder.tensors[1].name = std::string(65, 'n');
    EXPECT_EQ(gguf_refusal(builder), "f: the name of tensor 1 at byte 110 claims 65 bytes, more than 64");
}

TEST(GgufRefuses, ShapesThatOverflow) {
    gguf_builder builder = two_tensors();
    builder.tensors[0].dims = {1, 1, 1, 1, 1};
    EXPECT_EQ(gguf_refusal(builder), "f: tensor \"a\" claims 5 dimensions, more than 4");
    builder.tensors[0].dims = {std::uint64_t{1} << 32U, std::uint64_t{1} << 30U};
    EXPECT_EQ(gguf_refusal(builder), "f: tensor \"a\": the size of [1073741824, 4294967296] overflows");
    builder.tensors[0].dims = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    EXPECT_NE(gguf_refusal(builder).find("overflows"), std::string::npos);
    builder.tensors[0].dims = {UINT64_MAX};
    EXPECT_EQ(gguf_refusal(builder), "f: tensor \"a\": the size of [18446744073709551615] overflows");
}

TEST(GgufRefuses, SizesWhoseSumOverflows) {
    gguf_builder builder = two_tensors();
    builder.tensors[0].dims = {(std::uint64_t{1} << 62U) - 1};
    EXPECT_EQ(gguf_refusal(builder),
              "f: tensor \"a\" takes 18446744073709551612 bytes from byte 0 of the data on, but the data has 64 "
              "(truncated?)");
}

TEST(GgufRefuses, TypesItDoesNotRead) {
    gguf_builder builder = two_tensors();
    builder.tensors[0].type = 10;
    EXPECT_EQ(gguf_refusal(builder, errc::unsupported), "f: tensor \"a\": the type Q2_K is not supported");
    builder.tensors[0].type = 39;
    EXPECT_EQ(gguf_refusal(builder, errc::unsupported), "f: tensor \"a\": the type MXFP4 is not supported");
    for (const std::uint32_t removed : {4U, 5U, 31U, 33U, 36U, 38U, 43U, 0xffffffffU}) {
        builder.tensors[0].type = removed;
        EXPECT_EQ(gguf_refusal(builder), "f: tensor \"a\" has the unknown type " + std::to_string(removed));
    }
}

TEST(GgufRefuses, RowsThatCutABlock) {
    gguf_builder builder = two_tensors();
    builder.tensors[0].type = support::ggml_number(dtype::q4_0);
    builder.tensors[0].dims = {33, 32};
    EXPECT_EQ(gguf_refusal(builder), "f: tensor \"a\": rows of 33 do not divide into Q4_0 blocks of 32");
    builder.tensors[0].type = support::ggml_number(dtype::q6_k);
    builder.tensors[0].dims = {};
    EXPECT_EQ(gguf_refusal(builder), "f: tensor \"a\": rows of 1 do not divide into Q6_K blocks of 256");
}

TEST(GgufRefuses, TensorsThatPointElsewhere) {
    gguf_builder builder = two_tensors();
    builder.tensors[1].offset = 0;  // overlap
    EXPECT_EQ(gguf_refusal(builder),
              "f: tensor \"b\" claims to start at byte 0 of the data, but the tensors before it end at 32");
    builder.tensors[1].offset = 64;  // hole
    EXPECT_EQ(gguf_refusal(builder),
              "f: tensor \"b\" claims to start at byte 64 of the data, but the tensors before it end at 32");
    builder.tensors[1].offset = 12;  // not aligned
    EXPECT_EQ(gguf_refusal(builder),
              "f: tensor \"b\" claims to start at byte 12 of the data, but the tensors before it end at 32");
    builder.tensors[1].offset = UINT64_MAX - 15;  // past the end
    EXPECT_EQ(gguf_refusal(builder),
              "f: tensor \"b\" claims to start at byte 18446744073709551600 of the data, but the tensors "
              "before it end at 32");
}

TEST(GgufRefuses, DimensionsThatLiePastTheEnd) {
    gguf_builder builder = two_tensors();
    builder.tensors[1].dims = {4, 1000};
    EXPECT_EQ(gguf_refusal(builder),
              "f: tensor \"b\" takes 16000 bytes from byte 32 of the data on, but the data has 64 (truncated?)");
}

TEST(GgufRefuses, NamesThatWouldBreakTheLine) {
    gguf_builder builder = two_tensors();
    builder.tensors[0].name = "a\n\x1b[31m";
    builder.tensors[0].type = 99;
    EXPECT_EQ(gguf_refusal(builder), R"(f: tensor "a\x0a\x1b[31m" has the unknown type 99)");
}

}  // namespace
