// SPDX-License-Identifier: MIT
/// @file
/// `quell quantize`: writes a quantized model with its configuration and its tokenizer into one file, which `run` and
/// `eval` map and use as it is.
#include "commands.hpp"
#include "common.hpp"
#include "progress_bar.hpp"
#include "quantize_model.hpp"
#include "quell/io/safetensors.hpp"
#include "toy/regrid.hpp"
#include "transformer/packed_file.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

namespace program {
namespace {

result<job> job_of(const quantize_options& options) {
    return options.plan.empty() ? job::from_name(options.recipe, options.settings) : job::from_plan_file(options.plan);
}

/// What contradicts itself in the options: the line for misuse(), or nothing.
std::string option_conflict(const quantize_options& options) {
    if (options.recipe.empty() == options.plan.empty()) {
        return "quantize takes either --recipe or --plan";
    }
    if (!options.out.ends_with(".safetensors")) {
        return "--out " + options.out + ": the name must end in .safetensors";
    }
    return {};
}

void print_summary(const quantized& q, double load_seconds, const std::string& path, std::size_t file_bytes) {
    const auto totals = quell::report::totals_of(q.report);
    const double model_bits = 8.0 * static_cast<double>(q.bytes) / static_cast<double>(parameters(q.network));
    std::printf("%s: weights of %.2f bits, %.3f stored; the model %.3f; loaded in %.2f s, quantized in %.2f s\n",
                q.decided.recipe.c_str(), totals.nominal_bits, totals.stored_bits, model_bits, load_seconds, q.seconds);
    for (const quell::report::layer_report& layer : q.report.layers) {
        if (!layer.fallback.empty()) {
            std::printf("%s: %s\n", layer.site.c_str(), layer.fallback.c_str());
        }
    }
    for (const std::string& remark : remarks_of(q.decided)) {
        std::printf("%s\n", remark.c_str());
    }
    std::printf("wrote %s: %zu bytes (%.1f MiB)\n", path.c_str(), file_bytes,
                static_cast<double>(file_bytes) / 1048576.0);
}

result<void> quantize_to_file(const quantize_options& options, const job& how) {
    quell::thread_pool pool(thread_count(options.common));
    const quell::executor threads(pool);
    progress_bar bar(options.common.quiet);
    auto model = load_model(options.model, threads, bar.callback(options.model));
    if (!model) {
        return model.error();
    }
    if (options.regrid != 0) {
        QUELL_TRY(model->network, toy::regrid(model->network, options.regrid, threads));
    }
    QUELL_TRY(quell::model::model_survey survey, read_survey(options.survey));
    QUELL_TRY(const quantized q,
              quantize_model(model->network, how,
                             {.calibration = options.calibration.empty() ? "builtin" : options.calibration,
                              .calibration_tokens = options.calibration_tokens,
                              .context = std::min<std::size_t>(512, model->network.shape.context),
                              .embedding_bits = options.embedding_bits,
                              .kv_bits = options.kv_bits,
                              .strict = options.strict,
                              .survey = &survey,
                              .survey_file = options.survey,
                              .token_ms = options.token_ms,
                              .tokenizer = &model->text,
                              .threads = threads,
                              .progress = bar.callback("quantize")}));
    bar.clear();
    QUELL_TRY_VOID(transformer::save_packed(options.out, q.network, model->text, q.decided));
    if (!options.save_plan.empty()) {
        QUELL_TRY_VOID(save_plan(options.save_plan, q.decided));
    }
    QUELL_TRY(const auto written, quell::io::mapped_file::open(options.out));
    print_summary(q, model->seconds, options.out, written.bytes().size());
    return {};
}

}  // namespace

int quantize(const quantize_options& options) {
    if (const int status = choose_isa(options.common); status != 0) {
        return status;
    }
    if (const std::string conflict = option_conflict(options); !conflict.empty()) {
        return misuse(conflict);
    }
    const auto own = packed_recipe(options.model);
    if (!own) {
        return fail(own.error());
    }
    if (*own) {
        return misuse("--model " + options.model + " is packed already, as " + **own);
    }
    const auto how = job_of(options);
    if (!how) {
        return how.error().code == errc::not_found ? misuse(how.error().message) : fail(how.error());
    }
    if (const std::string lack = lack_of_calibration(*how, options.calibration, options.model); !lack.empty()) {
        return misuse(lack);
    }
    for (const std::string& path : {options.out, options.save_plan}) {
        if (const auto writable = path.empty() ? result<void>() : check_writable(path); !writable) {
            return fail(writable.error());
        }
    }
    return status_of(quantize_to_file(options, *how));
}

}  // namespace program
