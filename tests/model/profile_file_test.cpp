// SPDX-License-Identifier: MIT
#include "quell/model/profile_file.hpp"

#include "quell/io/files.hpp"
#include "support/planted.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using quell::model::read_profiles;
using quell::model::write_profiles;

/// Two inputs of 3 and 70 channels, 40 tokens in windows of 16; massive tokens in the second.
quell::model::profile_set small_profiles() {
    quell::model::profile_set all{.model = "model.gguf", .text = "text.txt", .window = 16};
    for (const auto& [name, channels] : {std::pair<std::string, std::size_t>{"a", 3}, {"b", 70}}) {
        quell::matrix<float> x = random_matrix(40, channels, channels);
        x(0, 1) = name == "b" ? 1000.0F : 1.0F;
        x(33, 2) = name == "b" ? -500.0F : 1.0F;
        quell::outliers::profile_collector c({.window = 16});
        c.add(x.view());
        all.inputs[name] = c.profile();
    }
    return all;
}

/// A tensor that a test may change before it is written again.
struct loose_tensor {
    std::string name;
    quell::dtype type;
    std::vector<std::size_t> shape;
    std::vector<std::byte> bytes;

    template <typename T>
    void set(std::size_t index, T value) {
        std::memcpy(bytes.data() + index * sizeof(T), &value, sizeof(T));
    }
};

class ProfileFile : public testing::Test {
protected:
    ProfileFile() { EXPECT_TRUE(write_profiles(path_, small_profiles())); }

    /// Writes the file with one tensor changed; an empty name afterwards drops it.
    void rewrite(const std::string& name, const std::function<void(loose_tensor&)>& change) {
        const auto file = quell::io::safetensors_file::open(path_);
        ASSERT_TRUE(file);
        std::vector<loose_tensor> tensors;
        for (const quell::io::tensor_view& t : file->tensors()) {
            tensors.push_back({t.name, t.type, t.shape, {t.bytes.begin(), t.bytes.end()}});
            if (t.name == name) {
                change(tensors.back());
            }
        }
        std::erase_if(tensors, [](const loose_tensor& t) { return t.name.empty(); });
        std::vector<quell::io::tensor_to_write> out;
        for (const loose_tensor& t : tensors) {
            out.push_back({t.name, t.type, t.shape, t.bytes});
        }
        ASSERT_TRUE(quell::io::write_safetensors(changed_, out, file->metadata()));
    }

    /// One line that starts with the file and names the fault.
    void refuses(const std::string& tensor, const std::function<void(loose_tensor&)>& change,
                 const std::string& expected) {
        rewrite(tensor, change);
        const auto read = read_profiles(changed_);
        ASSERT_FALSE(read) << tensor << ": " << expected;
        EXPECT_TRUE(read.error().message.starts_with(changed_ + ": "));
        EXPECT_NE(read.error().message.find(expected), std::string::npos) << read.error().message;
        EXPECT_EQ(std::ranges::count(read.error().message, '\n'), 0);
    }

    support::temporary_folder folder_;
    std::string path_ = folder_.file("s.safetensors");
    std::string changed_ = folder_.file("changed.safetensors");
};

std::vector<std::byte> bytes_of(const std::string& path) {
    return *quell::io::read_file(path);
}

TEST_F(ProfileFile, GivesBackWhatWasWritten) {
    const quell::model::profile_set written = small_profiles();
    const auto read = read_profiles(path_);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->model, "model.gguf");
    EXPECT_EQ(read->text, "text.txt");
    EXPECT_EQ(read->window, 16U);
    EXPECT_EQ(read->tokens(), 40U);
    ASSERT_EQ(read->inputs.size(), 2U);
    const quell::outliers::input_profile& a = written.inputs.at("b");
    const quell::outliers::input_profile& b = read->inputs.at("b");
    EXPECT_TRUE(std::ranges::equal(a.absmax.per_channel(), b.absmax.per_channel()));
    EXPECT_EQ(a.magnitude.mean_magnitudes(), b.magnitude.mean_magnitudes());
    EXPECT_EQ(a.magnitude.norms(), b.magnitude.norms());
    EXPECT_EQ(a.moments.overall().kurtosis(), b.moments.overall().kurtosis());
    EXPECT_TRUE(std::ranges::equal(a.elements.counts(), b.elements.counts()));
    EXPECT_EQ(a.token_maxima.quantile(0.5), b.token_maxima.quantile(0.5));
    EXPECT_EQ(a.spikes.mean(), b.spikes.mean());
    ASSERT_EQ(b.massive.examples().size(), 2U);
    EXPECT_EQ(b.massive.examples()[1].window, 2U);
    EXPECT_EQ(b.massive.examples()[1].token.position, 1U);
    EXPECT_EQ(b.massive.examples()[1].token.values[0], -500.0F);
    ASSERT_TRUE(write_profiles(changed_, *read));
    EXPECT_EQ(bytes_of(changed_), bytes_of(path_));
}

TEST_F(ProfileFile, IsNotReadInPart) {
    const std::vector<std::byte> whole = bytes_of(path_);
    for (std::size_t size = 0; size < whole.size(); size += 997) {
        const std::string cut = folder_.write("cut.safetensors", std::span(whole).first(size));
        EXPECT_FALSE(read_profiles(cut)) << size;
    }
    EXPECT_FALSE(read_profiles(folder_.file("none.safetensors")));
}

TEST_F(ProfileFile, NamesTensorsThatAreMissingOrOfAnotherShape) {
    for (const char* what : {"absmax", "sum_magnitudes", "sum_squares", "moments", "element_counts", "token_counts",
                             "totals", "spikes", "massive_places", "massive_values"}) {
        const std::string tensor = std::string("b.") + what;
        refuses(
            tensor, [](loose_tensor& t) { t.name.clear(); },
            what == std::string("absmax") ? "holds 19 tensors for 1 inputs" : "\"" + tensor + "\" is missing");
        refuses(
            tensor,
            [](loose_tensor& t) {
                t.type = quell::dtype::i64, t.shape = {t.bytes.size() / 8, 1};
            },
            "\"" + tensor + "\" is");
    }
    const auto shorter = [](loose_tensor& t) {
        t.shape[0] -= 1;
        t.bytes.resize(t.bytes.size() - t.bytes.size() / (t.shape[0] + 1));
    };
    for (const char* tensor : {"b.absmax", "b.sum_magnitudes", "b.sum_squares", "b.moments", "b.element_counts",
                               "b.totals", "b.massive_places", "b.massive_values"}) {
        refuses(tensor, shorter, "tensor \"b.");
    }
}

TEST_F(ProfileFile, BelievesNoNumber) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    constexpr std::uint64_t huge = std::uint64_t{1} << 63U;
    const auto setting = [](std::size_t index, auto value) {
        return [index, value](loose_tensor& t) { t.set(index, value); };
    };
    refuses("b.absmax", setting(3, static_cast<float>(nan)), "\"b.absmax\" holds nan");
    refuses("b.absmax", setting(3, -1.0F), "\"b.absmax\" holds -1");
    refuses("b.sum_squares", setting(0, -2.0), "\"b.sum_squares\" holds -2");
    refuses("b.moments", setting(0, nan), "\"b.moments\" holds nan");
    refuses("b.totals", setting(0, huge), "\"b.totals\" holds 9223372036854775808 tokens");
    refuses("b.totals", setting(0, std::uint64_t{0}), "\"b.totals\" holds 0 tokens");
    refuses("b.totals", setting(0, std::uint64_t{41}), "values less than the tokens have");
    refuses("b.totals", setting(1, std::uint64_t{41}), "41 windows");
    refuses("b.totals", setting(2, std::uint64_t{41}), "41 massive tokens");
    refuses("b.totals", setting(2, std::uint64_t{1}), "describes 2 tokens");
    refuses("b.element_counts", setting(0, std::uint64_t{8192}), "in bucket 8192, which cannot be");
    refuses("b.element_counts", setting(1, huge), "9223372036854775808 values in bucket");
    refuses("b.token_counts", setting(2, std::uint64_t{0}), "in bucket 0, which cannot be");
    refuses("b.spikes", setting(0, 2.5), "\"b.spikes\" holds 2.5");
    refuses("b.spikes", setting(0, nan), "\"b.spikes\" holds nan");
    refuses("b.spikes", setting(1, 0.0), "\"b.spikes\" holds");
    refuses("b.massive_places", setting(0, std::uint64_t{3}), "in row 0 that cannot be");
    refuses("b.massive_places", setting(7, std::uint64_t{40}), "in row 1 that cannot be");
    refuses("b.massive_places", setting(2, std::uint64_t{70}), "in row 0 that cannot be");
    refuses("b.massive_values", setting(0, static_cast<float>(nan)), "\"b.massive_values\" holds nan");
}

TEST_F(ProfileFile, RefusesOtherFilesAndNamesThatAreNone) {
    refuses(
        "a.absmax", [](loose_tensor& t) { t.name = "a\n.absmax"; }, "names no input");
    refuses(
        "a.absmax", [](loose_tensor& t) { t.name = ".absmax"; }, "names no input");
    refuses(
        "a.absmax", [](loose_tensor& t) { t.name = "other"; }, "holds 20 tensors for 1 inputs");
    const float value = 1.0F;
    const quell::io::tensor_to_write tensor = {
        .name = "a.absmax", .type = quell::dtype::f32, .shape = {1}, .bytes = std::as_bytes(std::span(&value, 1))};
    for (const auto& [metadata, expected] :
         {std::pair<quell::io::string_map, std::string>{{}, "holds no statistics of version 1"},
          {{{"quell.stats", "2"}}, "\"2\""},
          {{{"quell.stats", "1"}}, "window is \"\""},
          {{{"quell.stats", "1"}, {"window", "-3"}}, "window is \"-3\""},
          {{{"quell.stats", "1"}, {"window", "12x"}}, "window is \"12x\""},
          {{{"quell.stats", "1"}, {"window", "8"}}, "\"a.totals\" is missing"}}) {
        ASSERT_TRUE(quell::io::write_safetensors(changed_, {&tensor, 1}, metadata));
        const auto read = read_profiles(changed_);
        ASSERT_FALSE(read);
        EXPECT_NE(read.error().message.find(expected), std::string::npos) << read.error().message;
    }
}

}  // namespace
