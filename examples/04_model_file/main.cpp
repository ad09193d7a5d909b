// SPDX-License-Identifier: MIT
// A safetensors file in, a quantized one and a report out. The file is made here: two linears and a norm. A linear
// becomes NAME.codes (I8) and NAME.scales (F32, one a row); everything else is copied.
#include "quell/quell.hpp"

#include <algorithm>
#include <cstdio>
#include <deque>

using namespace quell;

static result<void> make_model(const std::string& path) {
    matrix<float> up(96, 64), down(64, 96), gain(1, 64);
    for (const std::span<float> v : {up.elements(), down.elements(), gain.elements()}) {
        std::generate(v.begin(), v.end(), [r = rng(v.size())]() mutable { return float(r.normal()); });
    }
    const io::tensor_to_write tensors[] = {{"up.weight", dtype::f32, {96, 64}, std::as_bytes(up.elements())},
                                           {"down.weight", dtype::f32, {64, 96}, std::as_bytes(down.elements())},
                                           {"norm.weight", dtype::f32, {64}, std::as_bytes(gain.elements())}};
    return io::write_safetensors(path, tensors, {});
}

static result<report::model_report> quantize(const std::string& from, const std::string& to) {
    QUELL_TRY(const auto file, io::safetensors_file::open(from));
    report::model_report report{.recipe = "rtn-w8"};
    std::deque<quantized> kept;  // out refers to it
    std::vector<io::tensor_to_write> out;
    for (const io::tensor_view& tensor : file.tensors()) {
        if (tensor.shape.size() != 2) {
            out.push_back({tensor.name, tensor.type, tensor.shape, tensor.bytes});
            continue;
        }
        matrix<float> w(tensor.shape[0], tensor.shape[1]);
        QUELL_TRY_VOID(io::to_float(tensor, 0, w.elements()));
        QUELL_TRY(quantized rounded, rounding::rtn{}.solve(w.view(), {.bits = 8}));
        const quantized& q = kept.emplace_back(std::move(rounded));
        out.push_back({tensor.name + ".codes", dtype::i8, tensor.shape, std::as_bytes(q.codes.elements())});
        out.push_back({tensor.name + ".scales", dtype::f32, {w.rows()}, std::as_bytes(q.scales.elements())});
        report::layer_report layer{.site = tensor.name, .out_features = w.rows(), .in_features = w.cols()};
        layer.weights = q.form;
        layer.stored_bytes = packing::stored_bytes(q.form, w.rows(), w.cols());
        layer.weight_error = model::measure_rounding(w.view(), q, {}, {}).error;
        report.layers.push_back(layer);
    }
    QUELL_TRY_VOID(io::write_safetensors(to + ".safetensors", out, {{"recipe", report.recipe}}));
    QUELL_TRY_VOID(io::write_file_atomically(to + ".json", report::to_json(report).dump(2)));
    return report;
}

int main() {
    const auto made = make_model("example.safetensors");
    const auto report = made ? quantize("example.safetensors", "example-w8") : made.error();
    if (!report) {
        return std::puts(report.error().message.c_str()), 1;
    }
    const auto sums = report::totals_of(*report);
    std::printf("example.safetensors became example-w8.safetensors, with a report in example-w8.json\n");
    std::printf("linears: %zu bytes instead of %zu\n", sums.stored_bytes, 4 * sums.parameters);
    std::printf("%.2f bits per weight, relative error %.4f\n", sums.stored_bits, sums.weight_error.relative());
}
