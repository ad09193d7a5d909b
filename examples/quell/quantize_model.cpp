// SPDX-License-Identifier: MIT
/// @file
/// Quantizing a whole model: compiled once for all commands.
#include "quantize_model.hpp"

#include "quell/io/files.hpp"
#include "quell/model/apply.hpp"
#include "quell/model/make_plan.hpp"
#include "quell/model/plan_json.hpp"
#include "quell/quant/recipe_linear.hpp"
#include "speed.hpp"
#include "toy/corpus.hpp"
#include "transformer/adapter.hpp"

#include <memory>
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

result<quell::model::plan> job::plan_for(const quell::graph& g) const {
    return plan_ ? result<quell::model::plan>(*plan_) : quell::model::make_plan(g, recipe_);
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

/// The bytes of what is no site: embedding, head, gains and biases.
std::size_t other_bytes(const transformer::model& m) {
    std::size_t small = 4 * m.final_norm.size();
    for (const transformer::block& b : m.blocks) {
        small += 4 * (b.attn_norm.size() + b.ffn_norm.size());
        transformer::for_each_linear(b,
                                     [&](const quell::quant::linear& l) { small += 4 * quell::quant::bias(l).size(); });
    }
    return stored_bytes(*m.embedding) + (m.embedding == m.head ? 0 : stored_bytes(*m.head)) + small;
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

}  // namespace

result<quantized> quantize_model(const transformer::model& base, const job& how, const quantize_setup& setup) {
    const stopwatch all;
    std::vector<std::int32_t> calibration;
    if (how.needs_calibration() || setup.sample_rows > 0) {
        constexpr std::size_t enough_to_compare = 2048;
        const std::size_t tokens =
            how.needs_calibration() ? setup.calibration_tokens : std::min(setup.calibration_tokens, enough_to_compare);
        QUELL_TRY(calibration, read_ids(setup.calibration, toy::calibration_seed, *setup.tokenizer, tokens));
    }
    const quell::model::engine engine = transformer::make_engine(base, calibration, setup.context, setup.threads);
    QUELL_TRY(const quell::model::plan plan, how.plan_for(engine.graph));
    if (setup.strict) {
        QUELL_TRY_VOID(refuse_fallbacks(plan));
    }
    QUELL_TRY(quell::model::quantized_model changed, quell::model::apply(engine, plan,
                                                                         {.threads = setup.threads,
                                                                          .progress = setup.progress,
                                                                          .keep_float = setup.keep_float,
                                                                          .sample_rows = setup.sample_rows}));
    quantized q{.network = {}, .decided = std::move(changed.decided), .report = std::move(changed.report)};
    q.network = transformer::with_linears(base, std::move(changed));
    if (setup.embedding_bits != 32 && !setup.keep_float) {
        QUELL_TRY_VOID(quantize_tables(q.network, setup.embedding_bits, setup.threads));
    }
    if (setup.kv_bits != 16 && !setup.keep_float) {
        q.network.shape.kv_bits = setup.kv_bits;
    }
    q.bytes = model_bytes(q);
    q.seconds = all.seconds();
    return q;
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
