// SPDX-License-Identifier: MIT
// A small engine with threads of its own that lets quell hold and multiply its linears: y = W2 gelu(W1 x) for a batch
// of tokens, in float and quantized.
#include "quell/core/rng.hpp"
#include "quell/layer.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <thread>

using namespace quell;

/// What quell asks of an engine's threads: concurrency() and parallel_for(n, f). These start anew for each product.
struct engine_threads {
    [[nodiscard]] std::size_t concurrency() const { return 2; }
    void parallel_for(std::size_t n, index_function f) {
        std::atomic<std::size_t> next = 0;
        const auto drain = [&] {
            for (std::size_t i = next++; i < n; i = next++) {
                f(i);
            }
        };
        std::thread helper(drain);
        drain();
        helper.join();
    }
};

constexpr std::size_t width = 768, inner = 2048, tokens = 128;

static matrix<float> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    matrix<float> m(rows, cols);
    rng random(seed);
    for (float& v : m.elements()) {
        v = static_cast<float>(random.normal() / std::sqrt(static_cast<double>(cols)));
    }
    return m;
}

/// A composition by type needs no library but quell itself: no statistics, no transform, round to nearest, panels.
using rounder =
    quant::quantizer<quant::no_stats, quant::no_detector, quant::no_transform, rounding::rtn, quant::panels>;

static result<quant::linear> make_linear(const quant::linear_form& form, const matrix<float>& w, executor threads) {
    if (form.weights.bits == 32) {
        return quant::linear(quant::float_linear(w.view(), {}, threads));
    }
    QUELL_TRY(auto layer, quant::make_linear(rounder{}, form, w.view(), {}, {}, threads));
    return quant::linear(std::move(layer));
}

struct network {
    quant::linear up, down;

    static result<network> make(const quant::linear_form& form, const executor& threads) {
        QUELL_TRY(auto up, make_linear(form, random_matrix(inner, width, 1), threads));
        QUELL_TRY(auto down, make_linear(form, random_matrix(width, inner, 2), threads));
        return network{std::move(up), std::move(down)};
    }

    [[nodiscard]] matrix<float> run(const matrix<float>& x, const executor& threads) const {
        matrix<float> hidden(x.rows(), inner), y(x.rows(), width);
        buffer<std::byte> workspace(std::max(workspace_bytes(up, x.rows()), workspace_bytes(down, x.rows())));
        quant::forward(up, x.view(), hidden.view(), workspace, threads);
        for (float& v : hidden.elements()) {
            v *= 0.5F * (1.0F + std::erf(v * 0.70710678F));
        }
        quant::forward(down, hidden.view(), y.view(), workspace, threads);
        return y;
    }
};

static double relative_error(std::span<const float> exact, std::span<const float> y) {
    double error = 0.0, squares = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        error += std::pow(double{exact[i]} - double{y[i]}, 2);
        squares += std::pow(double{exact[i]}, 2);
    }
    return std::sqrt(error / squares);
}

constexpr struct {
    const char* name;
    quant::linear_form form;
} choices[] = {
    {"float", {.weights = packing::float_form}},
    {"w8a8", {.weights = {.bits = 8, .reach = granularity::channel}}},
    {"w4a8 in groups of 128", {.weights = {.bits = 4, .reach = granularity::group, .group = 128}}},
};

int main() {
    engine_threads threads;
    const matrix<float> x = random_matrix(tokens, width, 3);
    matrix<float> exact;
    for (const auto& [name, form] : choices) {
        const auto net = network::make(form, threads);
        if (!net) {
            return std::puts(net.error().message.c_str()), 1;
        }
        const auto begin = std::chrono::steady_clock::now();
        matrix<float> y = net->run(x, threads);
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
        exact = exact.rows() == 0 ? matrix<float>::copy_of(y.view()) : std::move(exact);
        std::printf("%-21s %5.2f MiB  %6.0f tokens/s  error %.3f\n", name,
                    static_cast<double>(bytes(net->up) + bytes(net->down)) / 0x1p20, tokens / spent.count(),
                    relative_error(exact.elements(), y.elements()));
    }
}
