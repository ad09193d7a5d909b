// SPDX-License-Identifier: MIT
// Whatever is wrong with what the user hands in: one clear line on standard error, status 1 (2 for usage), nothing
// written.
#include "program/program.hpp"
#include "support/llama_gguf.hpp"
#include "support/safetensors_builder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace {

using program_test::outcome;
using program_test::quell;

class BadInput : public testing::Test {
protected:
    /// Fails with one line that names `expected`; no file appears beside those that were there.
    void refuses(const std::vector<std::string>& arguments, int status, const std::string& expected) {
        const std::vector<std::string> before = folder_.names();
        const outcome o = quell(arguments);
        EXPECT_EQ(o.status, status) << o.err;
        EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
        EXPECT_NE(o.err.find(expected), std::string::npos) << o.err << "does not name " << expected;
        EXPECT_EQ(folder_.names(), before);
    }

    void refuses_model(const std::string& name, std::span<const std::byte> bytes, const std::string& expected) {
        const std::string model = folder_.write(name, bytes);
        refuses({"eval", "--model", model, "--recipe", "fp32", "--json", folder_.file("out.json")}, 1, expected);
    }

    support::temporary_folder folder_;
};

std::vector<std::byte> first_bytes(std::vector<std::byte> bytes, std::size_t count) {
    bytes.resize(count);
    return bytes;
}

TEST_F(BadInput, AnEmptyGguf) {
    refuses_model("empty.gguf", {}, "empty.gguf");
}

TEST_F(BadInput, AGgufCutInItsHeader) {
    refuses_model("cut.gguf", first_bytes(support::llama_gguf({}).build(), 300), "cut.gguf");
}

TEST_F(BadInput, AGgufCutInItsData) {
    const std::vector<std::byte> whole = support::llama_gguf({}).build();
    refuses_model("cut.gguf", first_bytes(whole, whole.size() - 100), "cut.gguf");
}

TEST_F(BadInput, AGgufWithAbsurdCounts) {
    support::gguf_builder file = support::llama_gguf({});
    file.claimed_tensors = std::uint64_t{1} << 62U;
    refuses_model("absurd.gguf", file.build(), "4611686018427387904");
}

TEST_F(BadInput, AGgufTensorPastTheEnd) {
    support::gguf_builder file = support::llama_gguf({});
    file.tensors.back().offset = std::uint64_t{1} << 40U;
    refuses_model("past.gguf", file.build(), file.tensors.back().name);
}

TEST_F(BadInput, SafetensorsWithOverlappingOffsets) {
    const std::string header = R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},)"
                               R"("b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}})";
    refuses_model("overlap.safetensors", support::safetensors_file_of(header, 24), "b");
}

TEST_F(BadInput, NanInAWeight) {
    support::gguf_builder file = support::llama_gguf({});
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto bytes = std::as_bytes(std::span(&nan, 1));
    support::gguf_builder::tensor& tensor = file.tensors[3];
    std::copy(bytes.begin(), bytes.end(), tensor.bytes.begin() + 20);
    refuses_model("nan.gguf", file.build(), tensor.name);
}

TEST_F(BadInput, NanInTheWeightOfALayer) {
    std::vector<float> weight(12, 1.0F);
    weight[7] = std::numeric_limits<float>::quiet_NaN();
    const std::string in =
        folder_.write("in.safetensors", support::safetensors_builder().add("weight", {3, 4}, weight).build());
    refuses({"layer", "--in", in, "--recipe", "rtn-w8a8", "--out", folder_.file("out.safetensors")}, 1,
            "row 1, column 3");
}

TEST_F(BadInput, ATextThatIsNotUtf8) {
    const std::string text = "good \xff bad";
    const std::string path = folder_.write("text.txt", std::as_bytes(std::span(text)));
    refuses({"eval", "--model", "toy", "--text", path, "--recipe", "fp32"}, 1, "text.txt");
}

TEST_F(BadInput, ATextThatIsTooShort) {
    const std::string text = "short";
    const std::string path = folder_.write("text.txt", std::as_bytes(std::span(text)));
    refuses({"eval", "--model", "toy", "--text", path, "--recipe", "fp32"}, 1, "5 tokens");
}

TEST_F(BadInput, AModelThatDoesNotExist) {
    refuses({"eval", "--model", folder_.file("none.gguf"), "--recipe", "fp32"}, 1, "none.gguf");
}

TEST_F(BadInput, AnUnknownRecipe) {
    refuses({"eval", "--model", "toy", "--recipe", "rtn-w99"}, 2, "rtn-w99");
}

TEST_F(BadInput, AnUnknownInstructionSet) {
    refuses({"eval", "--model", "toy", "--isa", "mmx"}, 2, "mmx");
}

TEST_F(BadInput, AnOutputFolderThatDoesNotExist) {
    refuses({"eval", "--model", "toy", "--recipe", "fp32", "--json", folder_.file("no/out.json")}, 1, "no/out.json");
    refuses({"eval", "--model", "toy", "--recipe", "fp32", "--html", folder_.file("no/out.html")}, 1, "no/out.html");
    refuses({"train-toy", "--out", folder_.file("no/toy.safetensors")}, 1, "no/toy.safetensors");
}

/// The toy, packed.
class PackedBadInput : public BadInput {
protected:
    PackedBadInput() {
        const outcome o = quell({"quantize", "--model", "toy", "--recipe", "rtn-w8a8", "--out", packed_, "--quiet"});
        EXPECT_EQ(o.status, 0) << o.err;
    }

    std::string packed_ = folder_.file("packed.safetensors");
};

TEST_F(PackedBadInput, AFileThatIsDamaged) {
    const std::string whole = program_test::contents_of(packed_);
    refuses_model("cut.safetensors", std::as_bytes(std::span(whole)).first(whole.size() / 2), "cut.safetensors: ");
    std::string flipped = whole;
    flipped[whole.size() / 2] = static_cast<char>(whole[whole.size() / 2] ^ 1);
    const std::string damaged = folder_.write("damaged.safetensors", std::as_bytes(std::span(flipped)));
    refuses({"eval", "--model", damaged}, 1, "checksum does not match");
    refuses({"run", "--model", damaged, "--prompt", "a"}, 1, "checksum does not match");
    const std::string name = "\"blk.1.ffn_up.packed\"";
    std::string renamed = whole;
    renamed.replace(whole.find(name), name.size(), "\"blk.1.ffn_op.packed\"");
    const std::string lacking = folder_.write("lacking.safetensors", std::as_bytes(std::span(renamed)));
    refuses({"eval", "--model", lacking}, 1, "tensor " + name + " is missing");
}

TEST_F(PackedBadInput, OptionsThatContradictTheFile) {
    for (const std::vector<std::string>& options : {std::vector<std::string>{"--recipe", "rtn-w4a4"},
                                                    {"--recipe", "rtn-w8a8,fp32"},
                                                    {"--plant", "channels"},
                                                    {"--regrid", "1"},
                                                    {"--embedding-bits", "8"},
                                                    {"--plan", packed_}}) {
        std::vector<std::string> arguments = {"eval", "--model", packed_};
        arguments.insert(arguments.end(), options.begin(), options.end());
        refuses(arguments, 2, "is packed already, as rtn-w8a8");
    }
    refuses({"run", "--model", packed_, "--prompt", "a", "--recipe", "fp32"}, 2, "is packed already, as rtn-w8a8");
    refuses({"quantize", "--model", packed_, "--recipe", "rtn-w8a8", "--out", folder_.file("again.safetensors")}, 2,
            "is packed already, as rtn-w8a8");
}

TEST_F(PackedBadInput, AReferenceThatIsNone) {
    const std::string other = folder_.write("other.gguf", support::llama_gguf({}).build());
    refuses({"eval", "--model", packed_, "--reference", other}, 1, "other.gguf: cannot be what");
    refuses({"eval", "--model", packed_, "--reference", packed_}, 1, "cannot be what");
    refuses({"eval", "--model", "toy", "--reference", "toy"}, 2, "--reference");
}

TEST_F(BadInput, AQuantizationThatCannotBeDone) {
    const std::string out = folder_.file("out.safetensors");
    refuses({"quantize", "--model", "toy", "--out", out}, 2, "either --recipe or --plan");
    refuses({"quantize", "--model", "toy", "--recipe", "rtn-w8a8,rtn-w4a4", "--out", out}, 2, "rtn-w8a8,rtn-w4a4");
    refuses({"quantize", "--model", "toy", "--recipe", "rtn-w8a8", "--out", folder_.file("out.gguf")}, 2,
            ".safetensors");
    refuses({"quantize", "--model", "toy", "--recipe", "rtn-w8a8", "--out", folder_.file("no/out.safetensors")}, 1,
            "no/out.safetensors");
    const std::string model = folder_.write("model.gguf", support::llama_gguf({}).build());
    refuses({"quantize", "--model", model, "--recipe", "smoothquant-w8a8", "--out", out}, 2, "--calib");
}

TEST_F(BadInput, ARecipeThatNeedsCalibrationOnARealModel) {
    const std::string model = folder_.write("model.gguf", support::llama_gguf({}).build());
    refuses({"eval", "--model", model, "--recipe", "smoothquant-w8a8"}, 2, "--calib");
}

TEST_F(BadInput, AnInspectionThatCannotBeDone) {
    const std::string page = folder_.file("page.html");
    refuses({"inspect", "--model", "toy", "--html", folder_.file("no/page.html")}, 1, "no/page.html");
    refuses({"inspect", "--model", folder_.file("none.gguf"), "--html", page}, 2, "--calib");
    refuses({"inspect", "--model", folder_.file("none.gguf"), "--calib", "builtin", "--html", page}, 1, "none.gguf");
    refuses({"inspect", "--model", "toy", "--calib", folder_.file("none.txt"), "--html", page}, 1, "none.txt");
    refuses({"inspect", "--isa", "mmx", "--html", page}, 2, "mmx");
    const std::string empty = folder_.write("empty.txt", {});
    refuses({"inspect", "--model", "toy", "--calib", empty, "--html", page}, 1, "there is no text to run");
    EXPECT_EQ(quell({"inspect", "--model", "toy"}).status, 2);
    EXPECT_EQ(quell({"inspect", "--html", page, "--bits", "5"}).status, 2);
}

TEST_F(PackedBadInput, APageAboutItsOutliers) {
    refuses({"inspect", "--model", packed_, "--calib", "builtin", "--html", folder_.file("page.html")}, 2,
            "is packed already, as rtn-w8a8");
}

TEST_F(BadInput, AnUnknownOption) {
    const outcome o = quell({"eval", "--no-such-option"});
    EXPECT_EQ(o.status, 2);
    EXPECT_NE(o.err.find("no-such-option"), std::string::npos);
}

TEST_F(BadInput, ABudgetOfTimeThatNothingKeeps) {
    refuses({"eval", "--model", "toy", "--tokens", "1024", "--calib-tokens", "1024", "--recipe", "auto-4.5",
             "--token-ms", "0.0001", "--quiet"},
            1, "auto-4.5: the smallest options together take");
}

TEST_F(BadInput, TuningOfWhatCannotBeTuned) {
    const std::string out = folder_.file("out.safetensors");
    refuses({"tune", "--model", "toy", "--out", out}, 2, "tune needs --recipe, such as quad-w4a4");
    refuses({"tune", "--model", "toy", "--recipe", "quad-w4a4", "--out", "out.gguf"}, 2, "must end in .safetensors");
    refuses({"tune", "--model", "m.gguf", "--recipe", "quad-w4a4", "--out", out}, 2, "tune needs --data FILE");
    refuses({"tune", "--model", "toy", "--recipe", "hqq-w4-g64", "--out", out, "--quiet"}, 1,
            "blk.0.attn_q: scales of 8 bits are not tuned");
    refuses({"tune", "--model", "toy", "--recipe", "quad-w4a4-rtn", "--out", out, "--tokens", "1", "--quiet"}, 1,
            "tuning: a text of 1 tokens has nothing to predict");
    refuses({"tune", "--model", "toy", "--recipe", "fp32", "--out", out, "--quiet"}, 1,
            "tuning: no linear is quantized");
}

}  // namespace
