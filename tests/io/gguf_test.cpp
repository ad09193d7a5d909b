// SPDX-License-Identifier: MIT
#include "quell/io/gguf.hpp"

#include "support/llama_gguf.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace std::string_literals;
using quell::dtype;
using quell::errc;
using quell::io::gguf_file;
using support::byte_writer;
using support::gguf_builder;

std::vector<std::byte> zeros(std::size_t count) {
    return std::vector<std::byte>(count);
}

TEST(Gguf, ShowsTheTensorsOfAModel) {
    const support::temporary_folder folder;
    const support::llama_shape shape;
    const gguf_builder builder = support::llama_gguf(shape);
    const std::string path = folder.write("m.gguf", builder.build());
    auto opened = gguf_file::open(path);
    ASSERT_TRUE(opened) << opened.error().message;
    const gguf_file file = *std::move(opened);
    ASSERT_EQ(file.tensors().size(), builder.tensors.size());
    for (std::size_t i = 0; i < builder.tensors.size(); ++i) {
        const auto& tensor = file.tensors()[i];
        EXPECT_EQ(tensor.name, builder.tensors[i].name);
        file.drop(tensor);
        EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), builder.tensors[i].bytes.begin(),
                               builder.tensors[i].bytes.end()));
    }
    const auto* gate = file.find("blk.1.ffn_gate.weight");
    ASSERT_NE(gate, nullptr);
    EXPECT_EQ(gate->shape, (std::vector<std::size_t>{44, 32}));
    EXPECT_EQ(gate->type, dtype::f32);
    EXPECT_EQ(*gate->file, path);
    EXPECT_EQ(file.path(), path);
    EXPECT_EQ(file.find("none"), nullptr);
    EXPECT_EQ(*file.string_value("general.architecture"), "llama");
    EXPECT_EQ(file.string_array("tokenizer.ggml.tokens")->size(), shape.vocab);
}

TEST(Gguf, ReadsEveryTypeAndAnyAlignment) {
    for (const std::uint32_t alignment : {1U, 8U, 32U, 64U, 4096U}) {
        gguf_builder builder;
        builder.alignment = alignment;
        builder.set("general.alignment", alignment);
        for (const dtype type :
             {dtype::f32, dtype::f16, dtype::bf16, dtype::f64, dtype::i8, dtype::i16, dtype::i32, dtype::i64,
              dtype::q4_0, dtype::q4_1, dtype::q5_0, dtype::q5_1, dtype::q8_0, dtype::q4_k, dtype::q5_k, dtype::q6_k}) {
            const quell::dtype_traits block = traits(type);
            builder.add(std::string(block.name), type, {3, block.elems}, zeros(3 * block.bytes));
        }
        const std::vector<std::byte> bytes = builder.build();
        const auto file = gguf_file::parse(bytes, "f");
        ASSERT_TRUE(file) << file.error().message;
        for (const auto& tensor : file->tensors()) {
            EXPECT_EQ(traits(tensor.type).name, tensor.name);
            EXPECT_EQ(static_cast<std::size_t>(tensor.bytes.data() - bytes.data()) % alignment, 0U);
        }
    }
}

TEST(Gguf, AcceptsWhatTheFormatAllows) {
    EXPECT_TRUE(gguf_file::parse(gguf_builder().build(), "f"));
    EXPECT_TRUE(gguf_file::parse(gguf_builder{.version = 2}.add("w", {2}, std::vector<float>(2)).build(), "f"));
    EXPECT_TRUE(gguf_file::parse(gguf_builder().set("split.count", std::uint16_t{1}).build(), "f"));
    std::vector<std::byte> bytes = gguf_builder().set("k", 1).build();
    EXPECT_TRUE(gguf_file::parse(bytes, "f"));
    bytes = gguf_builder().set("k", 1).header().bytes();
    while (bytes.back() == std::byte{0}) {  // without tensors the padding after the keys may be missing
        bytes.pop_back();
    }
    bytes.resize(bytes.size() + 3);
    EXPECT_TRUE(gguf_file::parse(bytes, "f"));
    const std::vector<std::byte> with_empty =
        gguf_builder().add("none", {0, 4}, {}).add("w", {1}, std::vector<float>(1)).build();
    EXPECT_TRUE(gguf_file::parse(with_empty, "f"));
    std::vector<std::byte> unpadded = gguf_builder().add("w", {1}, std::vector<float>(1)).build();
    unpadded.resize(unpadded.size() - 28);
    EXPECT_TRUE(gguf_file::parse(unpadded, "f"));
    const std::vector<std::byte> scalar = gguf_builder().add("w", {}, std::vector<float>(1)).build();
    EXPECT_TRUE(gguf_file::parse(scalar, "f"));
}

TEST(GgufMetadata, GivesTypedValues) {
    const std::vector<std::byte> bytes = gguf_builder()
                                             .set("u8", std::uint8_t{200})
                                             .set("i8", std::int8_t{-3})
                                             .set("u16", std::uint16_t{60000})
                                             .set("i16", std::int16_t{5})
                                             .set("u32", std::uint32_t{4'000'000'000U})
                                             .set("i32", std::int32_t{-7})
                                             .set("u64", UINT64_MAX)
                                             .set("i64", INT64_MIN)
                                             .set("f32", 1.5F)
                                             .set("f64", 0.1)
                                             .set("yes", true)
                                             .set("no", false)
                                             .set("text", "a\0ä"s)
                                             .set("texts", std::vector<std::string>{"", "b", "ccc"})
                                             .set("ints", std::vector<std::int32_t>{-1, 2})
                                             .set("bytes", std::vector<std::uint8_t>{255, 0})
                                             .set("reals", std::vector<float>{0.5F, -2.0F})
                                             .set("doubles", std::vector<double>{0.25})
                                             .set("empty", std::vector<float>{})
                                             .build();
    const auto file = gguf_file::parse(bytes, "f");
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(*file->unsigned_value("u8"), 200U);
    EXPECT_EQ(*file->signed_value("i8"), -3);
    EXPECT_EQ(*file->unsigned_value("u16"), 60000U);
    EXPECT_EQ(*file->unsigned_value("i16"), 5U);
    EXPECT_EQ(*file->unsigned_value("u32"), 4'000'000'000U);
    EXPECT_EQ(*file->signed_value("i32"), -7);
    EXPECT_EQ(*file->unsigned_value("u64"), UINT64_MAX);
    EXPECT_EQ(*file->signed_value("i64"), INT64_MIN);
    EXPECT_EQ(*file->real_value("f32"), 1.5);
    EXPECT_EQ(*file->real_value("f64"), 0.1);
    EXPECT_TRUE(*file->bool_value("yes"));
    EXPECT_FALSE(*file->bool_value("no"));
    EXPECT_EQ(*file->string_value("text"), "a\0ä"s);
    EXPECT_EQ(*file->string_array("texts"), (std::vector<std::string_view>{"", "b", "ccc"}));
    EXPECT_EQ(*file->int_array("ints"), (std::vector<std::int32_t>{-1, 2}));
    EXPECT_EQ(*file->int_array("bytes"), (std::vector<std::int32_t>{255, 0}));
    EXPECT_EQ(*file->real_array("reals"), (std::vector<float>{0.5F, -2.0F}));
    EXPECT_EQ(*file->real_array("doubles"), (std::vector<float>{0.25F}));
    EXPECT_TRUE(file->real_array("empty")->empty());
    EXPECT_TRUE(file->has("u8"));
    EXPECT_FALSE(file->has("u9"));
    EXPECT_EQ(file->values().size(), 19U);
}

TEST(GgufMetadata, NamesKeyAndTypeWhereTheyDiffer) {
    const std::vector<std::byte> bytes = gguf_builder()
                                             .set("text", "x")
                                             .set("minus", -1)
                                             .set("big", UINT64_MAX)
                                             .set("nan", std::numeric_limits<float>::quiet_NaN())
                                             .set("huge", std::vector<double>{0, 1e300})
                                             .set("wide", std::vector<std::int64_t>{1, 2, 1LL << 31U})
                                             .build();
    const auto parsed = gguf_file::parse(bytes, "f");
    ASSERT_TRUE(parsed);
    const gguf_file& file = *parsed;
    EXPECT_EQ(file.unsigned_value("none").error().code, errc::not_found);
    EXPECT_EQ(file.unsigned_value("none").error().message, "f: key \"none\" is missing");
    EXPECT_EQ(file.unsigned_value("text").error().code, errc::bad_format);
    EXPECT_EQ(file.unsigned_value("text").error().message, "f: key \"text\" holds string, not a whole number");
    EXPECT_EQ(file.real_value("minus").error().message, "f: key \"minus\" holds i32, not a real number");
    EXPECT_EQ(file.bool_value("minus").error().message, "f: key \"minus\" holds i32, not a bool");
    EXPECT_EQ(file.string_value("minus").error().message, "f: key \"minus\" holds i32, not a string");
    EXPECT_EQ(file.string_array("text").error().message, "f: key \"text\" holds string, not an array of strings");
    EXPECT_EQ(file.real_value("huge").error().message, "f: key \"huge\" holds an array of f64, not a real number");
    EXPECT_EQ(file.unsigned_value("minus").error().code, errc::bad_value);
    EXPECT_EQ(file.unsigned_value("minus").error().message,
              "f: key \"minus\": the number at position 0 is out of range");
    EXPECT_EQ(file.signed_value("big").error().message, "f: key \"big\": the number at position 0 is out of range");
    EXPECT_EQ(file.real_value("nan").error().message, "f: key \"nan\": the number at position 0 is out of range");
    EXPECT_EQ(file.real_array("huge").error().message, "f: key \"huge\": the number at position 1 is out of range");
    EXPECT_EQ(file.int_array("wide").error().message, "f: key \"wide\": the number at position 2 is out of range");
}

}  // namespace
