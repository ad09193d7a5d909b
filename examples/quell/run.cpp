// SPDX-License-Identifier: MIT
/// @file
/// `quell run`: continues a prompt, with the model as it is or quantized by a recipe.
#include "commands.hpp"
#include "common.hpp"
#include "progress_bar.hpp"
#include "quantize_model.hpp"
#include "quell/core/rng.hpp"
#include "speed.hpp"
#include "transformer/session.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace program {
namespace {

/// The likeliest token, or one drawn from softmax(logits / temperature).
std::int32_t pick(std::span<const float> logits, float temperature, quell::rng& random) {
    const auto best = std::max_element(logits.begin(), logits.end());
    if (temperature <= 0) {
        return static_cast<std::int32_t>(best - logits.begin());
    }
    std::vector<double> running(logits.size());
    double sum = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        sum += std::exp((double{logits[i]} - double{*best}) / double{temperature});
        running[i] = sum;
    }
    const auto chosen = std::upper_bound(running.begin(), running.end(), random.uniform() * sum);
    return static_cast<std::int32_t>(std::min<std::ptrdiff_t>(chosen - running.begin(), std::ssize(logits) - 1));
}

/// Prints the bytes of the text that are new; a token may hold part of a character, so whole texts are compared.
class text_stream {
public:
    explicit text_stream(const transformer::tokenizer& tokenizer) : tokenizer_(tokenizer) {}

    void add(std::int32_t id) {
        ids_.push_back(id);
        const std::string all = tokenizer_.decode(ids_);
        std::fwrite(all.data() + printed_, 1, all.size() - printed_, stdout);
        std::fflush(stdout);
        printed_ = all.size();
    }

private:
    const transformer::tokenizer& tokenizer_;
    std::vector<std::int32_t> ids_;
    std::size_t printed_ = 0;
};

result<void> generate(const loaded_model& model, std::span<const std::int32_t> prompt, const run_options& options,
                      const quell::executor& threads) {
    const transformer::model& network = model.network;
    transformer::session session(network, threads, prompt.size() + options.length);
    quell::matrix<float> logits(1, network.shape.vocab);
    quell::rng random(options.seed);
    text_stream out(model.text);
    const stopwatch prefill;
    QUELL_TRY_VOID(session.prefill(prompt));
    const double prefill_seconds = prefill.seconds();
    const stopwatch decode;
    std::size_t made = 0;
    for (; made < options.length; ++made) {
        const std::size_t last = session.hidden().rows() - 1;
        session.logits(session.hidden().block(last, 0, 1, network.shape.width), logits.view());
        const std::int32_t next = pick(logits.row(0), options.temperature, random);
        if (model.text.eos() == next) {
            break;
        }
        out.add(next);
        QUELL_TRY_VOID(session.prefill({&next, 1}));
    }
    std::printf("\n");
    if (!options.common.quiet) {
        std::fprintf(stderr, "loaded in %.2f s, %zu prompt tokens in %.2f s, %zu tokens at %.1f tokens/s\n",
                     model.seconds, prompt.size(), prefill_seconds, made, static_cast<double>(made) / decode.seconds());
    }
    return {};
}

result<std::vector<std::int32_t>> encode_prompt(const std::string& prompt, const transformer::loaded& model) {
    auto ids = model.text.encode(prompt);
    if (!ids) {
        return ids.error().in("--prompt");
    }
    if (ids->empty()) {
        return error{errc::bad_value, "--prompt: the prompt is empty"};
    }
    return ids;
}

result<void> check_length(const transformer::model& network, std::size_t prompt, std::size_t length) {
    const std::size_t prefix = network.prefix ? network.prefix->tokens() : 0;
    if (prefix + prompt + length <= network.shape.context) {
        return {};
    }
    return error{errc::bad_value, std::to_string(prompt) + " prompt tokens" +
                                      (prefix > 0 ? ", " + std::to_string(prefix) + " of the prefix" : "") + " and " +
                                      std::to_string(length) + " new ones exceed the model's context of " +
                                      std::to_string(network.shape.context)};
}

/// Without a job the model runs as it is.
result<void> run_model(const run_options& options, const std::optional<job>& how) {
    quell::thread_pool pool(thread_count(options.common));
    const quell::executor threads(pool);
    progress_bar bar(options.common.quiet);
    auto model = load_model(options.model, threads, bar.callback(options.model));
    if (!model) {
        return model.error();
    }
    QUELL_TRY(const std::vector<std::int32_t> prompt, encode_prompt(options.prompt, *model));
    QUELL_TRY_VOID(check_length(model->network, prompt.size(), options.length));
    if (how && !how->is_float()) {
        QUELL_TRY(quantized q,
                  quantize_model(model->network, *how,
                                 {.calibration = options.calibration.empty() ? "builtin" : options.calibration,
                                  .context = std::min<std::size_t>(512, model->network.shape.context),
                                  .tokenizer = &model->text,
                                  .threads = threads,
                                  .progress = bar.callback("quantize")}));
        model->network = std::move(q.network);
    }
    QUELL_TRY_VOID(check_length(model->network, prompt.size(), options.length));  // a prefix may have come
    bar.clear();
    std::printf("%s", options.prompt.c_str());
    return generate(*model, prompt, options, threads);
}

}  // namespace

int run(const run_options& options) {
    if (const int status = choose_isa(options.common); status != 0) {
        return status;
    }
    const auto own = packed_recipe(options.model);
    if (!own) {
        return fail(own.error());
    }
    if (*own) {
        const std::string conflict = recipe_conflict(options.model, **own, options.recipe);
        return conflict.empty() ? status_of(run_model(options, {})) : misuse(conflict);
    }
    const auto how = job::from_name(options.recipe.empty() ? "fp32" : options.recipe, {});
    if (!how) {
        return misuse(how.error().message);
    }
    if (const std::string lack = lack_of_calibration(*how, options.calibration, options.model); !lack.empty()) {
        return misuse(lack);
    }
    return status_of(run_model(options, *how));
}

}  // namespace program
