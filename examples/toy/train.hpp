// SPDX-License-Identifier: MIT
/// @file
/// Trains a toy transformer from nothing on the program's own text and writes it as a checkpoint. Every training byte
/// is new: the text never repeats. The first part of the run sees half the context, which learns faster for the same
/// time.
#pragma once

#include "quell/core/progress.hpp"
#include "quell/tuning/adamw.hpp"
#include "quell/tuning/cosine_schedule.hpp"
#include "quell/tuning/gradient_clipping.hpp"
#include "toy/checkpoint.hpp"
#include "toy/corpus.hpp"
#include "toy/network.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace toy {

/// A stretch of the training with its own material and batches.
struct stage {
    double part = 1.0;  ///< of all steps
    material text = material::mixed;
    batch_shape batch = {};
};

struct train_options {
    std::string out;
    architecture form = architecture::swiglu;
    std::size_t steps = 5000;
    std::uint64_t seed = 1;
    /// Copies first, in short sequences, then the other exercises: a network that has learnt to look back learns the
    /// text from there. Many small steps do more for that than few large ones.
    std::vector<stage> stages = {{0.30, material::copies, {8, 64}},
                                 {0.25, material::exercises, {8, 64}},
                                 {0.20, material::mixed, {4, 128}},
                                 {0.25, material::mixed, {2, 512}}};
    quell::tuning::cosine_schedule schedule = {.peak = 3e-3};  ///< its number of steps is replaced
    quell::tuning::adamw_options optimizer = {.beta2 = 0.98, .weight_decay = 0.05};
    double longest_gradient = 1.0;
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

/// The text of one stage, a new window for every step.
class training_text {
public:
    training_text(const stage& now, std::uint64_t seed, std::size_t steps)
        : batch_(now.batch), bytes_(steps * batch_.tokens() + 1) {
        const std::string all = text(seed, bytes_.size(), now.text);
        std::ranges::copy(all, bytes_.begin());
    }

    [[nodiscard]] training_batch batch(std::size_t step) const {
        const auto window = std::span(bytes_).subspan(step * batch_.tokens(), batch_.tokens() + 1);
        return {.size = batch_, .inputs = window.first(batch_.tokens()), .targets = window.last(batch_.tokens())};
    }

private:
    batch_shape batch_;
    std::vector<std::uint8_t> bytes_;
};

/// Takes all the steps on a network that exists already.
template <typename T>
training_log train(network<T>& net, const train_options& options) {
    quell::tuning::cosine_schedule schedule = options.schedule;
    schedule.steps = options.steps;
    std::vector<parameter<T>*> all;
    net.for_each_parameter([&](parameter<T>& p) { all.push_back(&p); });
    quell::tuning::adamw<T> optimizer(all, options.optimizer);
    training_log log;
    double part = 0.0;
    for (std::size_t s = 0; s < options.stages.size(); ++s) {
        part += options.stages[s].part;
        const auto end =
            std::min(options.steps, static_cast<std::size_t>(std::lround(part * static_cast<double>(options.steps))));
        const std::size_t begin = log.losses.size();
        const training_text material(options.stages[s], first_training_seed * (s + 1) + options.seed, end - begin);
        for (std::size_t step = begin; step < end; ++step) {
            log.losses.push_back(net.forward_backward(material.batch(step - begin), options.threads));
            quell::tuning::clip_gradients<T>(all, options.longest_gradient, options.threads);
            optimizer.step(schedule.rate(step), options.threads);
            char now[48];
            std::snprintf(now, sizeof now, "loss %.4f nats/byte", log.losses.back());
            quell::report_progress(options.progress, "train", now, step + 1, options.steps);
        }
    }
    return log;
}

/// Trains the standard shape of this form and writes the checkpoint, with its loss on the built-in text in the
/// metadata.
///
/// Errors   errc::io_failed when the file cannot be written.
/// Cost     about 5 GFLOP for 1,000 bytes; the default run takes some minutes on two cores.
[[nodiscard]] inline quell::result<void> train_toy(const train_options& options) {
    network<float> net = make_network<float>(standard_shape(options.form), options.seed);
    train(net, options);
    round_to_f16(net);
    const double loss = evaluate(net, text(evaluation_seed, builtin_bytes), net.sizes().context, options.threads);
    return write_checkpoint(options.out, net, {.loss = loss, .steps = options.steps, .seed = options.seed});
}

}  // namespace toy
