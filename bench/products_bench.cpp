// SPDX-License-Identifier: MIT
// The products as rows of Google Benchmark, for its filters and its comparisons; the summary shows more.
#include "settings.hpp"

#include <benchmark/benchmark.h>

#include <string>

namespace bench {
namespace {

struct row {
    const quell::kernels::kernel_table* table;
    const quell::kernels::kernel_table* scalar;
    const format* form;
    sizes size;
    std::size_t m;

    [[nodiscard]] std::string name() const {
        return "gemm_" + std::string(form->name) + "/" + std::string(quell::kernels::name(table->level)) + "/" +
               std::to_string(m) + "x" + std::to_string(size.n) + "x" + std::to_string(size.k);
    }
};

void run(benchmark::State& state, const row& r) {
    const bool cold = r.m <= cold_rows;
    product p(*r.form, r.size, r.m, cold);
    p.run(*r.table, r.m, 0);
    if (!p.right(*r.scalar, r.m)) {
        state.SkipWithError("wrong result");
        return;
    }
    std::size_t call = 0;
    for (auto _ : state) {
        p.run(*r.table, r.m, cold ? ++call : 0);
        benchmark::ClobberMemory();
    }
    using benchmark::Counter;
    const double operations = 2.0 * static_cast<double>(r.m * r.size.n * r.size.k);
    state.counters["OP/s"] = Counter(operations, Counter::kIsIterationInvariantRate);
    state.counters["weight_bytes/s"] =
        Counter(static_cast<double>(p.weight_bytes()), Counter::kIsIterationInvariantRate);
}

}  // namespace

void register_products(const settings& wanted) {
    for (const quell::kernels::kernel_table* table : wanted.levels) {
        for (const format* f : wanted.formats) {
            for (const sizes s : wanted.shapes) {
                for (const std::size_t m : wanted.rows) {
                    const row r = {table, wanted.scalar, f, s, m};
                    benchmark::RegisterBenchmark(r.name().c_str(), run, r);
                }
            }
        }
    }
}

}  // namespace bench
