// SPDX-License-Identifier: MIT
// The kernel level: packed 4-bit weights times 8-bit activations through the kernel table. Kernels take pointers and a
// range of panels; threads, memory and the order of the work are the caller's. The loop over steps allocates nothing.
#include "quell/core/rng.hpp"
#include "quell/kernels.hpp"
#include "quell/packing/pack.hpp"
#include "quell/rounding/rtn.hpp"

#include <algorithm>
#include <barrier>
#include <cstdio>
#include <thread>
#include <vector>

int main() {
    using namespace quell;
    constexpr std::size_t n = 500, k = 1024, group = 128, threads = 2, steps = 20;
    matrix<float> w(n, k);
    std::vector<float> x(k), y(n), scale(1);
    std::generate_n(w.elements().data(), n * k, [r = rng(5)]() mutable { return static_cast<float>(r.normal()); });
    std::generate_n(x.data(), k, [r = rng(6)]() mutable { return static_cast<float>(r.normal()); });
    const auto q = rounding::rtn{}.solve(w.view(), {.bits = 4, .reach = granularity::group, .group = group});
    const auto packed = q ? packing::pack(*q) : q.error();
    if (!packed) {
        return std::puts(packed.error().message.c_str()), 1;
    }
    kernels::gemm_args product{.w = packed->panels(), .lda = kernels::padded_k(k), .m = 1, .y = y.data(), .ldy = n};
    std::vector<std::int8_t> codes(product.lda);
    std::vector<std::int32_t> sums(product.w.shape.groups());
    kernels::quantize_args quantize{.x = x.data(), .ldx = k, .rows = 1, .cols = k, .group = group};
    product.a = quantize.codes = codes.data();
    product.a_sums = quantize.sums = sums.data();
    product.a_scales = quantize.scales = scale.data();
    quantize.stride = product.lda;

    const std::size_t panels = product.w.shape.panels(), share = (panels + threads - 1) / threads;
    std::barrier together(threads);
    const auto work = [&, &table = kernels::best()](std::size_t thread) {
        for (std::size_t step = 0; step < steps; ++step) {
            if (thread == 0) {
                table.quantize_rows(quantize, 0, 1);
            }
            together.arrive_and_wait();
            table.gemm(product, thread * share, std::min((thread + 1) * share, panels));
            together.arrive_and_wait();
        }
    };
    std::thread helper(work, 1);
    work(0);
    helper.join();

    double exact = 0.0;
    for (std::size_t c = 0; c < k; ++c) {
        exact += double{w(0, c)} * double{x[c]};
    }
    std::printf("%zu x %zu weights in %zu KiB\n", n, k, packed->blob().size() / 1024);
    std::printf("%zu products on %zu threads\n", steps, threads);
    std::printf("first output %.2f, in float %.2f\n", static_cast<double>(y[0]), exact);
}
