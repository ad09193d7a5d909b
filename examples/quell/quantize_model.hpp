// SPDX-License-Identifier: MIT
/// @file
/// From a float model and a job (a recipe, or a plan that somebody wrote) to a quantized model and its report.
#pragma once

#include "common.hpp"
#include "quell/model/apply.hpp"
#include "quell/model/plan_json.hpp"
#include "quell/quant/make_linear.hpp"
#include "quell/report/layer_report.hpp"
#include "speed.hpp"
#include "transformer/adapter.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace program {

/// What to do to a model: by the name of a recipe, or by a plan.
class job {
public:
    /// "a,b,c" or "all".
    /// Errors   errc::not_found for a name that no recipe has.
    static result<std::vector<job>> from_names(const std::string& names, const quell::quant::recipe_options& options) {
        std::vector<job> jobs;
        for (const std::string& name : names == "all" ? all_names() : split(names)) {
            QUELL_TRY(quell::quant::recipe found, quell::quant::find_recipe(name, options));
            jobs.push_back(job(std::move(found)));
        }
        return jobs;
    }

    static result<job> from_plan_file(const std::string& path) {
        QUELL_TRY(const std::vector<std::byte> bytes, quell::io::read_file(path));
        const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        QUELL_TRY(quell::model::plan read, quell::model::plan_from_text(text, path));
        job j({});
        j.plan_ = std::make_shared<quell::model::plan>(std::move(read));
        return j;
    }

    [[nodiscard]] std::string name() const { return plan_ ? plan_->recipe : recipe_.name; }
    [[nodiscard]] bool is_float() const { return !plan_ && recipe_.is_float(); }
    [[nodiscard]] bool needs_calibration() const {
        if (!plan_) {
            return recipe_.needs_calibration();
        }
        return transforms() || std::any_of(plan_->sites.begin(), plan_->sites.end(),
                                           [](const auto& s) { return s.activations.needs_calibration(); });
    }
    /// Whether it changes the float network before it rounds.
    [[nodiscard]] bool transforms() const {
        if (!plan_) {
            return recipe_.transform.needs_statistics();
        }
        return std::any_of(plan_->inputs.begin(), plan_->inputs.end(),
                           [](const auto& input) { return input.transform.needs_statistics(); });
    }
    /// Bits of the activations; of a mixed plan, the smallest.
    [[nodiscard]] int activation_bits() const {
        int bits = plan_ ? 32 : recipe_.activations.bits;
        for (std::size_t s = 0; plan_ && s < plan_->sites.size(); ++s) {
            bits = std::min(bits, plan_->sites[s].activations.bits);
        }
        return bits;
    }
    [[nodiscard]] result<quell::model::plan> plan_for(const quell::graph& g) const {
        return plan_ ? result<quell::model::plan>(*plan_) : quell::model::make_plan(g, recipe_);
    }

private:
    explicit job(quell::quant::recipe how) : recipe_(std::move(how)) {}

    static std::vector<std::string> all_names() {
        const auto names = quell::quant::recipe_names();
        return {names.begin(), names.end()};
    }
    static std::vector<std::string> split(const std::string& names) {
        std::vector<std::string> parts;
        for (std::size_t begin = 0; begin <= names.size();) {
            const std::size_t comma = std::min(names.find(',', begin), names.size());
            parts.push_back(names.substr(begin, comma - begin));
            begin = comma + 1;
        }
        return parts;
    }

    quell::quant::recipe recipe_;
    std::shared_ptr<const quell::model::plan> plan_;
};

struct quantize_setup {
    std::string calibration = "builtin";
    std::size_t calibration_tokens = 12288;
    std::size_t context = 512;
    int embedding_bits = 32;
    bool keep_float = false;  ///< transforms only
    const transformer::tokenizer* tokenizer = nullptr;
    quell::executor threads = {};
    quell::progress_callback progress = {};
};

struct quantized {
    transformer::model network;
    quell::report::model_report report;
    std::size_t bytes = 0;  ///< of all tensors of the model, as a file stores them
    double seconds = 0;
};

/// All weights, gains and biases; tied ones once.
inline std::size_t parameters(const transformer::model& m) {
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

/// Embedding and head at 8 bits a row or at 4 bits in groups of 32.
inline result<void> quantize_tables(transformer::model& m, int bits, const quell::executor& threads) {
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

/// The bytes of what is no site: embedding, head, gains and biases.
inline std::size_t other_bytes(const transformer::model& m, int embedding_bits) {
    const auto& table = *m.embedding;
    const std::size_t rows = quell::quant::out_features(table);
    const std::size_t cols = quell::quant::in_features(table);
    std::size_t table_bytes = 4 * rows * cols;
    if (const auto* q = std::get_if<quell::quant::quantized_linear>(&table); q != nullptr && embedding_bits != 32) {
        table_bytes = quell::packing::stored_bytes(q->packed().form(), rows, cols);
    }
    std::size_t small = 4 * m.final_norm.size();
    for (const transformer::block& b : m.blocks) {
        small += 4 * (b.attn_norm.size() + b.ffn_norm.size());
        transformer::for_each_linear(b,
                                     [&](const quell::quant::linear& l) { small += 4 * quell::quant::bias(l).size(); });
    }
    return (m.embedding == m.head ? 1 : 2) * table_bytes + small;
}

inline result<quantized> quantize_model(const transformer::model& base, const job& how, const quantize_setup& setup) {
    const stopwatch all;
    std::vector<std::int32_t> calibration;
    if (how.needs_calibration()) {
        QUELL_TRY(calibration,
                  read_ids(setup.calibration, toy::calibration_seed, *setup.tokenizer, setup.calibration_tokens));
    }
    const quell::model::engine engine = transformer::make_engine(base, calibration, setup.context, setup.threads);
    QUELL_TRY(const quell::model::plan plan, how.plan_for(engine.graph));
    QUELL_TRY(
        quell::model::quantized_model changed,
        quell::model::apply(engine, plan,
                            {.threads = setup.threads, .progress = setup.progress, .keep_float = setup.keep_float}));
    quantized q{.network = {}, .report = std::move(changed.report)};
    q.network = transformer::with_linears(base, std::move(changed));
    if (setup.embedding_bits != 32 && !setup.keep_float) {
        QUELL_TRY_VOID(quantize_tables(q.network, setup.embedding_bits, setup.threads));
    }
    q.bytes = other_bytes(q.network, setup.embedding_bits);
    for (const quell::report::layer_report& layer : q.report.layers) {
        q.bytes += layer.stored_bytes;
    }
    q.seconds = all.seconds();
    return q;
}

}  // namespace program
