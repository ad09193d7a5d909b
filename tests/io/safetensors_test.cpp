// SPDX-License-Identifier: MIT
#include "quell/io/safetensors.hpp"

#include "support/safetensors_builder.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace std::string_literals;
using quell::dtype;
using quell::errc;
using quell::io::safetensors_file;
using support::safetensors_builder;
using support::safetensors_file_of;

std::vector<std::byte> bytes_of(std::span<const std::byte> bytes) {
    return {bytes.begin(), bytes.end()};
}

TEST(Safetensors, ShowsTensorsAndMetadata) {
    const std::vector<float> a = {1, 2, 3, 4, 5, 6};
    const std::vector<std::byte> codes(3, std::byte{7});
    const support::temporary_folder folder;
    const std::string path = folder.write("m", safetensors_builder()
                                                   .member("__metadata__", R"({"config":"{}","format":"pt"})")
                                                   .add("w", {2, 3}, a)
                                                   .add("codes", "U8", {3}, codes)
                                                   .build());
    auto opened = safetensors_file::open(path);
    ASSERT_TRUE(opened) << opened.error().message;
    const safetensors_file file = *std::move(opened);
    ASSERT_EQ(file.tensors().size(), 2U);
    EXPECT_EQ(file.tensors()[0].name, "w");
    EXPECT_EQ(file.metadata().at("config"), "{}");
    const quell::io::tensor_view* w = file.find("w");
    ASSERT_NE(w, nullptr);
    EXPECT_EQ(w->type, dtype::f32);
    EXPECT_EQ(w->shape, (std::vector<std::size_t>{2, 3}));
    EXPECT_EQ(*w->file, path);
    file.drop(*w);
    EXPECT_EQ(bytes_of(w->bytes), bytes_of(std::as_bytes(std::span(a))));
    EXPECT_EQ(bytes_of(file.find("codes")->bytes), codes);
    EXPECT_EQ(file.find("none"), nullptr);
}

TEST(Safetensors, KnowsTheTypesOfTheFormat) {
    safetensors_builder builder;
    const std::vector<std::byte> eight(8);
    for (const auto* name :
         {"F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL"}) {
        const std::size_t size = name == "F64"s || name == "I64"s || name == "U64"s   ? 8
                                 : name == "F32"s || name == "I32"s || name == "U32"s ? 4
                                 : name == "I8"s || name == "U8"s || name == "BOOL"s  ? 1
                                                                                      : 2;
        builder.add(name, name, {8 / size}, eight);
    }
    const std::vector<std::byte> bytes = builder.build();
    const auto file = safetensors_file::parse(bytes, "f");
    ASSERT_TRUE(file) << file.error().message;
    for (const auto& tensor : file->tensors()) {
        EXPECT_EQ(traits(tensor.type).name, tensor.name);
    }
}

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
    const std::vector<std::byte> four(4);
    EXPECT_TRUE(safetensors_file::parse(safetensors_file_of("{}"), "f"));
    EXPECT_TRUE(safetensors_file::parse(safetensors_file_of("\n\t {}   "), "f"));
    EXPECT_TRUE(safetensors_file::parse(safetensors_builder().add("scalar", "F32", {}, four).build(), "f"));
    EXPECT_TRUE(safetensors_file::parse(
        safetensors_builder().add("a", "U8", {0, 5}, {}).add("b", "F32", {1}, four).add("c", "U8", {0}, {}).build(),
        "f"));
    EXPECT_TRUE(safetensors_file::parse(  // the header's order is free, and so are members that we do not know
        safetensors_file_of(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},)"
                            R"("a":{"extra":[1],"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
                            3),
        "f"));
}

/// Parses a broken file, expects an error with this code, and gives its message.
std::string refusal(const std::vector<std::byte>& bytes, errc code = errc::bad_format) {
    const auto file = safetensors_file::parse(bytes, "f");
    if (file) {
        return "accepted";
    }
    EXPECT_EQ(file.error().code, code);
    EXPECT_EQ(file.error().message.find('\n'), std::string::npos);
    return file.error().message;
}

std::string header_refusal(std::string_view header, std::size_t data = 0) {
    return refusal(safetensors_file_of(header, data));
}

TEST(SafetensorsRefuses, FilesThatCannotBeOpened) {
    const support::temporary_folder folder;
    EXPECT_EQ(safetensors_file::open(folder.file("none")).error().message,
              folder.file("none") + ": cannot be opened: No such file or directory");
    EXPECT_EQ(safetensors_file::open(folder.path()).error().message, folder.path() + ": is a folder, not a file");
    const std::string empty = folder.write("empty", {});
    EXPECT_EQ(safetensors_file::open(empty).error().message, empty + ": is empty");
}

TEST(SafetensorsRefuses, AFileCutInItsHeader) {
    EXPECT_EQ(refusal({}), "f: is empty");
    EXPECT_EQ(refusal(std::vector<std::byte>(7)), "f: ends inside the length of its header, after 7 bytes");
    std::vector<std::byte> cut = safetensors_builder().add("w", {1}, std::vector<float>{1}).build();
    cut.resize(20);
    EXPECT_EQ(refusal(cut), "f: claims a header of 54 bytes, but only 12 follow (truncated?)");
}

TEST(SafetensorsRefuses, AFileCutInItsData) {
    std::vector<std::byte> cut = safetensors_builder().add("w", {2}, std::vector<float>{1, 2}).build();
    cut.pop_back();
    EXPECT_EQ(refusal(cut), "f: tensor \"w\": its bytes 0 to 8 are not inside the 7 bytes of data");
}

TEST(SafetensorsRefuses, AnAbsurdHeaderLength) {
    const auto claim = [](std::uint64_t length) { return support::byte_writer().put(length).text("{}").bytes(); };
    EXPECT_EQ(refusal(claim(100'000'001)),
              "f: claims a header of 100000001 bytes, more than 100000000 (not a safetensors file?)");
    EXPECT_EQ(refusal(claim(UINT64_MAX)),
              "f: claims a header of 18446744073709551615 bytes, more than 100000000 (not a safetensors file?)");
    EXPECT_EQ(refusal(claim(3)), "f: claims a header of 3 bytes, but only 2 follow (truncated?)");
}

TEST(SafetensorsRefuses, AHeaderThatIsNoObject) {
    EXPECT_EQ(header_refusal(""), "f: the header does not start with '{'");
    EXPECT_EQ(header_refusal("   "), "f: the header does not start with '{'");
    EXPECT_EQ(header_refusal("[]"), "f: the header does not start with '{'");
    EXPECT_EQ(header_refusal("\xef\xbb\xbf{}"), "f: the header does not start with '{'");
    EXPECT_EQ(header_refusal("{"), "f: header: not valid JSON at byte 2");
    EXPECT_EQ(header_refusal("{}{}"), "f: header: not valid JSON at byte 3");
    EXPECT_EQ(header_refusal("{}\0\0"s), "f: header: a NUL byte in the JSON at byte 2");
    EXPECT_EQ(header_refusal("{\"\xff\":1}"), "f: header: not valid JSON at byte 3");
}

TEST(SafetensorsRefuses, AHeaderNestedTooDeep) {
    EXPECT_EQ(header_refusal(R"({"w":)" + std::string(1000, '[')), "f: header: nested deeper than 16");
}

TEST(SafetensorsRefuses, DuplicateKeys) {
    const std::string tensor = R"("w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
    EXPECT_EQ(header_refusal("{" + tensor + "," + tensor + "}", 1),
              R"(f: header: the key "w" stands twice in one object)");
    EXPECT_EQ(header_refusal(R"({"w":{"dtype":"U8","shape":[1],"shape":[2],"data_offsets":[0,1]}})", 1),
              R"(f: header: the key "shape" stands twice in one object)");
    EXPECT_EQ(header_refusal(R"({"__metadata__":{"a":"1","a":"2"}})"),
              R"(f: header: the key "a" stands twice in one object)");
}

TEST(SafetensorsRefuses, MetadataThatIsNoMapOfStrings) {
    EXPECT_EQ(header_refusal(R"({"__metadata__":[]})"), "f: __metadata__ is not an object");
    EXPECT_EQ(header_refusal(R"({"__metadata__":{"k":1}})"), R"(f: __metadata__: the value of "k" is not a string)");
}

TEST(SafetensorsRefuses, DescriptionsOfTheWrongForm) {
    EXPECT_EQ(header_refusal(R"({"w":1})"), R"(f: tensor "w" is not described by an object)");
    EXPECT_EQ(header_refusal(R"({"w":{}})"), R"(f: tensor "w" has no dtype)");
    EXPECT_EQ(header_refusal(R"({"w":{"dtype":8}})"), R"(f: tensor "w" has no dtype)");
    EXPECT_EQ(header_refusal(R"({"w":{"dtype":"U8"}})"), R"(f: tensor "w" has no shape)");
    EXPECT_EQ(header_refusal(R"({"w":{"dtype":"U8","shape":1}})"), R"(f: tensor "w" has no shape)");
    EXPECT_EQ(header_refusal(R"({"w":{"dtype":"U8","shape":[]}})"), R"(f: tensor "w" has no data_offsets)");
    EXPECT_EQ(header_refusal(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1),
              R"(f: tensor "w": data_offsets holds 1 numbers, not 2)");
}

TEST(SafetensorsRefuses, NumbersThatAreNoSizes) {
    for (const char* bad : {"-1", "1.0", "1e3", "\"1\"", "null", "[1]", "18446744073709551616"}) {
        EXPECT_EQ(header_refusal(R"({"w":{"dtype":"U8","shape":[3,)"s + bad + R"(],"data_offsets":[0,1]}})", 1),
                  R"(f: tensor "w": shape[1] is not a whole number from 0 to 2^64 - 1)");
        EXPECT_EQ(header_refusal(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[)"s + bad + R"(,1]}})", 1),
                  R"(f: tensor "w": data_offsets[0] is not a whole number from 0 to 2^64 - 1)");
    }
}

TEST(SafetensorsRefuses, TypesItDoesNotKnow) {
    EXPECT_EQ(refusal(safetensors_file_of(R"({"w":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", 1),
                      errc::unsupported),
              R"(f: tensor "w": the dtype "F8_E4M3" is not supported)");
    EXPECT_EQ(refusal(safetensors_file_of(R"({"w":{"dtype":"Q4_0","shape":[32],"data_offsets":[0,18]}})", 18),
                      errc::unsupported),
              R"(f: tensor "w": the dtype "Q4_0" is not supported)");
}

TEST(SafetensorsRefuses, ShapesThatOverflow) {
    EXPECT_EQ(header_refusal(R"({"w":{"dtype":"U8","shape":[4294967296,4294967297],"data_offsets":[0,4]}})", 4),
              R"(f: tensor "w": the size of [4294967296, 4294967297] overflows)");
    EXPECT_EQ(header_refusal(R"({"w":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4),
              R"(f: tensor "w": the size of [4611686018427387905] overflows)");
}

TEST(SafetensorsRefuses, SizesThatContradictTheOffsets) {
    EXPECT_EQ(header_refusal(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,7]}})", 7),
              R"(f: tensor "w": F32 [2] takes 8 bytes, its data_offsets span 7)");
    EXPECT_EQ(header_refusal(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[2,1]}})", 4),
              R"(f: tensor "w": its bytes 2 to 1 are not inside the 4 bytes of data)");
    EXPECT_EQ(header_refusal(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551615,0]}})", 4),
              R"(f: tensor "w": its bytes 18446744073709551615 to 0 are not inside the 4 bytes of data)");
}

TEST(SafetensorsRefuses, OverlapsHolesAndLeftovers) {
    const auto two = [](const std::string& a, const std::string& b) {
        return R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + a +
               R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + b + "}}";
    };
    EXPECT_EQ(header_refusal(two("[0,2]", "[1,3]"), 3),
              R"(f: tensor "b" begins at byte 1 of the data, inside the tensor before it, which ends at 2)");
    EXPECT_EQ(header_refusal(two("[0,2]", "[0,2]"), 2),
              R"(f: tensor "b" begins at byte 0 of the data, inside the tensor before it, which ends at 2)");
    EXPECT_EQ(header_refusal(two("[0,2]", "[3,5]"), 5),
              R"(f: tensor "b" begins at byte 3 of the data, after a hole that begins at 2)");
    EXPECT_EQ(header_refusal(two("[3,5]", "[1,3]"), 5),
              R"(f: tensor "b" begins at byte 1 of the data, after a hole that begins at 0)");
    EXPECT_EQ(header_refusal(two("[0,2]", "[2,4]"), 5), "f: the tensors end at byte 4 of the data, the file at byte 5");
    EXPECT_EQ(header_refusal("{}", 1), "f: the tensors end at byte 0 of the data, the file at byte 1");
    EXPECT_EQ(header_refusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                             R"("z":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}})",
                             2),
              R"(f: tensor "z" begins at byte 1 of the data, inside the tensor before it, which ends at 2)");
}

}  // namespace
