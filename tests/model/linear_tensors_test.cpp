// SPDX-License-Identifier: MIT
#include "quell/model/linear_tensors.hpp"

#include "quell/quant/recipe_linear.hpp"
#include "quell/quant/recipes.hpp"
#include "support/planted.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace {

using quell::io::tensor_view;

/// An integer linear [24, 40] with a bias and a channel scale.
quell::quant::linear smoothed_linear() {
    const quell::matrix<float> w = random_matrix(24, 40, 1);
    const quell::matrix<float> bias = random_matrix(1, 24, 2);
    const quell::matrix<float> inputs = random_matrix(30, 40, 3);
    return *quell::quant::make_linear(*quell::quant::find_recipe("smoothquant-w8a8"), w.view(), bias.elements(),
                                      inputs.view());
}

TEST(LinearTensors, OfTwoFormsSurviveAFile) {
    const quell::matrix<float> w = random_matrix(24, 40, 1);
    const quell::matrix<float> inputs = random_matrix(90, 40, 3);
    const quell::quant::linear layer =
        *quell::quant::make_linear(*quell::quant::find_recipe("squeeze10"), w.view(), {}, inputs.view());
    quell::model::tensor_set tensors;
    tensors.add_linear("a", layer);
    const support::temporary_folder folder;
    ASSERT_TRUE(quell::io::write_safetensors(folder.file("f.safetensors"), tensors.tensors(), {}));
    const auto file = quell::io::safetensors_file::open(folder.file("f.safetensors"));
    ASSERT_TRUE(file) << file.error().message;
    std::map<std::string, tensor_view> views;
    for (const char* name : {"a.packed", "a.packed_high", "a.order", "a.activations"}) {
        ASSERT_NE(file->find(name), nullptr) << name;
        views[name] = *file->find(name);
    }
    const quell::model::tensor_finder find = [&](const std::string& name) {
        return views.contains(name) ? &views[name] : nullptr;
    };
    const auto read = quell::model::read_linear(find, "a");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_TRUE(std::ranges::equal(quell::quant::weight(*read).elements(), quell::quant::weight(layer).elements()));

    quell::model::site_plan decided{.name = "a",
                                    .weights = quell::quant::find_recipe("squeeze10")->weights,
                                    .activations = {},
                                    .solver = {quell::rounding::staged{}}};
    EXPECT_TRUE(check(decided, *read));
    decided.solver = {quell::rounding::staged{.high = {.bits = 4}}};
    EXPECT_EQ(
        check(decided, *read).error().message,
        "a: the plan says 4 bit symmetric, f32 scale per channel, the packed weight is 4 bit zero_point, f16 scale "
        "per 128");
    decided.solver = {};
    EXPECT_EQ(check(decided, *read).error().message, "a: of plan and packed weight one has two forms, the other one");

    views["a.order"].type = quell::dtype::f16;
    EXPECT_EQ(quell::model::read_linear(find, "a").error().message,
              "tensor \"a.order\" is F16 [40], not U16 of one dimension");
    views.erase("a.packed_high");
    views["a.order"].type = quell::dtype::u16;
    EXPECT_EQ(quell::model::read_linear(find, "a").error().message, "tensor \"a.packed_high\" is missing");
}

TEST(LinearTensors, SurviveAFileAndAreUsedInPlace) {
    const support::temporary_folder folder;
    const quell::quant::linear integers = smoothed_linear();
    const quell::quant::linear floats = quell::quant::float_linear(random_matrix(7, 9, 5).view());
    quell::model::tensor_set tensors;
    tensors.add_text("odd", "{}x");  // three bytes: the blobs must be aligned nevertheless
    tensors.add_linear("a", integers);
    tensors.add_linear("b", floats);
    ASSERT_TRUE(quell::io::write_safetensors(folder.file("f.safetensors"), tensors.tensors(), {}));

    const auto file = quell::io::safetensors_file::open(folder.file("f.safetensors"));
    ASSERT_TRUE(file) << file.error().message;
    const quell::model::tensor_finder find = [&](const std::string& name) { return file->find(name); };
    EXPECT_EQ(file->tensors().size(), 6U);
    for (const auto& [name, layer] : {std::pair("a", &integers), std::pair("b", &floats)}) {
        const auto read = quell::model::read_linear(find, name);
        ASSERT_TRUE(read) << read.error().message;
        const quell::quant::linear_arrays is = quell::quant::arrays_of(*read);
        const quell::quant::linear_arrays was = quell::quant::arrays_of(*layer);
        EXPECT_EQ(is.weight.data(), file->find(std::string(name) + ".packed")->bytes.data());
        EXPECT_TRUE(std::ranges::equal(is.weight, was.weight));
        EXPECT_TRUE(std::ranges::equal(is.bias, was.bias));
        EXPECT_TRUE(std::ranges::equal(is.channel_scale, was.channel_scale));
        EXPECT_EQ(is.activations, was.activations);
    }
    EXPECT_EQ(*quell::model::read_text(find, "odd"), "{}x");
}

/// The tensors of one linear, to be spoilt.
class DamagedLinear : public testing::Test {
protected:
    DamagedLinear() {
        tensors_.add_linear("a", layer_);
        for (const quell::io::tensor_to_write& t : tensors_.tensors()) {
            views_[t.name] = {.name = t.name, .type = t.type, .shape = t.shape, .bytes = t.bytes};
        }
    }

    std::string message(const std::function<void(std::map<std::string, tensor_view>&)>& spoil) {
        auto spoilt = views_;
        spoil(spoilt);
        const quell::model::tensor_finder find = [&](const std::string& name) {
            return spoilt.contains(name) ? &spoilt[name] : nullptr;
        };
        const auto read = quell::model::read_linear(find, "a");
        return read ? std::string("read") : read.error().message;
    }

    /// The same where the activation scheme is this text.
    std::string message_of_activations(const std::string& text) {
        return message([&](auto& t) { t["a.activations"].bytes = std::as_bytes(std::span(text)); });
    }

    quell::quant::linear layer_ = smoothed_linear();
    quell::model::tensor_set tensors_;
    std::map<std::string, tensor_view> views_;
};

TEST_F(DamagedLinear, NamesTheTensorAtFault) {
    EXPECT_EQ(message([](auto&) {}), "read");
    EXPECT_EQ(message([](auto& t) { t.erase("a.packed"); }), "tensor \"a.packed\" is missing");
    EXPECT_EQ(
        message([](auto& t) { t["a.packed"].type = quell::dtype::i8; }),
        "tensor \"a.packed\" is I8 [" + std::to_string(views_["a.packed"].bytes.size()) + "], not U8 of one dimension");
    EXPECT_EQ(message([](auto& t) { t["a.packed"].bytes = t["a.packed"].bytes.subspan(1); }),
              "tensor \"a.packed\": packed weight does not start at a multiple of 64 bytes");
    EXPECT_EQ(message([](auto& t) { t["a.bias"].type = quell::dtype::i32; }),
              "tensor \"a.bias\" is I32 [24], not F32 of one dimension");
    EXPECT_EQ(message([](auto& t) { t["a.bias"].bytes = t["a.bias"].bytes.first(8); }),
              "tensor \"a.packed\": bias has 2 entries, the weight asks for 24");
    EXPECT_EQ(message([](auto& t) { t.erase("a.activations"); }),
              "tensor \"a.packed\": integer weights need activations of 4, 8 or 16 bits");
    EXPECT_EQ(message_of_activations("{"), "tensor \"a.activations\": not valid JSON at byte 2");
    EXPECT_EQ(message_of_activations("[]"), "tensor \"a.activations\": expected an object, found []");
    EXPECT_EQ(message_of_activations(R"({"bits":"8"})"),
              "tensor \"a.activations\".bits: expected an integer in range, found \"8\"");
    EXPECT_EQ(message_of_activations(R"({"bots":8})").substr(0, 42), "tensor \"a.activations\": unknown key 'bots'");
    EXPECT_EQ(message_of_activations(R"({"clip":2})"),
              "tensor \"a.packed\": activation clip 2.000000 is not in (0, 1]");
}

TEST(LinearTensors, SixBitsTakeSixBitsInAFile) {
    const quell::matrix<float> w = random_matrix(32, 64, 3);
    const auto codes = quell::rounding::rtn{}.solve(w.view(), {.bits = 6}, {}, {});
    const quell::quant::linear layer =
        *quell::quant::quantized_linear::make(*quell::packing::pack(*codes), {.bits = 8});
    quell::model::tensor_set tensors;
    tensors.add_linear("a", layer);
    std::map<std::string, tensor_view> views;
    for (const quell::io::tensor_to_write& t : tensors.tensors()) {
        views[t.name] = {.name = t.name, .type = t.type, .shape = t.shape, .bytes = t.bytes};
    }
    EXPECT_EQ(views.at("a.compact").bytes.size(), 64U + 32 * 64 * 6 / 8 + 32 * 4);
    const auto find = [&](const std::string& name) { return views.contains(name) ? &views[name] : nullptr; };
    const auto read = quell::model::read_linear(find, "a");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(quell::quant::weight(*read).elements()[77], quell::quant::weight(layer).elements()[77]);
    views["a.compact"].bytes = views["a.compact"].bytes.first(99);
    EXPECT_EQ(quell::model::read_linear(find, "a").error().message,
              "tensor \"a.compact\": compact weight of 99 bytes for 32 x 64 codes of 6 bits");
}

TEST_F(DamagedLinear, IsComparedWithThePlan) {
    const auto message_of = [&](const quell::model::site_plan& decided) {
        const auto fits = quell::model::check(decided, layer_);
        return fits ? std::string("fits") : fits.error().message;
    };
    const quell::scheme weights{.bits = 8, .reach = quell::granularity::channel};
    EXPECT_EQ(message_of({.name = "s", .weights = weights, .activations = {.zero_point = true}}), "fits");
    EXPECT_EQ(message_of({.name = "s", .weights = weights, .activations = {.bits = 8}}),
              "s: the plan says activations of 8 bits, the file has others of 8 with a zero point");
    EXPECT_EQ(message_of({.name = "s", .weights = weights, .activations = {.bits = 4}}),
              "s: the plan says activations of 4 bits, the file has others of 8 with a zero point");
    EXPECT_EQ(message_of({.name = "s"}),
              "s: the plan says float, the packed weight is 8 bit symmetric, f32 scale per channel");
}

}  // namespace
