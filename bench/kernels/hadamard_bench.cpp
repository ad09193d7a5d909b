// SPDX-License-Identifier: MIT
// The Hadamard transform of rows of activations, one row for every instruction set here and width, beside a copy of
// the same bytes. Rows rotate over 4 MB, as the tokens of a batch do. The first row is checked by its norm.
#include "quell/core/rng.hpp"
#include "quell/kernels.hpp"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace quell;

struct rows_of_channels {
    std::size_t n;
    std::size_t rows;
    kernels::hadamard_shape shape;
    std::vector<std::uint64_t> signs;
    std::vector<float> x, y, scratch;

    explicit rows_of_channels(std::size_t channels)
        : n(channels),
          rows((std::size_t{1} << 20U) / channels + 1),
          shape(kernels::hadamard_shape_of(channels)),
          signs(kernels::hadamard_matrix_bytes(channels) / sizeof(std::uint64_t)),
          x(rows * channels),
          y(channels),
          scratch(shape.scratch_floats()) {
        kernels::make_hadamard_signs(shape, signs.data());
        rng random(1);
        for (float& v : x) {
            v = static_cast<float>(random.normal());
        }
    }

    void run(const kernels::kernel_table& table, std::size_t row) {
        table.hadamard_rows({.x = x.data() + row % rows * n,
                             .ldx = n,
                             .rows = 1,
                             .shape = shape,
                             .signs = signs.data(),
                             .y = y.data(),
                             .ldy = n,
                             .scratch = scratch.data()},
                            0, 1);
    }

    [[nodiscard]] bool right() const {
        double in = 0.0;
        double out = 0.0;
        for (std::size_t i = 0; i < n; ++i) {
            in += double{x[i]} * double{x[i]};
            out += double{y[i]} * double{y[i]};
        }
        return std::abs(in - out) <= 1e-5 * in;
    }
};

void count(benchmark::State& state, std::size_t n) {
    using benchmark::Counter;
    state.counters["bytes/s"] = Counter(static_cast<double>(2 * n * sizeof(float)), Counter::kIsIterationInvariantRate);
}

void transform(benchmark::State& state, kernels::isa level, std::size_t n) {
    rows_of_channels o(n);
    const kernels::kernel_table& table = *kernels::by_isa(level);
    o.run(table, 0);
    if (!o.right()) {
        state.SkipWithError("wrong result");
        return;
    }
    std::size_t call = 0;
    for (auto _ : state) {
        o.run(table, ++call);
        benchmark::ClobberMemory();
    }
    count(state, n);
}

void copy(benchmark::State& state, std::size_t n) {
    rows_of_channels o(n);
    std::size_t call = 0;
    for (auto _ : state) {
        std::memcpy(o.y.data(), o.x.data() + ++call % o.rows * n, n * sizeof(float));
        benchmark::ClobberMemory();
    }
    count(state, n);
}

}  // namespace

int main(int argc, char** argv) {
    for (const std::size_t n : {576U, 1536U, 4096U, 5120U, 11008U, 14336U, 18944U, 29568U}) {
        for (const kernels::isa level : kernels::available()) {
            const std::string row = "hadamard_rows/" + std::string(kernels::name(level)) + "/" + std::to_string(n);
            benchmark::RegisterBenchmark(row.c_str(), transform, level, n);
        }
        benchmark::RegisterBenchmark(("memcpy/" + std::to_string(n)).c_str(), copy, n);
    }
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
