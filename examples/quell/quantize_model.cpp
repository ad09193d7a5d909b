// SPDX-License-Identifier: MIT
/// @file
/// Quantizing a whole model: compiled once for all commands.
#include "quantize_model.hpp"

#include "evaluate.hpp"
#include "kernel_times.hpp"
#include "propagate.hpp"
#include "quell/io/files.hpp"
#include "quell/model/apply.hpp"
#include "quell/model/plan_json.hpp"
#include "quell/model/prefix_search.hpp"
#include "quell/model/spike_exemption.hpp"
#include "quell/model/survey_json.hpp"
#include "quell/packing/blob.hpp"
#include "quell/quant/recipe_linear.hpp"
#include "quell/quant/recipes.hpp"
#include "speed.hpp"
#include "toy/corpus.hpp"
#include "toy/massive_tokens.hpp"
#include "toy/tune.hpp"
#include "transformer/adapter.hpp"
#include "trials.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace program {

result<job> job::from_plan_file(const std::string& path) {
    QUELL_TRY(const std::vector<std::byte> bytes, quell::io::read_file(path));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    QUELL_TRY(quell::model::plan read, quell::model::plan_from_text(text, path));
    return from_plan(std::move(read));
}

result<void> save_plan(const std::string& path, const quell::model::plan& decided) {
    const std::string text = to_text(decided);
    return quell::io::write_file_atomically(path, std::as_bytes(std::span(text)));
}

result<quell::model::model_survey> read_survey(const std::string& path) {
    if (path.empty() || !std::ifstream(path)) {
        return quell::model::model_survey();
    }
    QUELL_TRY(const std::vector<std::byte> bytes, quell::io::read_file(path));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return quell::model::survey_from_text(text, path);
}

result<quell::model::plan> job::plan_for(const quell::graph& g) const {
    return plan_ ? result<quell::model::plan>(*plan_) : quell::model::make_plan(g, recipe_);
}

result<quell::model::plan> job::plan_for(const quell::model::engine& source,
                                         const quell::model::allocate_options& options) const {
    return plan_ ? result<quell::model::plan>(*plan_) : quell::model::make_plan(source, recipe_, options);
}

std::size_t parameters(const transformer::model& m) {
    const auto& embedding = *m.embedding;
    const std::size_t table = quell::quant::out_features(embedding) * quell::quant::in_features(embedding);
    std::size_t count = (m.embedding == m.head ? 1 : 2) * table + m.final_norm.size();
    for (const transformer::block& b : m.blocks) {
        count += b.attn_norm.size() + b.ffn_norm.size();
        transformer::for_each_linear(b, [&](const quell::quant::linear& l) {
            count += quell::quant::out_features(l) * quell::quant::in_features(l) + quell::quant::bias(l).size();
        });
    }
    return count;
}

int embedding_bits(const transformer::model& m) {
    const auto* q = std::get_if<quell::quant::quantized_linear>(m.embedding.get());
    return q == nullptr ? 32 : q->packed().form().bits;
}

namespace {

/// Embedding and head at 8 bits a row or at 4 bits in groups of 32.
result<void> quantize_tables(transformer::model& m, int bits, const quell::executor& threads) {
    QUELL_TRY(const quell::quant::recipe how, quell::quant::find_recipe(bits == 8 ? "rtn-w8a8" : "rtn-w4a8-g32"));
    const bool tied = m.embedding == m.head;
    const auto rounded = [&](const quell::quant::linear& table) -> result<std::shared_ptr<const quell::quant::linear>> {
        const quell::matrix<float> w = quell::quant::weight(table);
        QUELL_TRY(quell::quant::linear l, quell::quant::make_linear(how, w.view(), {}, {}, threads));
        return std::make_shared<const quell::quant::linear>(std::move(l));
    };
    QUELL_TRY(m.embedding, rounded(*m.embedding));
    if (tied) {
        m.head = m.embedding;
        return {};
    }
    QUELL_TRY(m.head, rounded(*m.head));
    return {};
}

/// Codes, scales and zeros of a linear as a file stores them.
std::size_t stored_bytes(const quell::quant::linear& l) {
    return quell::quant::storage_of(l).bytes();
}

/// The bytes of gains and biases.
std::size_t small_bytes(const transformer::model& m) {
    std::size_t small = 4 * m.final_norm.size();
    for (const transformer::block& b : m.blocks) {
        small += 4 * (b.attn_norm.size() + b.ffn_norm.size());
        transformer::for_each_linear(b,
                                     [&](const quell::quant::linear& l) { small += 4 * quell::quant::bias(l).size(); });
    }
    return small;
}

/// The bytes of what is no site: embedding, head, gains and biases, and the keys and values of a prefix.
std::size_t other_bytes(const transformer::model& m) {
    return stored_bytes(*m.embedding) + (m.embedding == m.head ? 0 : stored_bytes(*m.head)) + small_bytes(m) +
           (m.prefix ? m.prefix->bytes() : 0);
}

std::size_t model_bytes(const quantized& q) {
    std::size_t bytes = other_bytes(q.network);
    for (const quell::report::layer_report& layer : q.report.layers) {
        bytes += layer.stored_bytes;
    }
    return bytes;
}

result<void> refuse_fallbacks(const quell::model::plan& plan) {
    for (const quell::model::site_plan& site : plan.sites) {
        if (!site.fallback.empty()) {
            return error{errc::unsupported,
                         "--strict: " + site.name + " cannot be " + plan.recipe + ": " + site.fallback};
        }
    }
    return {};
}

/// The tokens with which a prefix may begin: BOS and EOS, and without them the most frequent one of the text.
std::vector<std::int32_t> starts_of(const transformer::tokenizer& text, std::span<const std::int32_t> ids) {
    std::vector<std::int32_t> starts;
    for (const auto& special : {text.bos(), text.eos()}) {
        if (special && std::find(starts.begin(), starts.end(), *special) == starts.end()) {
            starts.push_back(*special);
        }
    }
    return starts.empty() ? std::vector<std::int32_t>{toy::most_frequent(ids)} : starts;
}

/// The prefix of a plan, which is searched for first where the job says so.
result<transformer::prefix_ptr> prefix_for(const transformer::model& base, const job& how, const quantize_setup& setup,
                                           std::span<const std::int32_t> calibration, quell::model::plan& plan) {
    if (setup.keep_float) {
        plan.prefix.clear();  // it is no part of the float network
    } else if (how.finds_prefix()) {
        QUELL_TRY(quell::model::prefix_search found, search_prefix(base, calibration, setup));
        plan.prefix = std::move(found.prefix);
    }
    return transformer::make_prefix(base, plan.prefix, setup.threads);
}

/// Mean loss in nats a token over the last windows of the calibration text.
result<double> loss_at_end(const transformer::model& network, std::span<const std::int32_t> ids,
                           const quantize_setup& setup) {
    constexpr std::size_t windows = 2;
    const std::size_t context = std::min(setup.context, ids.size());
    if (context < 2) {
        return error{errc::bad_value, setup.calibration + ": too short to measure a loss"};
    }
    const protocol rules{.context = context, .windows = std::min(windows, ids.size() / context)};
    QUELL_TRY(const scores s, evaluate(network, ids.last(rules.tokens()), rules, nullptr, nullptr, setup.threads, {}));
    return std::log(s.perplexity);
}

/// Leaves activations that spike in 16 bits, as far as that lowers the loss.
result<void> exempt_spikes(const transformer::model& base, const transformer::prefix_ptr& prefix,
                           quell::model::engine engine, std::span<const std::int32_t> calibration,
                           const quantize_setup& setup, quell::model::plan& plan) {
    engine.loss = [&](quell::model::quantized_model&& made) {
        return loss_at_end(transformer::with_linears(base, std::move(made), prefix), calibration, setup);
    };
    QUELL_TRY(const quell::model::profile_set seen,
              quell::model::collect_profiles(engine, {.threads = setup.threads,
                                                      .progress = setup.progress,
                                                      .window = setup.context,
                                                      .tokens = calibration.size()}));
    const auto tried =
        quell::model::exempt_spikes(engine, seen, plan, {.threads = setup.threads, .progress = setup.progress});
    return tried ? result<void>() : tried.error();
}

/// A word for model and calibration text: a hash of the tokens and of a row of each weight.
std::string subject_of(const transformer::model& m, std::span<const std::int32_t> ids) {
    quell::packing::checksum sum;
    sum.add(std::as_bytes(ids));
    std::vector<float> row;
    for (const transformer::block& b : m.blocks) {
        transformer::for_each_linear(b, [&](const quell::quant::linear& l) {
            row.resize(quell::quant::in_features(l));
            std::visit([&](const auto& layer) { layer.copy_row(layer.out_features() / 2, row); }, l);
            sum.add(std::as_bytes(std::span(row)));
        });
    }
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(sum.value()));
    return text;
}

/// A survey goes on where an earlier one stopped, and is kept as it grows.
quell::model::allocate_options allocation_options(const transformer::model& base,
                                                  std::span<const std::int32_t> calibration,
                                                  const quantize_setup& setup) {
    quell::model::allocate_options options{.threads = setup.threads,
                                           .progress = setup.progress,
                                           .size = {.parameters = parameters(base), .fixed_bytes = small_bytes(base)},
                                           .subject = subject_of(base, calibration)};
    if (setup.token_ms > 0.0) {
        options.most_time = static_cast<std::uint64_t>(1e6 * setup.token_ms);
        options.time = [times = std::make_shared<kernel_times>(setup.threads)](
                           const quell::scheme& form, std::size_t out_features, std::size_t in_features) {
            return times->of(form, out_features, in_features);
        };
    }
    if (setup.survey != nullptr) {
        options.known = *setup.survey;
        options.keep = [&setup](const quell::model::model_survey& found) -> result<void> {
            *setup.survey = found;
            const std::string text = to_text(found);
            return setup.survey_file.empty()
                       ? result<void>()
                       : quell::io::write_file_atomically(setup.survey_file, std::as_bytes(std::span(text)));
        };
    }
    return options;
}

}  // namespace

result<quell::model::prefix_search> search_prefix(const transformer::model& base,
                                                  std::span<const std::int32_t> calibration,
                                                  const quantize_setup& setup) {
    constexpr std::size_t enough = 4096;
    const auto ids = calibration.first(std::min(calibration.size(), enough));
    const quell::model::engine engine = transformer::make_engine(base, ids, setup.context, setup.threads);
    return quell::model::find_prefix(
        engine, ids, {.starts = starts_of(*setup.tokenizer, ids), .window = setup.context, .progress = setup.progress});
}

std::vector<std::string> remarks_of(const quell::model::plan& decided) {
    std::vector<std::string> lines;
    if (!decided.prefix.empty()) {
        std::string ids;
        for (const std::int32_t id : decided.prefix) {
            ids += " " + std::to_string(id);
        }
        lines.push_back(decided.recipe + ": behind a prefix of " + std::to_string(decided.prefix.size()) +
                        " tokens in float:" + ids);
    }
    for (const quell::model::site_plan& site : decided.sites) {
        if (!site.reason.empty() && site.score == 0.0) {  // what was allocated stands on the page
            lines.push_back(decided.recipe + ": " + site.name + ": " + site.reason);
        }
    }
    if (!decided.tables.reason.empty()) {
        lines.push_back(decided.recipe + ": embedding and head: " + decided.tables.reason);
    }
    return lines;
}

result<quantized> quantize_model(const transformer::model& base, const job& how, const quantize_setup& setup) {
    const stopwatch all;
    const quell::quant::tuning_rule tuning = setup.keep_float ? quell::quant::tuning_rule{} : how.tuning();
    std::vector<std::int32_t> text;
    std::span<const std::int32_t> calibration;
    if (how.needs_calibration() || setup.sample_rows > 0) {
        constexpr std::size_t enough_to_compare = 2048;
        const std::size_t tokens =
            how.needs_calibration() ? setup.calibration_tokens : std::min(setup.calibration_tokens, enough_to_compare);
        const std::size_t tuned_on = tuning.steps > 0 ? tuning.steps * tuning.sequences * tuning.length + 1 : 0;
        QUELL_TRY(text, read_ids(setup.calibration, toy::calibration_seed, *setup.tokenizer, tokens + tuned_on));
        calibration = std::span(text).first(std::min(text.size(), tokens));
    }
    const quell::graph graph = transformer::make_graph(base.shape);
    QUELL_TRY(quell::model::plan plan, how.plan_for(graph));
    QUELL_TRY(const transformer::prefix_ptr prefix, prefix_for(base, how, setup, calibration, plan));
    quell::model::engine engine = transformer::make_engine(base, calibration, setup.context, setup.threads, prefix);
    if (how.exempts_spikes() && !setup.keep_float) {
        QUELL_TRY_VOID(exempt_spikes(base, prefix, engine, calibration, setup, plan));
    }
    if (how.allocates()) {
        lend_trials(engine, base, calibration, setup.context, setup.threads);
        QUELL_TRY(plan, how.plan_for(engine, allocation_options(base, calibration, setup)));
    }
    if (plan.calibration.is_propagated()) {
        lend_propagation(engine, base, calibration, setup.context, setup.threads, prefix);
    }
    if (setup.strict) {
        QUELL_TRY_VOID(refuse_fallbacks(plan));
    }
    QUELL_TRY(quell::model::quantized_model changed, quell::model::apply(engine, plan,
                                                                         {.threads = setup.threads,
                                                                          .progress = setup.progress,
                                                                          .keep_float = setup.keep_float,
                                                                          .sample_rows = setup.sample_rows}));
    quell::model::plan decided = changed.decided;
    quell::report::model_report report = std::move(changed.report);
    quantized q{.network = transformer::with_linears(base, std::move(changed), prefix),
                .decided = std::move(decided),
                .report = std::move(report)};
    if (tuning.steps > 0) {  // first on what no solver has seen
        std::rotate(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(calibration.size()), text.end());
        QUELL_TRY_VOID(tune_model(
            q, text, {.rule = tuning, .teacher = &base, .threads = setup.threads, .progress = setup.progress}));
    }
    if (setup.embedding_bits != 32 && !setup.keep_float && q.decided.tables.is_float()) {
        QUELL_TRY_VOID(quantize_tables(q.network, setup.embedding_bits, setup.threads));
    }
    if (setup.kv_bits != 16 && !setup.keep_float) {
        q.network.shape.kv_bits = setup.kv_bits;
    }
    q.bytes = model_bytes(q);
    q.seconds = all.seconds();
    return q;
}

result<std::vector<double>> tune_model(quantized& q, std::span<const std::int32_t> ids, const tuning_request& request) {
    QUELL_TRY(toy::tuning_log log, toy::tune(q.network, ids,
                                             {.rule = request.rule,
                                              .teacher = request.teacher,
                                              .checkpoint = request.checkpoint,
                                              .threads = request.threads,
                                              .progress = request.progress}));
    q.decided.tuning = request.rule;
    const std::string_view ending = ending_of(request.rule);
    if (!q.decided.recipe.ends_with(ending)) {
        q.decided.recipe += ending;
    }
    return std::move(log.losses);
}

quantized describe_packed(transformer::model network, quell::model::plan decided) {
    quantized q{.network = std::move(network), .decided = std::move(decided), .report = {}};
    q.report.recipe = q.decided.recipe;
    const quell::graph graph = transformer::make_graph(q.network.shape);
    for (std::size_t s = 0; s < graph.sites.size(); ++s) {
        const quell::site& site = graph.sites[s];
        const quell::model::site_plan& plan = q.decided.sites[s];
        q.report.layers.push_back(
            {.site = site.name,
             .module = site.module,
             .layer = site.layer,
             .out_features = site.out_features,
             .in_features = site.in_features,
             .weights = plan.weights,
             .activation_bits = plan.activations.bits,
             .fallback = plan.fallback,
             .stored_bytes = stored_bytes(*transformer::detail::linear_of(q.network, site)),
             .stored = quell::quant::storage_of(*transformer::detail::linear_of(q.network, site))});
    }
    q.bytes = model_bytes(q);
    return q;
}

}  // namespace program
