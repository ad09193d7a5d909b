// SPDX-License-Identifier: MIT
#include "quell/io/safetensors_writer.hpp"

#include "quell/core/rng.hpp"
#include "quell/io/files.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using quell::dtype;
using quell::errc;
using quell::io::safetensors_file;
using quell::io::tensor_to_write;
using quell::io::write_safetensors;
using support::temporary_folder;

std::span<const std::byte> some_bytes(std::size_t count) {
    static const std::vector<std::byte> bytes = [] {
        std::vector<std::byte> random(4096);
        quell::rng generator(5);
        std::generate(random.begin(), random.end(), [&] { return static_cast<std::byte>(generator.below(256)); });
        return random;
    }();
    return std::span(bytes).first(count);
}

std::vector<tensor_to_write> mixed_tensors() {
    return {{"odd", dtype::u8, {7}, some_bytes(7)},
            {"half", dtype::f16, {3, 3}, some_bytes(18)},
            {"panels", dtype::u8, {320}, some_bytes(320)},
            {"none", dtype::f32, {0, 4}, {}},
            {"scalar", dtype::f64, {}, some_bytes(8)},
            {"row", dtype::f32, {1, 5}, some_bytes(20)},
            {"Zeichen ä\n\"", dtype::i64, {2}, some_bytes(16)}};
}

TEST(SafetensorsWriter, IsReadBackExactly) {
    const temporary_folder folder;
    const quell::io::string_map metadata = {{"config", R"({"a":"ä"})"}, {"", ""}};
    const std::vector<tensor_to_write> tensors = mixed_tensors();
    const auto status = write_safetensors(folder.file("f"), tensors, metadata);
    ASSERT_TRUE(status) << status.error().message;
    const auto file = safetensors_file::open(folder.file("f"));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->metadata(), metadata);
    ASSERT_EQ(file->tensors().size(), tensors.size());
    for (const tensor_to_write& tensor : tensors) {
        const auto* read = file->find(tensor.name);
        ASSERT_NE(read, nullptr) << tensor.name;
        EXPECT_EQ(read->type, tensor.type);
        EXPECT_EQ(read->shape, tensor.shape);
        EXPECT_TRUE(std::equal(read->bytes.begin(), read->bytes.end(), tensor.bytes.begin(), tensor.bytes.end()));
    }
    EXPECT_EQ(folder.names(), std::vector<std::string>{"f"});
}

TEST(SafetensorsWriter, AlignsEveryTensorToItsOwnSize) {
    const temporary_folder folder;
    ASSERT_TRUE(write_safetensors(folder.file("f"), mixed_tensors(), {}));
    const auto bytes = quell::io::read_file(folder.file("f"));
    const auto file = safetensors_file::parse(*bytes, "f");
    ASSERT_TRUE(file);
    for (const auto& tensor : file->tensors()) {
        const auto position = static_cast<std::size_t>(tensor.bytes.data() - bytes->data());
        EXPECT_EQ(position % quell::io::detail::natural_alignment(tensor.bytes.size()), 0U) << tensor.name;
        EXPECT_EQ(position % traits(tensor.type).bytes, 0U) << tensor.name;
    }
}

TEST(SafetensorsWriter, GivesTheSameBytesInAnyOrder) {
    const temporary_folder folder;
    std::vector<tensor_to_write> tensors = mixed_tensors();
    ASSERT_TRUE(write_safetensors(folder.file("a"), tensors, {{"k", "v"}}));
    std::reverse(tensors.begin(), tensors.end());
    ASSERT_TRUE(write_safetensors(folder.file("b"), tensors, {{"k", "v"}}));
    EXPECT_EQ(*quell::io::read_file(folder.file("a")), *quell::io::read_file(folder.file("b")));
}

TEST(SafetensorsWriter, WritesTheBytesOfTheFormat) {
    const temporary_folder folder;
    const std::vector<tensor_to_write> one = {{"w", dtype::u8, {2}, std::as_bytes(std::span("ab", 2))}};
    ASSERT_TRUE(write_safetensors(folder.file("f"), one, {{"k", "v"}}));
    std::string header = R"({"__metadata__":{"k":"v"},"w":{"data_offsets":[0,2],"dtype":"U8","shape":[2]}})";
    header.resize(120, ' ');
    const auto bytes = quell::io::read_file(folder.file("f"));
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size()),
              std::string("\x78\0\0\0\0\0\0\0", 8) + header + "ab");
}

TEST(SafetensorsWriter, WritesAFileWithoutTensors) {
    const temporary_folder folder;
    ASSERT_TRUE(write_safetensors(folder.file("f"), {}, {}));
    EXPECT_TRUE(safetensors_file::open(folder.file("f")));
}

std::string refusal(const std::vector<tensor_to_write>& tensors, errc code,
                    const quell::io::string_map& metadata = {}) {
    const temporary_folder folder;
    const auto status = write_safetensors(folder.file("f"), tensors, metadata);
    EXPECT_TRUE(folder.names().empty()) << "something was left behind";
    if (status) {
        return "written";
    }
    EXPECT_EQ(status.error().code, code);
    EXPECT_EQ(status.error().message.substr(0, folder.file("f: ").size()), folder.file("f: "));
    return status.error().message.substr(folder.file("f: ").size());
}

TEST(SafetensorsWriter, RefusesTensorsThatContradictThemselves) {
    EXPECT_EQ(refusal({{"w", dtype::f32, {3}, some_bytes(8)}}, errc::bad_shape),
              "tensor \"w\": 8 bytes cannot be F32 [3]");
    EXPECT_EQ(refusal({{"w", dtype::u8, {SIZE_MAX, 2}, some_bytes(8)}}, errc::bad_shape),
              "tensor \"w\": 8 bytes cannot be U8 [18446744073709551615, 2]");
}

TEST(SafetensorsWriter, RefusesWhatTheFormatCannotHold) {
    EXPECT_EQ(refusal({{"w", dtype::q4_0, {32}, some_bytes(18)}}, errc::unsupported),
              "tensor \"w\": safetensors has no Q4_0");
    EXPECT_EQ(refusal({{"__metadata__", dtype::u8, {1}, some_bytes(1)}}, errc::bad_value),
              "tensor \"__metadata__\": the name is taken by the format");
    EXPECT_EQ(refusal({{"w", dtype::u8, {1}, some_bytes(1)}, {"w", dtype::u8, {2}, some_bytes(2)}}, errc::bad_value),
              "tensor \"w\" is there twice");
    EXPECT_EQ(refusal({{"\xff", dtype::u8, {1}, some_bytes(1)}}, errc::bad_value),
              "tensor \"\xff\": the name is not UTF-8");
    EXPECT_EQ(refusal({}, errc::bad_value, {{"k", "\xff"}}), "__metadata__: \"k\" or its value is not UTF-8");
}

TEST(SafetensorsWriter, NamesAFolderThatIsNotThere) {
    const temporary_folder folder;
    const auto status = write_safetensors(folder.file("no/f"), mixed_tensors(), {});
    EXPECT_EQ(status.error().code, errc::io_failed);
    EXPECT_NE(status.error().message.find(folder.file("no")), std::string::npos);
    EXPECT_TRUE(folder.names().empty());
}

}  // namespace
