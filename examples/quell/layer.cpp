// SPDX-License-Identifier: MIT
/// @file
/// `quell layer`: one matrix in, its quantized form out, and what that costs. What it writes is in the original basis,
/// so that inputs x dequantized^T stands for the original output.
#include "commands.hpp"
#include "common.hpp"
#include "quell/io/safetensors.hpp"
#include "quell/io/safetensors_writer.hpp"
#include "quell/io/to_float.hpp"
#include "quell/packing/layout.hpp"
#include "quell/quant/recipe_linear.hpp"
#include "quell/quant/recipes.hpp"
#include "quell/report/error_stats.hpp"

#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace program {
namespace {

result<quell::matrix<float>> read_matrix(const quell::io::safetensors_file& file, const std::string& path,
                                         const char* name) {
    const quell::io::tensor_view* found = file.find(name);
    if (found == nullptr) {
        return error{errc::not_found, path + ": no tensor " + name};
    }
    if (found->shape.size() != 2) {
        return error{errc::bad_shape, path + ": " + name + " has " + std::to_string(found->shape.size()) +
                                          " dimensions, a matrix has 2"};
    }
    quell::matrix<float> m(found->shape[0], found->shape[1]);
    if (auto read = quell::io::to_float(*found, 0, m.elements()); !read) {
        return read.error().in(path);
    }
    return m;
}

template <typename T>
quell::io::tensor_to_write as_tensor(const char* name, quell::dtype type, const quell::matrix<T>& m) {
    return {.name = name, .type = type, .shape = {m.rows(), m.cols()}, .bytes = std::as_bytes(m.elements())};
}

/// The tensors of the output file: what they refer to lives here.
struct layer_result {
    quell::matrix<float> dequantized;
    std::optional<quell::quantized> codes;
    std::optional<quell::quantized> high_codes;  ///< of a weight of two forms: the columns of more bits
    quell::buffer<std::uint16_t> order;          ///< with it: the columns of high_codes, then those of codes

    [[nodiscard]] std::vector<quell::io::tensor_to_write> tensors() const {
        std::vector<quell::io::tensor_to_write> all = {as_tensor("dequantized", quell::dtype::f32, dequantized)};
        if (codes) {
            all.push_back(as_tensor("codes", quell::dtype::i8, codes->codes));
            all.push_back(as_tensor("scales", quell::dtype::f32, codes->scales));
        }
        if (high_codes) {
            all.push_back(as_tensor("high_codes", quell::dtype::i8, high_codes->codes));
            all.push_back(as_tensor("high_scales", quell::dtype::f32, high_codes->scales));
            all.push_back(as_tensor("high_zeros", quell::dtype::f32, high_codes->zeros));
            all.push_back({.name = "order",
                           .type = quell::dtype::u16,
                           .shape = {order.size()},
                           .bytes = std::as_bytes(std::span<const std::uint16_t>(order))});
        }
        if (codes && codes->zeros.rows() > 0) {
            all.push_back(as_tensor("zeros", quell::dtype::f32, codes->zeros));
        }
        return all;
    }
};

result<layer_result> result_of(const quell::quant::linear& layer) {
    layer_result r{.dequantized = quell::quant::weight(layer), .codes = {}, .high_codes = {}, .order = {}};
    if (const auto* q = std::get_if<quell::quant::quantized_linear>(&layer)) {
        QUELL_TRY(r.codes, quell::packing::unpack(q->packed()));
    } else if (const auto* split = std::get_if<quell::quant::split_linear>(&layer)) {
        QUELL_TRY(r.codes, quell::packing::unpack(split->low().packed()));
        QUELL_TRY(r.high_codes, quell::packing::unpack(split->high().packed()));
        r.order = quell::buffer<std::uint16_t>::copy_of(split->order());
    }
    return r;
}

void print_errors(const char* what, const quell::report::error_stats& e) {
    std::printf("%-13s relative %.6f, SNR %.2f dB, largest %.6g\n", what, e.relative(), e.snr_db(), e.max);
}

quell::report::error_stats difference(const quell::matrix<float>& exact, const quell::matrix<float>& approximate) {
    quell::report::error_stats e;
    e.add(exact.elements(), approximate.elements());
    return e;
}

/// x W^T in float, or through the quantized layer with its activations quantized too.
quell::matrix<float> outputs(const quell::quant::linear& layer, const quell::matrix<float>& x,
                             const quell::executor& threads) {
    quell::matrix<float> y(x.rows(), quell::quant::out_features(layer));
    quell::buffer<std::byte> workspace(quell::quant::workspace_bytes(layer, x.rows()));
    quell::quant::forward(layer, x.view(), y.view(), workspace, threads);
    return y;
}

result<void> quantize_layer(const layer_options& options, const quell::quant::recipe& how) {
    quell::thread_pool pool(thread_count(options.common));
    const quell::executor threads(pool);
    QUELL_TRY(const auto file, quell::io::safetensors_file::open(options.in));
    QUELL_TRY(const quell::matrix<float> weight, read_matrix(file, options.in, "weight"));
    quell::matrix<float> inputs;
    if (file.find("inputs") != nullptr) {
        QUELL_TRY(inputs, read_matrix(file, options.in, "inputs"));
        if (inputs.cols() != weight.cols()) {
            return error{errc::bad_shape, options.in + ": inputs have " + std::to_string(inputs.cols()) +
                                              " columns, the weight has " + std::to_string(weight.cols())};
        }
    }
    const auto layer = quell::quant::make_linear(how, weight.view(), {}, inputs.view(), threads);
    if (!layer) {
        return layer.error().in(options.in);
    }
    QUELL_TRY(const layer_result r, result_of(*layer));
    QUELL_TRY_VOID(quell::io::write_safetensors(options.out, r.tensors(), {{"quell.recipe", how.name}}));
    std::printf("%s: weight [%zu, %zu]\n", how.name.c_str(), weight.rows(), weight.cols());
    if (r.codes) {
        const quell::storage_bits stored = quell::quant::storage_of(*layer);
        const auto weights = static_cast<double>(weight.rows() * weight.cols());
        std::printf("bits          %.6g nominal, %.4f stored\n", static_cast<double>(stored.codes) / weights,
                    8.0 * static_cast<double>(stored.bytes()) / weights);
    }
    print_errors("weight error", difference(weight, r.dequantized));
    if (inputs.rows() > 0) {
        const quell::quant::linear exact = quell::quant::float_linear(weight.view(), {}, threads);
        print_errors("output error", difference(outputs(exact, inputs, threads), outputs(*layer, inputs, threads)));
    }
    return {};
}

}  // namespace

int layer(const layer_options& options) {
    if (const int status = choose_isa(options.common); status != 0) {
        return status;
    }
    const auto how = quell::quant::find_recipe(options.recipe, {.alpha = options.alpha});
    if (!how) {
        return misuse(how.error().message);
    }
    if (const auto writable = check_writable(options.out); !writable) {
        return fail(writable.error());
    }
    return status_of(quantize_layer(options, *how));
}

}  // namespace program
