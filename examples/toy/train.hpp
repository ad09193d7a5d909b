// SPDX-License-Identifier: MIT
/// @file
/// Trains a toy transformer from nothing on the program's own text and writes it as a checkpoint. Every training byte
/// is new: the text never repeats. The first part of the run sees half the context, which learns faster for the same
/// time.
#pragma once

#include "quell/core/progress.hpp"
#include "toy/adamw.hpp"
#include "toy/checkpoint.hpp"
#include "toy/corpus.hpp"
#include "toy/network.hpp"

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace toy {

struct train_options {
    std::string out;
    architecture form = architecture::swiglu;
    std::size_t steps = 1500;
    std::uint64_t seed = 1;
    std::size_t tokens_per_step = 2048;
    double short_context_part = 0.6;  ///< of the steps, with sequences of half the length
    cosine_schedule schedule = {};    ///< its number of steps is replaced
    adamw_options optimizer = {};
    quell::executor threads = {};
    quell::progress_callback progress = {};
};

/// Windows of `context` bytes, one after the other; every byte but the first of a window is scored, a tail is dropped.
/// Mean loss in nats a byte.
template <typename T>
[[nodiscard]] double evaluate(network<T>& net, std::string_view bytes, std::size_t context,
                              const quell::executor& threads) {
    double sum = 0.0;
    std::size_t scored = 0;
    for (std::size_t begin = 0; begin + context <= bytes.size(); begin += context) {
        const std::vector<std::uint8_t> ids(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                                            bytes.begin() + static_cast<std::ptrdiff_t>(begin + context));
        const quell::matrix_view<T> logits = net.forward(ids, {.sequences = 1, .length = context}, threads);
        for (std::size_t t = 0; t + 1 < context; ++t, ++scored) {
            sum += softmax_loss(logits.row(t), ids[t + 1]);
        }
    }
    return scored == 0 ? 0.0 : sum / static_cast<double>(scored);
}

/// The losses of every step, in nats a byte.
struct training_log {
    std::vector<double> losses;
};

/// Takes all the steps on a network that exists already.
template <typename T>
training_log train(network<T>& net, const train_options& options) {
    const std::size_t per_step = options.tokens_per_step;
    const std::string text = toy::text(first_training_seed + options.seed, options.steps * per_step + 1);
    const std::vector<std::uint8_t> bytes(text.begin(), text.end());
    const auto short_steps = static_cast<std::size_t>(static_cast<double>(options.steps) * options.short_context_part);
    cosine_schedule schedule = options.schedule;
    schedule.steps = options.steps;
    adamw<T> optimizer(net, options.optimizer);
    training_log log;
    for (std::size_t step = 0; step < options.steps; ++step) {
        const std::size_t longest = step < short_steps ? net.sizes().context / 2 : net.sizes().context;
        const std::size_t length = std::min(longest, per_step);
        const batch_shape size{.sequences = per_step / length, .length = length};
        const std::span<const std::uint8_t> window(bytes.data() + step * per_step, size.tokens() + 1);
        log.losses.push_back(net.forward_backward(
            {.size = size, .inputs = window.first(size.tokens()), .targets = window.last(size.tokens())},
            options.threads));
        optimizer.step(schedule.rate(step), options.threads);
        char now[48];
        std::snprintf(now, sizeof now, "loss %.4f nats/byte", log.losses.back());
        quell::report_progress(options.progress, "train", now, step + 1, options.steps);
    }
    return log;
}

/// Trains the standard shape of this form and writes the checkpoint, with its loss on the built-in text in the
/// metadata.
///
/// Errors   errc::io_failed when the file cannot be written.
/// Cost     about 8 GFLOP a step; the default run takes some minutes on two cores.
[[nodiscard]] inline quell::result<void> train_toy(const train_options& options) {
    network<float> net = make_network<float>(standard_shape(options.form), options.seed);
    train(net, options);
    round_to_f16(net);
    const double loss = evaluate(net, text(evaluation_seed, builtin_bytes), net.sizes().context, options.threads);
    return write_checkpoint(options.out, net, {.loss = loss, .steps = options.steps, .seed = options.seed});
}

}  // namespace toy
