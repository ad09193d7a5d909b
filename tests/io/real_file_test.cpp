// SPDX-License-Identifier: MIT
#include "quell/io/gguf.hpp"
#include "quell/io/to_float.hpp"
#include "support/shared_data.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <vector>

namespace {

TEST(RealFile, SmolLm2IsReadWhole) {
    const auto path = shared_file("data/SmolLM2-135M-Instruct.Q4_1.gguf");
    if (!path) {
        GTEST_SKIP() << "data/SmolLM2-135M-Instruct.Q4_1.gguf is not at hand";
    }
    const auto file = quell::io::gguf_file::open(*path);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(*file->string_value("general.architecture"), "llama");
    EXPECT_EQ(*file->unsigned_value("llama.block_count"), 30U);
    EXPECT_EQ(*file->unsigned_value("llama.attention.head_count_kv"), 3U);
    EXPECT_EQ(*file->real_value("llama.rope.freq_base"), 100000.0);
    EXPECT_EQ(file->string_array("tokenizer.ggml.tokens")->size(), 49152U);
    EXPECT_EQ(file->int_array("tokenizer.ggml.token_type")->size(), 49152U);
    std::size_t parameters = 0;
    std::vector<float> values;
    for (const auto& tensor : file->tensors()) {
        values.resize(tensor.elements());
        ASSERT_TRUE(quell::io::to_float(tensor, 0, values)) << tensor.name;
        float largest = 0;
        for (const float v : values) {
            ASSERT_TRUE(std::isfinite(v)) << tensor.name;
            largest = std::max(largest, std::abs(v));
        }
        EXPECT_GT(largest, 0.0F) << tensor.name;
        EXPECT_LT(largest, 100.0F) << tensor.name;
        parameters += tensor.elements();
        file->drop(tensor);
    }
    EXPECT_EQ(parameters, 134'515'008U);
    EXPECT_EQ(file->find("token_embd.weight")->shape, (std::vector<std::size_t>{49152, 576}));
}

}  // namespace
