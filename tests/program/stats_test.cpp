// SPDX-License-Identifier: MIT
// `quell stats` and `quell merge-stats`: what they write, what they print, what they refuse.
#include "program/program.hpp"
#include "quell/io/safetensors.hpp"
#include "support/llama_gguf.hpp"
#include "support/shared_data.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace {

using program_test::contents_of;
using program_test::outcome;

class Stats : public testing::Test {
protected:
    /// The path of the file that `quell stats` writes with these arguments.
    std::string stats(const std::string& name, std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"stats", "--out", folder_.file(name), "--quiet"});
        const outcome o = program_test::quell(arguments);
        EXPECT_EQ(o.status, 0) << o.err;
        EXPECT_NE(o.out.find("wrote " + folder_.file(name)), std::string::npos) << o.out;
        return folder_.file(name);
    }

    std::string text_file(const std::string& name, const std::string& text) {
        return folder_.write(name, std::as_bytes(std::span(text)));
    }

    void refuses(const std::vector<std::string>& arguments, int status, const std::string& expected) {
        const std::vector<std::string> before = folder_.names();
        const outcome o = program_test::quell(arguments);
        EXPECT_EQ(o.status, status) << o.err;
        EXPECT_EQ(std::ranges::count(o.err, '\n'), 1) << o.err;
        EXPECT_NE(o.err.find(expected), std::string::npos) << o.err << "does not name " << expected;
        EXPECT_EQ(folder_.names(), before);
    }

    support::temporary_folder folder_;
};

quell::io::safetensors_file opened(const std::string& path) {
    auto file = quell::io::safetensors_file::open(path);
    EXPECT_TRUE(file) << file.error().message;
    return *std::move(file);
}

/// Some text of the size that the byte tokenizer of the toys makes as many tokens of.
std::string text_of(std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; text.size() < bytes; ++i) {
        text += "The " + std::to_string(i * i % 97) + " old foxes saw " + std::to_string(i) + " ships. ";
    }
    return text.substr(0, bytes);
}

TEST_F(Stats, DescribeEveryInputAndTheirSource) {
    const auto file = opened(stats("s.safetensors", {"--model", "toy", "--calib-tokens", "600", "--context", "256"}));
    EXPECT_EQ(file.tensors().size(), 4U * 4U * 10U);
    EXPECT_EQ(file.metadata().at("model"), "toy");
    EXPECT_EQ(file.metadata().at("text"), "builtin");
    EXPECT_EQ(file.metadata().at("tokens"), "600");
    EXPECT_EQ(file.metadata().at("window"), "256");
    EXPECT_TRUE(file.metadata().contains("quell.version"));
    std::uint64_t totals[3] = {};
    std::memcpy(totals, file.find("blk.2.down_in.totals")->bytes.data(), sizeof totals);
    EXPECT_EQ(totals[0], 600U);
    EXPECT_EQ(totals[1], 3U);
}

TEST_F(Stats, PrintTheWorstInputFirst) {
    const outcome o = program_test::quell(
        {"stats", "--model", "toy", "--calib-tokens", "600", "--out", folder_.file("s.safetensors"), "--quiet"});
    ASSERT_EQ(o.status, 0) << o.err;
    std::vector<double> relative;
    for (std::size_t line = o.out.find('\n') + 1; o.out.compare(line, 4, "blk.") == 0;) {
        const std::size_t end = o.out.find('\n', line);
        char input[64];
        double f[8];
        ASSERT_EQ(std::sscanf(o.out.substr(line, end - line).c_str(), "%63s %lf %lf %lf %lf %lf %lf %lf %lf", input,
                              &f[0], &f[1], &f[2], &f[3], &f[4], &f[5], &f[6], &f[7]),
                  9);
        EXPECT_EQ(f[0], 600.0);
        EXPECT_GE(f[1], f[2]);
        EXPECT_GE(f[3], 1.0);
        relative.push_back(f[5]);
        line = end + 1;
    }
    EXPECT_EQ(relative.size(), 16U) << o.out;
    EXPECT_TRUE(std::ranges::is_sorted(relative, std::greater<>()));
}

TEST_F(Stats, FindTheMassiveTokensOfARealModel) {
    const auto model = shared_file("data/SmolLM2-135M-Instruct.Q4_1.gguf");
    const auto text = shared_file("data/wikitext2-calibration.txt");
    if (!model || !text) {
        GTEST_SKIP() << "SmolLM2-135M-Instruct.Q4_1.gguf or wikitext2-calibration.txt is not there";
    }
    const outcome o = program_test::quell({"stats", "--model", *model, "--calib", *text, "--calib-tokens", "1024",
                                           "--out", folder_.file("s.safetensors"), "--quiet"});
    ASSERT_EQ(o.status, 0) << o.err;
    EXPECT_EQ(o.out.substr(o.out.find('\n') + 1, 14), "blk.11.down_in");
    const std::size_t line = o.out.find("blk.11.down_in: ");
    ASSERT_NE(line, std::string::npos) << o.out;
    const std::string massive = o.out.substr(line, o.out.find('\n', line) - line);
    EXPECT_NE(massive.find("positions 0 (2)"), std::string::npos) << massive;
    EXPECT_NE(massive.find("channels 1229 ("), std::string::npos) << massive;
}

TEST_F(Stats, HaveTheSameBytesForAnyThreadCountAndAgain) {
    const std::vector<std::string> arguments = {"--model", "toy-gelu", "--calib-tokens", "700", "--threads"};
    std::vector<std::string> written;
    for (const char* threads : {"1", "2", "3", "3"}) {
        std::vector<std::string> all = arguments;
        all.emplace_back(threads);
        written.push_back(contents_of(stats("s.safetensors", all)));
    }
    for (const std::string& bytes : written) {
        EXPECT_EQ(bytes, written.front());
    }
}

/// Whether two tensors hold the same bytes, or the same doubles but for rounding.
void expect_alike(const quell::io::tensor_view& a, const quell::io::tensor_view& b, bool rounded) {
    ASSERT_EQ(a.shape, b.shape) << a.name;
    if (!rounded) {
        EXPECT_TRUE(std::ranges::equal(a.bytes, b.bytes)) << a.name;
        return;
    }
    std::vector<double> left(a.elements());
    std::vector<double> right(b.elements());
    std::memcpy(left.data(), a.bytes.data(), a.bytes.size());
    std::memcpy(right.data(), b.bytes.data(), b.bytes.size());
    const double largest = std::fabs(*std::ranges::max_element(left, {}, [](double v) { return std::fabs(v); }));
    for (std::size_t i = 0; i < left.size(); ++i) {
        EXPECT_NEAR(left[i], right[i], 1e-10 * largest) << a.name;
    }
}

TEST_F(Stats, MergedAreThoseOfOnePass) {
    const std::string text = text_of(3 * 256 + 100);
    const auto part = [&](const std::string& name, const std::string& piece) {
        return stats(name + ".safetensors", {"--calib", text_file(name + ".txt", piece), "--context", "128"});
    };
    const std::string whole = part("whole", text);
    const std::vector<std::string> pieces = {part("a", text.substr(0, 256)), part("b", text.substr(256, 384)),
                                             part("c", text.substr(640))};
    const std::string merged = folder_.file("merged.safetensors");
    const outcome o = program_test::quell({"merge-stats", pieces[0], pieces[1], pieces[2], "--out", merged});
    ASSERT_EQ(o.status, 0) << o.err;
    EXPECT_NE(o.out.find("wrote " + merged + ": 16 inputs, 868 tokens in windows of 128"), std::string::npos) << o.out;
    const auto expected = opened(whole);
    const auto seen = opened(merged);
    EXPECT_EQ(seen.metadata().at("tokens"), "868");
    ASSERT_EQ(seen.tensors().size(), expected.tensors().size());
    for (const quell::io::tensor_view& tensor : expected.tensors()) {
        const std::string what = tensor.name.substr(tensor.name.rfind('.'));
        ASSERT_NE(seen.find(tensor.name), nullptr);
        expect_alike(tensor, *seen.find(tensor.name),
                     what == ".sum_magnitudes" || what == ".sum_squares" || what == ".moments");
    }
}

/// The paper's finding: it is the product in a gated feed-forward that spikes.
TEST_F(Stats, SpikesAreHigherBehindAGateThanBehindAPlainGelu) {
    const auto largest_ratio = [&](const std::string& model) {
        const auto file = opened(stats(model + ".safetensors", {"--model", model, "--calib-tokens", "4096"}));
        double largest = 0.0;
        for (const quell::io::tensor_view& tensor : file.tensors()) {
            if (tensor.name.ends_with(".spikes")) {
                double sum = 0.0;
                std::memcpy(&sum, tensor.bytes.data(), sizeof sum);
                largest = std::max(largest, sum / 8.0);  // windows of 512 tokens
            }
        }
        return largest;
    };
    EXPECT_LT(largest_ratio("toy-gelu"), 5.0);
    EXPECT_GT(largest_ratio("toy"), 2.0 * largest_ratio("toy-gelu"));
}

TEST_F(Stats, OfOneFileMergedAreTheSameBytes) {
    const std::string one = stats("s.safetensors", {"--calib-tokens", "300"});
    const std::string again = folder_.file("again.safetensors");
    ASSERT_EQ(program_test::quell({"merge-stats", one, "--out", again}).status, 0);
    EXPECT_EQ(contents_of(again), contents_of(one));
}

TEST_F(Stats, OfOneTokenAndOfLessThanAWindowAreThere) {
    const auto file = opened(stats("one.safetensors", {"--calib", text_file("one.txt", "x")}));
    EXPECT_EQ(file.metadata().at("tokens"), "1");
    double spikes[2] = {};
    std::memcpy(spikes, file.find("blk.0.attn_in.spikes")->bytes.data(), sizeof spikes);
    EXPECT_EQ(spikes[0], 1.0);
    EXPECT_EQ(opened(stats("few.safetensors", {"--calib-tokens", "20"})).metadata().at("window"), "512");
}

TEST_F(Stats, FilesThatDoNotFitAreNotMerged) {
    const std::string a = stats("a.safetensors", {"--calib-tokens", "64"});
    const std::string gelu = stats("gelu.safetensors", {"--model", "toy-gelu", "--calib-tokens", "64"});
    const std::string window = stats("window.safetensors", {"--calib-tokens", "64", "--context", "32"});
    const std::string out = folder_.file("out.safetensors");
    refuses({"merge-stats", a, window, "--out", out}, 1,
            "window.safetensors does not fit " + a + ": windows of 32 tokens, not 512");
    refuses({"merge-stats", a, gelu, "--out", out}, 1, "gelu.safetensors does not fit " + a + ": blk.0.");
    const std::string whole = contents_of(a);
    const std::string cut = folder_.write("cut.safetensors", std::as_bytes(std::span(whole)).first(whole.size() - 9));
    refuses({"merge-stats", a, cut, "--out", out}, 1, "cut.safetensors: ");
    refuses({"merge-stats", a, folder_.file("none"), "--out", out}, 1, folder_.file("none"));
    const std::string model = folder_.write("model.gguf", support::llama_gguf({}).build());
    refuses({"merge-stats", a, model, "--out", out}, 1, "model.gguf: ");
    refuses({"merge-stats", a, a, "--out", folder_.file("no/out")}, 1, "no/out");
}

TEST_F(Stats, NeedATextAModelAndAPlaceToWrite) {
    const std::string out = folder_.file("s.safetensors");
    const std::string model = folder_.write("model.gguf", support::llama_gguf({}).build());
    refuses({"stats", "--model", model, "--out", out}, 2, "--calib");
    refuses({"stats", "--model", folder_.file("no.gguf"), "--calib", model, "--out", out}, 1, "no.gguf");
    refuses({"stats", "--calib", text_file("empty.txt", ""), "--out", out}, 1, "empty.txt");
    refuses({"stats", "--calib", text_file("bad.txt", "good \xff bad"), "--out", out}, 1, "bad.txt");
    refuses({"stats", "--out", folder_.file("no/s.safetensors")}, 1, "no/s.safetensors");
    refuses({"stats", "--context", "100000", "--out", out}, 1, "100000");
    EXPECT_EQ(program_test::quell({"stats"}).status, 2);
    EXPECT_EQ(program_test::quell({"merge-stats", "--out", out}).status, 2);
}

TEST_F(Stats, NameActivationsThatAreNotFinite) {
    support::gguf_builder file = support::llama_gguf({});
    const float huge = 1e38F;
    for (support::gguf_builder::tensor& tensor : file.tensors) {
        for (std::size_t i = 0; tensor.name == "blk.0.ffn_up.weight" && i + 4 <= tensor.bytes.size(); i += 4) {
            std::memcpy(tensor.bytes.data() + i, &huge, sizeof huge);
        }
    }
    const std::string model = folder_.write("huge.gguf", file.build());
    refuses({"stats", "--model", model, "--calib", text_file("t.txt", "aaab"), "--out", folder_.file("s.safetensors")},
            1, "huge.gguf: blk.0.down_in: activations of channel 0 are not all finite numbers");
}

}  // namespace
