// SPDX-License-Identifier: MIT
/// @file
/// Tunes the full-precision part of a quantized model on a text: the columns in float and the scales, everything else
/// stays as it is. A run that was interrupted goes on from its checkpoint and ends in the same bytes.
#pragma once

#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/packing/blob.hpp"
#include "quell/quant/tuning_rule.hpp"
#include "quell/tuning/adamw.hpp"
#include "quell/tuning/checkpoint.hpp"
#include "quell/tuning/cosine_schedule.hpp"
#include "quell/tuning/gradient_clipping.hpp"
#include "toy/tunable_model.hpp"
#include "transformer/session.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace toy {

struct tune_options {
    quell::quant::tuning_rule rule = {};  ///< sequences become as short as the text or the model asks
    double longest_gradient = 1.0;
    const transformer::model* teacher = nullptr;  ///< whose predictions are the goal; none: the text is
    std::string checkpoint = {};                  ///< file to keep it in; empty: nowhere
    std::size_t checkpoint_every = 10;            ///< steps
    quell::executor threads = {};
    quell::progress_callback progress = {};
};

/// The windows of a text, one after the other and again from its start, each token with the one that follows it.
class tuning_text {
public:
    /// Errors   errc::bad_value for a text of less than two tokens.
    [[nodiscard]] static quell::result<tuning_text> make(std::span<const std::int32_t> ids, const tune_options& options,
                                                         std::size_t context) {
        if (ids.size() < 2) {
            return quell::error{quell::errc::bad_value,
                                "tuning: a text of " + std::to_string(ids.size()) + " tokens has nothing to predict"};
        }
        tuning_text made;
        made.ids_ = ids;
        made.size_ = {.sequences = options.rule.sequences,
                      .length = std::min({options.rule.length, context, ids.size() - 1})};
        made.windows_ = (ids.size() - 1) / made.size_.length;
        made.teacher_ = options.teacher;
        made.states_.resize(options.teacher == nullptr ? 0 : made.windows_);
        return made;
    }

    [[nodiscard]] batch_shape size() const { return size_; }

    /// What step `step` learns from, valid until the next call.
    /// Errors   those of session::prefill, for the teacher.
    quell::result<tuning_batch> batch(std::size_t step, const quell::executor& threads) {
        inputs_.clear();
        targets_.clear();
        if (teacher_ != nullptr) {
            quell::tuning::linear_scratch::resize(hidden_, size_.tokens(), teacher_->shape.width);
        }
        for (std::size_t s = 0; s < size_.sequences; ++s) {
            const std::size_t window = (step * size_.sequences + s) % windows_;
            const auto text = ids_.subspan(window * size_.length, size_.length + 1);
            inputs_.insert(inputs_.end(), text.begin(), text.end() - 1);
            targets_.insert(targets_.end(), text.begin() + 1, text.end());
            if (teacher_ != nullptr) {
                QUELL_TRY_VOID(add_states(s, window, text.first(size_.length), threads));
            }
        }
        return tuning_batch{
            .size = size_, .inputs = inputs_, .targets = targets_, .teacher = {teacher_, hidden_.view()}};
    }

private:
    /// The teacher sees a window once.
    quell::result<void> add_states(std::size_t sequence, std::size_t window, std::span<const std::int32_t> ids,
                                   const quell::executor& threads) {
        quell::matrix<float>& known = states_[window];
        if (known.rows() == 0) {
            transformer::session run(*teacher_, threads, ids.size());
            QUELL_TRY_VOID(run.prefill(ids));
            known = quell::matrix<float>::copy_of(run.hidden());
        }
        std::ranges::copy(known.elements(), hidden_.row(sequence * size_.length).data());
        return {};
    }

    std::span<const std::int32_t> ids_;
    batch_shape size_;
    std::size_t windows_ = 0;
    const transformer::model* teacher_ = nullptr;
    std::vector<quell::matrix<float>> states_;  ///< the teacher's, of the windows that it has seen
    std::vector<std::int32_t> inputs_, targets_;
    quell::matrix<float> hidden_;
};

struct tuning_log {
    std::vector<double> losses;  ///< nats a token, of the steps that this call took
};

namespace detail {

/// What decides the result, and so whether a checkpoint is one of this run.
inline std::string run_of(const tune_options& options, std::span<const std::int32_t> ids,
                          std::span<parameter<float>* const> untuned) {
    quell::packing::checksum text;
    text.add(std::as_bytes(ids));
    quell::packing::checksum model;
    for (const parameter<float>* p : untuned) {
        model.add(std::as_bytes(std::span<const float>(p->value.elements())));
    }
    char run[200];
    std::snprintf(run, sizeof run,
                  "%zu steps of %zu x %zu tokens at %.6g%s towards the %s; text %016llx, model %016llx",
                  options.rule.steps, options.rule.sequences, options.rule.length, options.rule.rate,
                  options.rule.codes ? ", codes too," : "", options.teacher == nullptr ? "text" : "float model",
                  static_cast<unsigned long long>(text.value()), static_cast<unsigned long long>(model.value()));
    return run;
}

/// Goes on from the checkpoint, where there is one.
inline quell::result<void> resume(const tune_options& options, const std::string& run,
                                  quell::tuning::adamw<float>& optimizer, tunable_model& model) {
    if (options.checkpoint.empty() || !std::ifstream(options.checkpoint).good()) {
        return {};
    }
    QUELL_TRY_VOID(quell::tuning::read_checkpoint(options.checkpoint, optimizer, run));
    return model.update(options.threads);
}

}  // namespace detail

/// Tunes `network` in place. The checkpoint stays; who has written the result may remove it.
///
/// Errors   those of tunable_model::make and of the checkpoint; errc::bad_value for a text that is too short or a loss
///          that is not finite. The model is then as it was.
/// Cost     for each token about 4 flops a weight in float, 4 operations a weight in integers, and 4 flops an element
/// of
///          the head; a third more with a teacher.
inline quell::result<tuning_log> tune(transformer::model& network, std::span<const std::int32_t> ids,
                                      const tune_options& options) {
    QUELL_TRY(tuning_text text, tuning_text::make(ids, options, network.shape.context));
    QUELL_TRY(const std::unique_ptr<tunable_model> model,
              tunable_model::make(network, text.size().length, options.rule.codes));
    const std::vector<parameter<float>*> all = model->parameters();
    quell::tuning::adamw<float> optimizer(all);
    const std::string run = detail::run_of(options, ids, all);
    QUELL_TRY_VOID(detail::resume(options, run, optimizer, *model));
    const quell::tuning::cosine_schedule schedule{.peak = options.rule.rate, .steps = options.rule.steps};
    tuning_log log;
    for (std::size_t step = optimizer.steps(); step < options.rule.steps; ++step) {
        QUELL_TRY(const tuning_batch batch, text.batch(step, options.threads));
        log.losses.push_back(model->forward_backward(batch, options.threads));
        if (!std::isfinite(log.losses.back())) {
            return quell::error{quell::errc::bad_value, "tuning: the loss of step " + std::to_string(step + 1) +
                                                            " is not finite; a lower rate may help"};
        }
        quell::tuning::clip_gradients<float>(all, options.longest_gradient, options.threads);
        optimizer.step(schedule.rate(step), options.threads);
        QUELL_TRY_VOID(model->update(options.threads));
        if (!options.checkpoint.empty() && (step + 1) % options.checkpoint_every == 0 &&
            step + 1 < options.rule.steps) {
            QUELL_TRY_VOID(quell::tuning::write_checkpoint(options.checkpoint, optimizer, run));
        }
        char now[48];
        std::snprintf(now, sizeof now, "loss %.4f nats/token", log.losses.back());
        quell::report_progress(options.progress, "tune", now, step + 1, options.rule.steps);
    }
    QUELL_TRY_VOID(model->finish(network, options.threads));
    return log;
}

}  // namespace toy
