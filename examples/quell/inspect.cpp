// SPDX-License-Identifier: MIT
/// @file
/// `quell inspect`: where the outliers of a model are, and what each transform would do about them, as a page to look
/// at and as a short table.
#include "commands.hpp"
#include "common.hpp"
#include "inspect_page.hpp"
#include "inspection.hpp"
#include "progress_bar.hpp"
#include "quantize_model.hpp"
#include "quell/io/files.hpp"
#include "quell/model/study.hpp"
#include "speed.hpp"
#include "spike_pictures.hpp"
#include "toy/corpus.hpp"
#include "toy/plant.hpp"
#include "transformer/adapter.hpp"

#include <algorithm>
#include <cstdio>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace program {
namespace {

/// Searches for a prefix against spikes and looks at the same text once more behind it.
result<void> look_behind_prefix(const transformer::model& network, const transformer::tokenizer& tokenizer,
                                std::span<const std::int32_t> ids, const quell::executor& threads, progress_bar& bar,
                                inspection& found) {
    QUELL_TRY(quell::model::prefix_search search, search_prefix(network, ids,
                                                                {.calibration = found.text,
                                                                 .context = found.window,
                                                                 .tokenizer = &tokenizer,
                                                                 .threads = threads,
                                                                 .progress = bar.callback("inspect")}));
    if (search.prefix.empty()) {
        return {};
    }
    found.prefix = std::move(search.prefix);
    QUELL_TRY(const transformer::prefix_ptr prefix, transformer::make_prefix(network, found.prefix, threads));
    const quell::model::engine behind = transformer::make_engine(network, ids, found.window, threads, prefix);
    QUELL_TRY(found.behind_prefix, quell::model::collect_profiles(behind, {.threads = threads,
                                                                           .progress = bar.callback("inspect"),
                                                                           .window = found.window,
                                                                           .tokens = found.tokens}));
    return {};
}

result<inspection> inspect_model(const inspect_options& options, progress_bar& bar) {
    quell::thread_pool pool(thread_count(options.common));
    const quell::executor threads(pool);
    auto loaded = load_model(options.model, threads, bar.callback(options.model));
    if (!loaded) {
        return loaded.error();
    }
    inspection found{.model = options.model,
                     .text = options.calibration.empty() ? "builtin" : options.calibration,
                     .window = std::min<std::size_t>(512, loaded->network.shape.context),
                     .sample_rows = 512,
                     .alpha = options.alpha,
                     .bits = options.bits};
    QUELL_TRY(const std::vector<std::int32_t> ids,
              read_ids(found.text, toy::calibration_seed, loaded->text, options.calibration_tokens));
    found.tokens = ids.size();
    transformer::model& network = loaded->network;
    if (!options.plant.empty()) {
        QUELL_TRY(network, toy::plant(network, *toy::plant_named(options.plant), options.seed, threads,
                                      network.shape.vocab == 256 ? std::span<const std::int32_t>() : ids));
    }
    const quell::model::engine engine = transformer::make_engine(network, ids, found.window, threads);
    found.graph = engine.graph;
    const quell::quant::layer_error_options error{.activation_bits = options.bits, .weight_bits = options.bits};
    QUELL_TRY(found.inputs, quell::model::study(engine, {.transforms = {.alpha = options.alpha, .error = error},
                                                         .sample_rows = found.sample_rows,
                                                         .window = found.window,
                                                         .tokens = found.tokens,
                                                         .threads = threads,
                                                         .progress = bar.callback("inspect")}));
    QUELL_TRY_VOID(look_behind_prefix(network, loaded->text, ids, threads, bar, found));
    return found;
}

void print_worst(const inspection& found, std::span<const site_place> sites) {
    constexpr std::size_t rows = 10;
    std::printf("%-20s %10s %10s", "loses most", "max |X|", "D(X)");
    for (const input_transform t : input_transforms) {
        std::printf(" %14s", std::string(name_of(t)).c_str());
    }
    std::printf("\n");
    for (const site_place& p : sites.first(std::min(rows, sites.size()))) {
        const auto& plain = found.inputs[p.study].effects[0];
        std::printf("%-20s %10s %10s", site_at(found, p).name.c_str(),
                    number_text(static_cast<double>(plain.largest)).c_str(),
                    number_text(plain.difficulty.deviation).c_str());
        for (const input_transform t : input_transforms) {
            std::printf(" %14s", percent_text(lost_at(found, p, t)).c_str());
        }
        std::printf("\n");
    }
}

void print_summary(const inspection& found, double seconds) {
    std::printf("%s, %s: %zu tokens in windows of %zu; %zu linears behind %zu inputs at %d bits; %.1f s\n",
                found.model.c_str(), found.text.c_str(), found.tokens, found.window, found.graph.sites.size(),
                found.inputs.size(), found.bits, seconds);
    const std::vector<site_place> sites = worst_first(found);
    print_worst(found, sites);
    for (const std::string& sentence : sentences(found, sites)) {
        std::printf("%s\n", sentence.c_str());
    }
    std::printf("%s\n", say_prefix(found, scales_of(found)).c_str());
}

result<void> inspect_to_file(const inspect_options& options) {
    const stopwatch watch;
    progress_bar bar(options.common.quiet);
    QUELL_TRY(const inspection found, inspect_model(options, bar));
    const std::string page = inspect_page(found);
    QUELL_TRY_VOID(quell::io::write_file_atomically(options.html, std::as_bytes(std::span(page))));
    bar.clear();
    print_summary(found, watch.seconds());
    std::printf("wrote %s: %zu bytes\n", options.html.c_str(), page.size());
    return {};
}

}  // namespace

int inspect(const inspect_options& options) {
    if (const int status = choose_isa(options.common); status != 0) {
        return status;
    }
    if (options.calibration.empty() && !is_toy(options.model)) {
        return misuse("inspect needs --calib FILE with a calibration text");
    }
    const auto own = packed_recipe(options.model);
    if (!own) {
        return fail(own.error());
    }
    if (*own) {
        return misuse("--model " + options.model + " is packed already, as " + **own);
    }
    if (const auto writable = check_writable(options.html); !writable) {
        return fail(writable.error());
    }
    return status_of(inspect_to_file(options));
}

}  // namespace program
