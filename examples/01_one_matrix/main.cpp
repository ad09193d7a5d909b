// SPDX-License-Identifier: MIT
// One matrix, rounded to 4 bits in groups of 32 with searched scales. The README shows what stands between the marks.
#include <algorithm>
#include <cstdio>
// [readme]
#include "quell/quell.hpp"
int main() {
    quell::matrix<float> w(256, 1024);
    std::generate_n(w.elements().data(), 256 * 1024, [r = quell::rng(1)]() mutable { return float(r.normal()); });
    const auto q = quell::rounding::rtn{}.solve(w.view(), {.bits = 4, .reach = quell::granularity::group, .group = 32});
    if (!q) {
        return std::puts(q.error().message.c_str()), 1;
    }
    const auto cost = quell::model::measure_rounding(w.view(), *q, {}, {});
    std::printf("bits per weight %.2f\n", double(quell::packing::stored_bits(q->form, 256, 1024)) / (256 * 1024));
    std::printf("signal to noise %.1f dB\nrelative error  %.3f\n", cost.error.snr_db(), cost.error.relative());
}
// [readme]
