// SPDX-License-Identifier: MIT
// A quantizer is composed by type: what is measured, who is smoothed, how, the rounding, the layout. Here weights and
// activations get 8 bits, and four channels of the activations are fifty times as large as the others.
#include "quell/quell.hpp"

#include <cstdio>

using namespace quell;
using plain = quant::quantizer<quant::no_stats, quant::no_detector, quant::no_transform, rounding::rtn, quant::panels>;
using smoothed = quant::quantizer<stats::absmax, quant::no_detector, quant::smooth, rounding::rtn, quant::panels>;

static matrix<float> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    matrix<float> m(rows, cols);
    rng random(seed);
    for (float& v : m.elements()) {
        v = static_cast<float>(random.normal());
    }
    return m;
}

static matrix<float> outputs(const quant::linear& layer, matrix_view<const float> x) {
    matrix<float> y(x.rows(), quant::out_features(layer));
    buffer<std::byte> workspace(quant::workspace_bytes(layer, x.rows()));
    quant::forward(layer, x, y.view(), workspace);
    return y;
}

/// The relative error of the layer's outputs on x.
template <typename Quantizer>
static result<double> output_error(Quantizer quantizer, const matrix<float>& w, matrix_view<const float> x) {
    quantizer.collect(x);
    matrix<float> changed = matrix<float>::copy_of(w.view());
    const matrix_view<float> weight = changed.view();
    const quant::input_change change = quantizer.reshape({&weight, 1});
    QUELL_TRY(auto packed, quantizer.round(weight, {.bits = 8, .reach = granularity::channel}));
    QUELL_TRY(auto layer, quant::quantized_linear::make(std::move(packed), {}, {}, quant::online_part(change)));
    const matrix<float> exact = outputs(quant::float_linear(w.view()), x);
    report::error_stats error;
    error.add(exact.elements(), outputs(std::move(layer), x).elements());
    return error.relative();
}

int main() {
    const matrix<float> w = random_matrix(256, 512, 1);
    matrix<float> x = random_matrix(128, 512, 2);
    for (std::size_t r = 0; r < x.rows(); ++r) {
        for (const std::size_t outlier : {3U, 77U, 200U, 411U}) {
            x(r, outlier) *= 50.0F;
        }
    }
    const auto rounded = output_error(plain{}, w, x.view());
    const auto smooth = output_error(smoothed{.transform = {.alpha = 0.5F}}, w, x.view());
    if (!rounded || !smooth) {
        return std::puts((rounded ? smooth : rounded).error().message.c_str()), 1;
    }
    std::printf("8-bit weights and activations, 4 outlier channels of 512\n");
    std::printf("rounded            error %.4f\nsmoothed, rounded  error %.4f\n", *rounded, *smooth);
    std::printf("smoothing lowers the error %.1f times\n", *rounded / *smooth);
}
