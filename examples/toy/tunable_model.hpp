// SPDX-License-Identifier: MIT
/// @file
/// The backward pass of a quantized model, for tuning its full-precision part. It is the trainer's own block, with
/// quantized linears in it. Memory is bounded: only what enters each block is kept, and the block runs again when its
/// turn comes backward, so one block's activations are all that there is.
#pragma once

#include "quell/core/matrix.hpp"
#include "quell/core/result.hpp"
#include "quell/tuning/tunable_linear.hpp"
#include "toy/block.hpp"
#include "toy/cross_entropy.hpp"
#include "toy/linear_slot.hpp"
#include "transformer/adapter.hpp"
#include "transformer/model.hpp"
#include "transformer/session.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace toy {

/// A model whose predictions are the goal, instead of the text, by the states [tokens, width] that enter its head.
struct teacher_states {
    const transformer::model* network = nullptr;  ///< none: the text is the goal
    quell::matrix_view<const float> hidden = {};
};

/// `inputs` and `targets` hold size.tokens() ids; targets[t] follows inputs[t].
struct tuning_batch {
    batch_shape size;
    std::span<const std::int32_t> inputs;
    std::span<const std::int32_t> targets;
    teacher_states teacher = {};
};

/// The sizes of a model as the trainer's block wants them.
[[nodiscard]] inline shape shape_of(const transformer::config& c) {
    return {.form = c.act == transformer::activation::swiglu ? architecture::swiglu : architecture::gelu,
            .vocab = c.vocab,
            .width = c.width,
            .layers = c.layers,
            .heads = c.heads,
            .kv_heads = c.kv_heads,
            .head_width = c.head_size,
            .ff_width = c.ff_width,
            .context = c.context,
            .norm_eps = static_cast<double>(c.norm_eps),
            .rope_base = c.rope_base};
}

class tunable_model {
public:
    /// The model must outlive this one. `positions`: the longest sequence; `codes` learn too, or do not.
    /// Errors   errc::unsupported for what the backward pass does not know, and where nothing could be tuned.
    [[nodiscard]] static quell::result<std::unique_ptr<tunable_model>> make(const transformer::model& m,
                                                                            std::size_t positions, bool codes = false) {
        if (m.shape.act == transformer::activation::gelu && m.shape.gelu == transformer::gelu_form::tanh) {
            return quell::error{quell::errc::unsupported, "tuning: GELU by tanh has no backward pass here"};
        }
        if (m.prefix) {
            return quell::error{quell::errc::unsupported, "tuning: a model behind a prefix has no backward pass here"};
        }
        std::unique_ptr<tunable_model> made(new tunable_model(m, positions));
        QUELL_TRY_VOID(made->add_sites(codes));
        return made;
    }
    tunable_model(const tunable_model&) = delete;
    tunable_model& operator=(const tunable_model&) = delete;
    ~tunable_model() = default;

    /// Mean loss in nats a token; adds to the gradients of all parameters.
    double forward_backward(const tuning_batch& batch, const quell::executor& threads) {
        forward(batch, threads);
        quell::matrix<float> dx(stream_.rows(), stream_.cols());
        const double loss = head(batch, &dx, threads);
        block_gradients<float> scratch(sizes_, batch.size.tokens());
        for (std::size_t l = sites_.size(); l > 0; --l) {
            bind(l - 1);
            if (l < sites_.size()) {  // the last block has just run
                stream_ = std::move(entering_[l - 1]);
                block_.forward(stream_.view(), positions_, batch.size, threads);
            }
            block_.backward(dx.view(), positions_, batch.size, scratch, {}, threads);
        }
        return loss;
    }

    /// Mean loss in nats a token.
    double loss(const tuning_batch& batch, const quell::executor& threads) {
        forward(batch, threads);
        return head(batch, nullptr, threads);
    }

    /// All that is tuned, in the order of the sites. They stay where they are.
    [[nodiscard]] std::vector<parameter<float>*> parameters() {
        std::vector<parameter<float>*> all;
        for (std::vector<tuned_site>& layer : sites_) {
            for (tuned_site& site : layer) {
                for_each_parameter_of(site, [&](parameter<float>& p) { all.push_back(&p); });
            }
        }
        return all;
    }

    /// What the parameters stand for now is what runs from now on.
    /// Errors   those of tunable_codes::update.
    quell::result<void> update(const quell::executor& threads) {
        for (std::vector<tuned_site>& layer : sites_) {
            for (tuned_site& site : layer) {
                QUELL_TRY_VOID(std::visit(
                    [&](auto& changed) -> quell::result<void> {
                        if constexpr (requires { changed.update(threads); }) {
                            return changed.update(threads);
                        } else {
                            return {};
                        }
                    },
                    site));
            }
        }
        return {};
    }

    /// Gives `m`, from which this one was made, what was tuned; this one is of no use afterwards.
    /// Errors   those of tunable_linear::finish; the model is then as it was.
    [[nodiscard]] quell::result<void> finish(transformer::model& m, const quell::executor& threads) const {
        QUELL_EXPECTS(&m == &model_, "the model that is tuned");
        finished_linears tuned;
        for (std::size_t l = 0; l < sites_.size(); ++l) {
            auto site = sites_[l].begin();
            quell::result<void> done;
            transformer::for_each_linear(m.blocks[l], [&](quell::quant::linear& linear) {
                const tuned_site& changed = *site++;
                done = done ? finish_site(changed, linear, tuned, threads) : done;
            });
            QUELL_TRY_VOID(done);
        }
        for (auto& [linear, finished] : tuned) {
            *linear = std::move(finished);
        }
        return {};
    }

private:
    static constexpr std::size_t head_rows = 192;  ///< of logits at a time: a vocabulary is wide

    tunable_model(const transformer::model& m, std::size_t positions)
        : model_(m),
          sizes_(shape_of(m.shape)),
          positions_(m.shape.head_size, positions, m.shape.rope_base, m.shape.rope, m.rope_factors),
          block_(sizes_, 0,
                 [&](const std::string& name, std::size_t, std::size_t) { return linear_slot(name, scratch_); }),
          norm_("norm", m.shape.width, sizes_.norm_eps) {
        norm_.set_gain(m.final_norm);
        head_operand_.pack(quell::quant::weight(*m.head).view());
    }

    template <typename Linear, typename Split>
    [[nodiscard]] static quell::result<tuned_site> site_of(const std::string& name, const quell::quant::linear& l) {
        if (const auto* quantized = std::get_if<quell::quant::quantized_linear>(&l)) {
            QUELL_TRY(Linear tuned, Linear::make(name, *quantized));
            return tuned_site(std::move(tuned));
        }
        if (const auto* split = std::get_if<quell::quant::split_linear>(&l)) {
            QUELL_TRY(Split tuned, Split::make(name, *split));
            return tuned_site(std::move(tuned));
        }
        return tuned_site(&l);
    }

    using finished_linears = std::vector<std::pair<quell::quant::linear*, quell::quant::linear>>;

    /// What was tuned, for `linear`; nothing where the site stays as it is.
    static quell::result<void> finish_site(const tuned_site& site, quell::quant::linear& linear, finished_linears& to,
                                           const quell::executor& threads) {
        return std::visit(
            [&](const auto& changed) -> quell::result<void> {
                if constexpr (requires { changed.finish(threads); }) {
                    QUELL_TRY(auto finished, changed.finish(threads));
                    to.emplace_back(&linear, quell::quant::linear(std::move(finished)));
                }
                return {};
            },
            site);
    }

    quell::result<void> add_sites(bool codes) {
        const quell::graph graph = transformer::make_graph(model_.shape);
        auto site = graph.sites.begin();
        bool any = false;
        for (const transformer::block& b : model_.blocks) {
            std::vector<tuned_site>& layer = sites_.emplace_back();
            quell::result<void> added;
            transformer::for_each_linear(b, [&](const quell::quant::linear& l) {
                const std::string& name = (site++)->name;
                auto made = codes ? site_of<quell::tuning::tunable_codes, quell::tuning::tunable_split_codes>(name, l)
                                  : site_of<quell::tuning::tunable_linear, quell::tuning::tunable_split>(name, l);
                if (made) {
                    any = any || !std::holds_alternative<const quell::quant::linear*>(*made);
                    layer.emplace_back(*std::move(made));
                } else if (added) {
                    added = made.error();
                }
            });
            QUELL_TRY_VOID(added);
        }
        return any ? quell::result<void>() : quell::error{quell::errc::unsupported, "tuning: no linear is quantized"};
    }

    void bind(std::size_t layer) {
        const transformer::block& b = model_.blocks[layer];
        block_.attention_norm().set_gain(b.attn_norm);
        block_.ff_norm().set_gain(b.ffn_norm);
        auto site = sites_[layer].begin();
        block_.for_each_linear([&](linear_slot& slot) { slot.bind(*site++); });
    }

    /// Keeps what enters every block; what leaves the last one is in stream_.
    void forward(const tuning_batch& batch, const quell::executor& threads) {
        QUELL_EXPECTS(batch.inputs.size() == batch.size.tokens() && batch.targets.size() == batch.inputs.size(),
                      "as many ids as tokens");
        stream_ = quell::matrix<float>(batch.size.tokens(), sizes_.width);
        for (std::size_t t = 0; t < stream_.rows(); ++t) {
            const auto row = static_cast<std::size_t>(batch.inputs[t]);
            std::visit([&](const auto& table) { table.copy_row(row, stream_.row(t)); }, *model_.embedding);
        }
        entering_.clear();
        for (std::size_t l = 0; l < sites_.size(); ++l) {
            bind(l);
            entering_.push_back(quell::matrix<float>::copy_of(stream_.view()));
            block_.forward(stream_.view(), positions_, batch.size, threads);
        }
    }

    /// The loss of what left the last block and, where it is wanted, its gradient.
    double head(const tuning_batch& batch, quell::matrix<float>* dx, const quell::executor& threads) {
        const std::size_t tokens = stream_.rows();
        quell::matrix<float> hidden(tokens, sizes_.width);
        quell::matrix<float> dhidden(dx == nullptr ? 0 : tokens, sizes_.width);
        norm_.forward(stream_.view(), hidden.view(), threads);
        double sum = 0.0;
        for (std::size_t begin = 0; begin < tokens; begin += head_rows) {
            const std::size_t rows = std::min(head_rows, tokens - begin);
            sum += head_part(batch, begin, hidden.view().block(begin, 0, rows, sizes_.width), threads);
            if (dx != nullptr) {
                multiply<float>(logits_.view().block(0, 0, rows, logits_.cols()), head_operand_,
                                dhidden.view().block(begin, 0, rows, sizes_.width), into::overwrite, threads);
            }
        }
        if (dx != nullptr) {
            norm_.backward(dhidden.view(), dx->view(), threads);
        }
        return sum / static_cast<double>(tokens);
    }

    /// The summed loss of some rows; logits_ becomes the gradient of the mean over the whole batch.
    double head_part(const tuning_batch& batch, std::size_t begin, quell::matrix_view<const float> hidden,
                     const quell::executor& threads) {
        quell::tuning::linear_scratch::resize(logits_, head_rows, sizes_.vocab);
        const quell::matrix_view<float> logits = logits_.view().block(0, 0, hidden.rows(), sizes_.vocab);
        transformer::head_logits(model_, hidden, logits, threads);
        const double share = 1.0 / static_cast<double>(batch.size.tokens());
        if (batch.teacher.network == nullptr) {
            return summed_cross_entropy(logits, batch.targets.subspan(begin, hidden.rows()), share, threads);
        }
        quell::tuning::linear_scratch::resize(teacher_logits_, head_rows, sizes_.vocab);
        const quell::matrix_view<float> wanted = teacher_logits_.view().block(0, 0, hidden.rows(), sizes_.vocab);
        const quell::matrix_view<const float> states = batch.teacher.hidden;
        transformer::head_logits(*batch.teacher.network, states.block(begin, 0, hidden.rows(), states.cols()), wanted,
                                 threads);
        return summed_divergence<float>(logits, wanted, share, threads);
    }

    const transformer::model& model_;
    shape sizes_;
    rope<float> positions_;
    quell::tuning::linear_scratch scratch_;
    block<float, linear_slot> block_;  ///< every layer in turn
    rms_norm<float> norm_;
    packed<float> head_operand_;
    std::vector<std::vector<tuned_site>> sites_;  ///< of every layer
    std::vector<quell::matrix<float>> entering_;  ///< the residual stream in front of every block
    quell::matrix<float> stream_, logits_, teacher_logits_;
};

}  // namespace toy
