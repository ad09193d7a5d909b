// SPDX-License-Identifier: MIT
// A policy of your own: a detector that lets the transform touch only channels that stand out, so that all others keep
// their values bit for bit. It is a plain struct; the concept `detector` says what it must have.
#include "quell/quell.hpp"

#include <algorithm>
#include <cstdio>
#include <vector>

using namespace quell;

/// Channels whose largest magnitude exceeds `times` the median of all channels.
struct standing_out {
    float times = 6.0F;

    [[nodiscard]] quant::channel_set detect(const stats::absmax& seen) const {
        const std::span<const float> maxima = seen.per_channel();
        std::vector<float> sorted(maxima.begin(), maxima.end());
        const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
        std::nth_element(sorted.begin(), middle, sorted.end());
        quant::channel_set found;
        for (const float largest : maxima) {
            found.members.push_back(largest > times * *middle);
        }
        return found;
    }
};
static_assert(quant::detector<standing_out, stats::absmax>);

template <typename Detector>
using smoothed = quant::quantizer<stats::absmax, Detector, quant::smooth, rounding::rtn, quant::no_layout>;

/// How many channels the quantizer scales.
template <typename Quantizer>
static std::size_t scaled_channels(Quantizer quantizer, matrix_view<const float> x) {
    matrix<float> w(64, x.cols());
    std::fill(w.elements().begin(), w.elements().end(), 0.1F);
    const matrix_view<float> weight = w.view();
    quantizer.collect(x);
    const quant::input_change change = quantizer.reshape({&weight, 1});
    return static_cast<std::size_t>(
        std::count_if(change.divisors.begin(), change.divisors.end(), [](float s) { return s != 1.0F; }));
}

int main() {
    matrix<float> x(200, 512);
    rng random(3);
    for (std::size_t i = 0; i < x.elements().size(); ++i) {
        const bool outlier = i % 512 % 100 == 7;  // channels 7, 107, 207, 307, 407, 507
        x.elements()[i] = static_cast<float>(random.normal()) * (outlier ? 40.0F : 1.0F);
    }
    std::printf("no detector scales %zu of 512 channels\n", scaled_channels(smoothed<quant::no_detector>{}, x.view()));
    for (const float times : {6.0F, 60.0F}) {
        const smoothed<standing_out> quantizer{.detector = {.times = times}};
        std::printf("%2.0f times the median: %zu channels\n", times, scaled_channels(quantizer, x.view()));
    }
}
