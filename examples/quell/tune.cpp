// SPDX-License-Identifier: MIT
/// @file
/// `quell tune`: quantizes a model, or takes one that is quantized already, tunes what it keeps in full precision on a
/// text, and writes it as `quell quantize` does.
#include "toy/tune.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "progress_bar.hpp"
#include "quantize_model.hpp"
#include "quell/io/safetensors.hpp"
#include "toy/corpus.hpp"
#include "transformer/packed_file.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace program {
namespace {

std::string option_conflict(const tune_options& options, const std::optional<std::string>& own) {
    if (!own && options.recipe.empty()) {
        return "tune needs --recipe, such as quad-w4a4";
    }
    if (!own && !options.reference.empty()) {
        return "--reference is for packed files; other models are their own";
    }
    if (options.data == "builtin" && !is_toy(options.model) && !own) {
        return "tune needs --data FILE with a text";
    }
    if (!options.out.ends_with(".safetensors")) {
        return "--out " + options.out + ": the name must end in .safetensors";
    }
    return own ? recipe_conflict(options.model, *own, options.recipe) : "";
}

class tuning {
public:
    tuning(const tune_options& options, std::optional<job> how)
        : options_(options),
          how_(std::move(how)),
          pool_(thread_count(options.common)),
          threads_(pool_),
          bar_(options.common.quiet) {}

    result<void> run() {
        QUELL_TRY_VOID(load());
        QUELL_TRY(const std::vector<std::int32_t> ids,
                  read_ids(options_.data, toy::calibration_seed, *tokenizer_, options_.tokens));
        tuning_request request{.rule = options_.codes ? quell::quant::default_training : quell::quant::default_tuning,
                               .teacher = base_ ? &*base_ : nullptr,
                               .checkpoint = options_.out + ".tuning",
                               .threads = threads_,
                               .progress = bar_.callback("tune")};
        request.rule.steps = options_.steps > 0 ? options_.steps : request.rule.steps;
        request.rule.rate = options_.rate > 0 ? options_.rate : request.rule.rate;
        QUELL_TRY(const std::vector<double> losses, tune_model(*quantized_, ids, request));
        bar_.clear();
        QUELL_TRY_VOID(transformer::save_packed(options_.out, quantized_->network, *tokenizer_, quantized_->decided));
        std::remove(request.checkpoint.c_str());
        print_summary(losses);
        return {};
    }

private:
    result<void> load() {
        QUELL_TRY(loaded_model loaded, load_model(options_.model, threads_, bar_.callback(options_.model)));
        tokenizer_ = std::move(loaded.text);
        if (loaded.decided) {
            quantized_.emplace(describe_packed(std::move(loaded.network), *std::move(loaded.decided)));
            QUELL_TRY(base_, load_reference(options_.reference, quantized_->network.shape, options_.model, threads_,
                                            bar_.callback(options_.reference)));
            return {};
        }
        base_.emplace(std::move(loaded.network));
        QUELL_TRY(quantized made, quantize_model(*base_, *how_,
                                                 {.calibration = options_.data,
                                                  .calibration_tokens = options_.calibration_tokens,
                                                  .context = std::min<std::size_t>(512, base_->shape.context),
                                                  .tokenizer = &*tokenizer_,
                                                  .threads = threads_,
                                                  .progress = bar_.callback("quantize")}));
        quantized_.emplace(std::move(made));
        return {};
    }

    void print_summary(const std::vector<double>& losses) const {
        const auto mean = [&](auto begin, auto end) {
            double sum = 0;
            for (auto at = begin; at != end; ++at) {
                sum += *at;
            }
            return begin == end ? 0.0 : sum / static_cast<double>(end - begin);
        };
        const auto part = static_cast<std::ptrdiff_t>((losses.size() + 9) / 10);
        std::printf("%s: %zu steps; loss %.4f in the first tenth of them, %.4f in the last\nwrote %s\n",
                    quantized_->decided.recipe.c_str(), losses.size(), mean(losses.begin(), losses.begin() + part),
                    mean(losses.end() - part, losses.end()), options_.out.c_str());
    }

    const tune_options& options_;
    std::optional<job> how_;
    quell::thread_pool pool_;
    quell::executor threads_;
    progress_bar bar_;
    std::optional<transformer::tokenizer> tokenizer_;
    std::optional<transformer::model> base_;  ///< the float model; of a packed file, its reference if there is one
    std::optional<quantized> quantized_;
};

}  // namespace

int tune(const tune_options& options) {
    if (const int status = choose_isa(options.common); status != 0) {
        return status;
    }
    const auto own = packed_recipe(options.model);
    if (!own) {
        return fail(own.error());
    }
    if (const std::string conflict = option_conflict(options, *own); !conflict.empty()) {
        return misuse(conflict);
    }
    std::optional<job> how;
    if (!*own) {
        auto found = job::from_name(std::string(quell::quant::without_tuning(options.recipe)), options.settings);
        if (!found) {
            return found.error().code == errc::not_found ? misuse(found.error().message) : fail(found.error());
        }
        how = std::move(*found);
    }
    if (const auto writable = check_writable(options.out); !writable) {
        return fail(writable.error());
    }
    return status_of(tuning(options, std::move(how)).run());
}

}  // namespace program
