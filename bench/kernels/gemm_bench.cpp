// SPDX-License-Identifier: MIT
// The products of the kernels, one row for every instruction set here, format, shape and number of activation rows.
// Weights rotate over copies of 256 MB in all where few rows stream them from memory, as the layers of a model do.
// Activations are quantized inside the time. Every row compares some of its outputs with the definition first.
#include "quell/core/rng.hpp"
#include "quell/kernels.hpp"
#include "quell/packing/pack.hpp"

#include <benchmark/benchmark.h>

#include <cmath>
#include <string>
#include <vector>

namespace {

using namespace quell;

struct format {
    const char* name;
    scheme form;
};

constexpr format formats[] = {
    {"f32", packing::float_form},
    {"w8a8", {.bits = 8}},
    {"w4a8", {.bits = 4}},
    {"w4a8-g32", {.bits = 4, .reach = granularity::group, .group = 32, .scales = scale_type::f16}},
    {"w4a8-g128", {.bits = 4, .reach = granularity::group, .group = 128, .scales = scale_type::f16}},
};

struct sizes {
    std::size_t m;
    std::size_t n;
    std::size_t k;
};

constexpr std::size_t cold_bytes = std::size_t{256} << 20U;
constexpr std::size_t streaming_rows = 16;

quantized random_weight(const scheme& form, std::size_t n, std::size_t k) {
    rng random(1);
    quantized q = make_quantized(form, n, k);
    for (auto& code : q.codes.elements()) {
        code = static_cast<std::int8_t>(static_cast<int>(random.below(15)) - 7);
    }
    for (float& scale : q.scales.elements()) {
        scale = 0.0625F;
    }
    return q;
}

struct operands {
    quantized weight;
    packing::packed_matrix packed;
    buffer<std::byte> copies;
    std::size_t copy_count;
    std::vector<float> x, scales, y;
    std::vector<std::int8_t> codes;
    std::vector<std::int32_t> sums;

    operands(const scheme& form, const sizes& s)
        : weight(random_weight(form == packing::float_form ? scheme{} : form, s.n, s.k)),
          packed(form == packing::float_form ? packing::pack_f32(dequantize(weight).view()) : *packing::pack(weight)),
          x(s.m * s.k),
          scales(s.m),
          y(s.m * s.n),
          codes(s.m * kernels::padded_k(s.k)),
          sums(s.m * packed.panels().shape.groups()) {
        const std::size_t bytes = packed.panels().shape.bytes();
        copy_count = s.m <= streaming_rows ? cold_bytes / bytes + 1 : 1;
        copies = buffer<std::byte>(copy_count * bytes);
        for (std::size_t i = 0; i < copy_count; ++i) {
            std::memcpy(copies.data() + i * bytes, packed.panels().data, bytes);
        }
        rng random(2);
        for (float& v : x) {
            v = static_cast<float>(random.normal());
        }
    }

    void run(const kernels::kernel_table& table, const sizes& s, std::size_t call) {
        const kernels::panel_shape& shape = packed.panels().shape;
        const std::byte* data = copies.data() + call % copy_count * shape.bytes();
        if (shape.format == kernels::panel_format::f32) {
            table.gemm_f32({.x = x.data(),
                            .ldx = s.k,
                            .m = s.m,
                            .panels = reinterpret_cast<const float*>(data),
                            .panel_stride = kernels::panel_rows * s.k,
                            .n = s.n,
                            .k = s.k,
                            .y = y.data(),
                            .ldy = s.n},
                           0, shape.panels());
            return;
        }
        const std::size_t stride = kernels::padded_k(s.k);
        table.quantize_rows({.x = x.data(),
                             .ldx = s.k,
                             .rows = s.m,
                             .cols = s.k,
                             .group = shape.group,
                             .codes = codes.data(),
                             .stride = stride,
                             .scales = scales.data(),
                             .sums = sums.data()},
                            0, s.m);
        const auto gemm = table.gemm;
        gemm({.w = {shape, data},
              .a = codes.data(),
              .lda = stride,
              .a_scales = scales.data(),
              .a_sums = sums.data(),
              .m = s.m,
              .y = y.data(),
              .ldy = s.n},
             0, shape.panels());
    }

    [[nodiscard]] bool right(const sizes& s) const {
        const bool integer = packed.panels().shape.format != kernels::panel_format::f32;
        for (std::size_t i = 0; i < s.m * s.n; i += s.m * s.n / 50 + 1) {
            const std::size_t r = i / s.n;
            const std::size_t c = i % s.n;
            double sum = 0.0;
            double magnitude = 1e-30;
            for (std::size_t k = 0; k < s.k; ++k) {
                const double a =
                    integer ? double{scales[r]} * codes[r * kernels::padded_k(s.k) + k] : double{x[r * s.k + k]};
                sum += a * double{value_of(weight, c, k)};
                magnitude += std::abs(a * double{value_of(weight, c, k)});
            }
            if (!(std::abs(sum - double{y[i]}) <= 1e-4 * magnitude)) {
                return false;
            }
        }
        return true;
    }
};

void product(benchmark::State& state, kernels::isa level, const format& f, sizes s) {
    operands o(f.form, s);
    const kernels::kernel_table& table = *kernels::by_isa(level);
    o.run(table, s, 0);
    if (!o.right(s)) {
        state.SkipWithError("wrong result");
        return;
    }
    std::size_t call = 0;
    for (auto _ : state) {
        o.run(table, s, ++call);
        benchmark::ClobberMemory();
    }
    using benchmark::Counter;
    state.counters["OP/s"] = Counter(2.0 * static_cast<double>(s.m * s.n * s.k), Counter::kIsIterationInvariantRate);
    state.counters["weight_bytes/s"] =
        Counter(static_cast<double>(o.packed.panels().shape.bytes()), Counter::kIsIterationInvariantRate);
}

}  // namespace

int main(int argc, char** argv) {
    for (const kernels::isa level : kernels::available()) {
        for (const format& f : formats) {
            for (const sizes s : {sizes{0, 1536, 576}, sizes{0, 4096, 4096}, sizes{0, 1001, 1003}}) {
                for (const std::size_t m : {1U, 4U, 16U, 128U, 512U}) {
                    const std::string row = std::string("gemm_") + f.name + "/" + std::string(kernels::name(level)) +
                                            "/" + std::to_string(m) + "x" + std::to_string(s.n) + "x" +
                                            std::to_string(s.k);
                    benchmark::RegisterBenchmark(row.c_str(), product, level, f, sizes{m, s.n, s.k});
                }
            }
        }
    }
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
