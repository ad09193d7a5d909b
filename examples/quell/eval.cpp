// SPDX-License-Identifier: MIT
/// @file
/// `quell eval`: what each recipe costs in quality and gains in size and speed, against the float model.
#include "commands.hpp"
#include "common.hpp"
#include "eval_page.hpp"
#include "evaluate.hpp"
#include "progress_bar.hpp"
#include "quantize_model.hpp"
#include "quell/io/files.hpp"
#include "speed.hpp"
#include "table.hpp"
#include "toy/corpus.hpp"
#include "toy/plant.hpp"
#include "toy/regrid.hpp"

#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace program {
namespace {

/// The largest change of the float logits, relative to the largest logit, that a transform made.
double relative_change(matrix_view<const float> before, matrix_view<const float> after) {
    double difference = 0;
    double magnitude = 0;
    for (std::size_t r = 0; r < before.rows(); ++r) {
        for (std::size_t c = 0; c < before.cols(); ++c) {
            difference = std::max(difference, std::abs(double{before(r, c)} - double{after(r, c)}));
            magnitude = std::max(magnitude, std::abs(double{before(r, c)}));
        }
    }
    return difference / magnitude;
}

class evaluation {
public:
    static constexpr std::size_t rows_compared = 128;  ///< of each input, for the errors of outputs on the page

    evaluation(const eval_options& options, std::vector<job> jobs)
        : options_(options),
          jobs_(std::move(jobs)),
          pool_(thread_count(options.common)),
          threads_(pool_),
          bar_(options.common.quiet) {}

    result<eval_report> run() {
        QUELL_TRY(survey_, read_survey(options_.survey));
        QUELL_TRY_VOID(load());
        report_ = {.model = options_.model,
                   .text = options_.text,
                   .tokens = rules_.tokens(),
                   .context = rules_.context,
                   .isa = std::string(quell::kernels::name(quell::kernels::best().level)),
                   .threads = pool_.concurrency(),
                   .rows = {},
                   .notes = {}};
        print_preamble();
        if (packed_) {
            QUELL_TRY(eval_row row, score_packed());
            add(std::move(row));
        } else {
            QUELL_TRY_VOID(score_jobs());
        }
        if (std::string note = base_ ? accuracy_note(report_.rows, base_scores_.top1_accuracy) : ""; !note.empty()) {
            report_.notes.push_back(std::move(note));
        }
        for (const std::string& note : report_.notes) {
            std::printf("%s\n", note.c_str());
        }
        return std::move(report_);
    }

private:
    result<void> score_jobs() {
        QUELL_TRY(const eval_row base_row, base_row_of());
        for (const job& j : jobs_) {
            if (j.is_float()) {
                add(base_row);
                continue;
            }
            QUELL_TRY(const quantized q, quantize_model(*base_, j, setup()));
            QUELL_TRY(eval_row row, score(j, q));
            QUELL_TRY_VOID(note_transform(job::from_plan(q.decided)));
            add(std::move(row));
        }
        return {};
    }

    /// What a packed file holds; against the reference, where one is given.
    result<eval_row> score_packed() {
        if (base_) {
            QUELL_TRY_VOID(score_base());
        }
        return score(job::from_plan(packed_->decided), *packed_);
    }

    result<void> load() {
        auto loaded = load_model(options_.model, threads_, bar_.callback(options_.model));
        if (!loaded) {
            return loaded.error();
        }
        load_seconds_ = loaded->seconds;
        tokenizer_ = std::move(loaded->text);
        if (loaded->decided) {
            packed_.emplace(describe_packed(std::move(loaded->network), *std::move(loaded->decided)));
            QUELL_TRY(base_, load_reference(options_.reference, packed_->network.shape, options_.model, threads_,
                                            bar_.callback(options_.reference)));
        } else {
            base_.emplace(std::move(loaded->network));
        }
        QUELL_TRY(ids_, read_ids(options_.text, toy::evaluation_seed, *tokenizer_, options_.tokens));
        if (options_.regrid != 0) {
            QUELL_TRY(auto moved, toy::regrid(*base_, options_.regrid, threads_));
            base_.emplace(std::move(moved));
        }
        if (!options_.plant.empty()) {
            QUELL_TRY(auto planted, toy::plant(*base_, *toy::plant_named(options_.plant), options_.seed, threads_,
                                               base_->shape.vocab == 256 ? std::span<const std::int32_t>() : ids_));
            base_.emplace(std::move(planted));
        }
        return choose_windows(packed_ ? packed_->network.shape.context : base_->shape.context);
    }

    result<void> choose_windows(std::size_t most) {
        rules_.context = options_.context > 0 ? options_.context : std::min<std::size_t>(512, most);
        rules_.windows = ids_.size() / rules_.context;
        if (rules_.context > most) {
            return error{errc::bad_value, options_.model + ": a context of " + std::to_string(rules_.context) +
                                              " is more than the model's " + std::to_string(most)};
        }
        if (rules_.windows == 0) {
            return error{errc::bad_value, options_.text + ": " + std::to_string(ids_.size()) +
                                              " tokens do not fill one window of " + std::to_string(rules_.context)};
        }
        return {};
    }

    void print_preamble() {
        bar_.clear();
        std::printf(
            "%s, %s: %zu tokens in %zu disjoint windows of %zu, all but the first of a window scored; %zu "
            "thread%s, %s; loaded in %.2f s\n",
            report_.model.c_str(), report_.text.c_str(), rules_.tokens(), rules_.windows, rules_.context,
            report_.threads, report_.threads == 1 ? "" : "s", report_.isa.c_str(), load_seconds_);
        print_header(name_width());
    }

    /// Whether anything will be compared with the float model.
    [[nodiscard]] bool compares() const {
        return packed_ || std::any_of(jobs_.begin(), jobs_.end(), [](const job& j) { return !j.is_float(); });
    }

    /// Scores the float model, and keeps its hidden states where another model will be compared with it.
    result<void> score_base() {
        reference_.network = &*base_;
        if (compares()) {
            reference_.hidden = {rules_.tokens(), base_->shape.width};
        }
        QUELL_TRY(base_scores_, evaluate(*base_, ids_, rules_, nullptr, compares() ? &reference_.hidden : nullptr,
                                         threads_, bar_.callback("fp32")));
        return {};
    }

    result<eval_row> base_row_of() {
        QUELL_TRY_VOID(score_base());
        eval_row row{.recipe = "fp32",
                     .perplexity = base_scores_.perplexity,
                     .top1_agreement = 100.0,
                     .top1_accuracy = base_scores_.top1_accuracy};
        row.bytes = 4 * parameters(*base_);
        return finish_row(*base_, std::move(row));
    }

    result<eval_row> score(const job& j, const quantized& q) {
        constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
        QUELL_TRY(const scores s, evaluate(q.network, ids_, rules_, base_ ? &reference_ : nullptr, nullptr, threads_,
                                           bar_.callback(j.name())));
        const auto totals = quell::report::totals_of(q.report);
        eval_row row{.recipe = j.name(),
                     .weight_bits_nominal = totals.nominal_bits,
                     .weight_bits_stored = totals.stored_bits,
                     .model_bits_stored = 8.0 * static_cast<double>(q.bytes) /
                                          static_cast<double>(parameters(base_ ? *base_ : q.network)),
                     .embedding_bits = embedding_bits(q.network),
                     .activation_bits = j.activation_bits(),
                     .kv_bits = q.network.shape.kv_bits,
                     .bytes = q.bytes,
                     .perplexity = s.perplexity,
                     .perplexity_change = base_ ? 100.0 * (s.perplexity / base_scores_.perplexity - 1.0) : unknown,
                     .kl_divergence = base_ ? s.kl_divergence : unknown,
                     .top1_agreement = base_ ? s.top1_agreement : unknown,
                     .top1_accuracy = s.top1_accuracy,
                     .quantize_seconds = q.seconds,
                     .layers = q.report.layers};
        note_fallbacks(j, q.report);
        if (std::string note = stored_note(row); !note.empty()) {
            report_.notes.push_back(std::move(note));
        }
        const std::vector<std::string> remarks = remarks_of(q.decided);
        report_.notes.insert(report_.notes.end(), remarks.begin(), remarks.end());
        return finish_row(q.network, std::move(row));
    }

    result<eval_row> finish_row(const transformer::model& network, eval_row row) {
        QUELL_TRY(const speeds s, measure_speed(network, ids_, rules_.context, threads_));
        row.prefill_tokens_per_second = s.prefill_tokens_per_second;
        row.decode_tokens_per_second = s.decode_tokens_per_second;
        row.peak_rss_bytes = peak_rss_bytes();
        return row;
    }

    /// Runs the transforms of a recipe without its rounding: the float logits must stay as they were.
    result<void> note_transform(const job& j) {
        if (!j.transforms()) {
            return {};
        }
        quantize_setup floats = setup();
        floats.keep_float = true;
        floats.calibration_tokens =
            std::min<std::size_t>(floats.calibration_tokens, 2 * rules_.context);  // any will do
        floats.sample_rows = 0;
        QUELL_TRY(const quantized folded, quantize_model(*base_, j, floats));
        const std::size_t rows = std::min<std::size_t>(rules_.context, 128);
        QUELL_TRY(const matrix<float> before, logits_of(*base_, rows));
        QUELL_TRY(const matrix<float> after, logits_of(folded.network, rows));
        char text[200];
        std::snprintf(
            text, sizeof text,
            "%s: its transforms, folded and online, change the float logits by %.1e of the largest (limit 1e-4)",
            j.name().c_str(), relative_change(before.view(), after.view()));
        report_.notes.emplace_back(text);
        return {};
    }

    void note_fallbacks(const job& j, const quell::report::model_report& report) {
        for (const quell::report::layer_report& layer : report.layers) {
            if (!layer.fallback.empty()) {
                report_.notes.push_back(j.name() + ": " + layer.site + ": " + layer.fallback);
            }
        }
    }

    result<matrix<float>> logits_of(const transformer::model& network, std::size_t rows) {
        transformer::session run(network, threads_, rows);
        QUELL_TRY_VOID(run.prefill(std::span<const std::int32_t>(ids_).first(rows)));
        matrix<float> logits(rows, network.shape.vocab);
        run.logits(run.hidden(), logits.view());
        return logits;
    }

    /// The page shows what outputs lose where there is a calibration text to measure that on.
    [[nodiscard]] bool shows_outputs() const {
        return !options_.html.empty() && (!options_.calibration.empty() || is_toy(options_.model));
    }

    [[nodiscard]] quantize_setup setup() {
        return {.calibration = options_.calibration.empty() ? "builtin" : options_.calibration,
                .calibration_tokens = options_.calibration_tokens,
                .context = rules_.context,
                .embedding_bits = options_.embedding_bits,
                .kv_bits = options_.kv_bits,
                .sample_rows = shows_outputs() ? rows_compared : 0,
                .survey = &survey_,
                .survey_file = options_.survey,
                .token_ms = options_.token_ms,
                .tokenizer = &*tokenizer_,
                .threads = threads_,
                .progress = bar_.callback("quantize")};
    }

    [[nodiscard]] int name_width() const {
        std::size_t width = packed_ ? packed_->decided.recipe.size() : 20;
        for (const job& j : jobs_) {
            width = std::max(width, j.name().size());
        }
        return static_cast<int>(width);
    }

    void add(eval_row row) {
        bar_.clear();
        print_row(row, name_width());
        report_.rows.push_back(std::move(row));
    }

    const eval_options& options_;
    std::vector<job> jobs_;
    quell::thread_pool pool_;
    quell::executor threads_;
    progress_bar bar_;
    double load_seconds_ = 0;
    std::optional<transformer::tokenizer> tokenizer_;
    std::optional<transformer::model> base_;  ///< the float model; of a packed file, its reference if there is one
    std::optional<quantized> packed_;
    std::vector<std::int32_t> ids_;
    protocol rules_;
    reference reference_;
    scores base_scores_;
    quell::model::model_survey survey_;
    eval_report report_;
};

/// The jobs that --recipe and --plan ask for.
result<std::vector<job>> jobs_of(const eval_options& options) {
    if (!options.plan.empty()) {
        QUELL_TRY(job planned, job::from_plan_file(options.plan));
        std::vector<job> jobs;
        jobs.push_back(std::move(planned));
        return jobs;
    }
    return job::from_names(options.recipes.empty() ? "all" : options.recipes, options.settings);
}

/// Options that a packed file, or any other model, cannot take: the line for misuse(), or nothing.
std::string option_conflict(const eval_options& options, const std::optional<std::string>& own) {
    if (!own) {
        return options.reference.empty() ? "" : "--reference is for packed files; other models are their own";
    }
    for (const auto& [option, given] :
         {std::pair("--plan", !options.plan.empty()), std::pair("--plant", !options.plant.empty()),
          std::pair("--regrid", options.regrid != 0), std::pair("--embedding-bits", options.embedding_bits != 32),
          std::pair("--kv-bits", options.kv_bits != 16)}) {
        if (given) {
            return std::string(option) + ": " + options.model + " is packed already, as " + *own;
        }
    }
    return recipe_conflict(options.model, *own, options.recipes);
}

result<void> write_text(const std::string& text, const std::string& path) {
    return path.empty() ? result<void>{} : quell::io::write_file_atomically(path, std::as_bytes(std::span(text)));
}

/// Before long work instead of after it.
result<void> check_outputs(const eval_options& options) {
    for (const std::string& path : {options.json, options.html}) {
        if (!path.empty()) {
            QUELL_TRY_VOID(check_writable(path));
        }
    }
    return {};
}

result<void> write_outputs(const eval_report& report, const eval_options& options) {
    QUELL_TRY_VOID(write_text(to_json(report).dump(2) + "\n", options.json));
    return options.html.empty() ? result<void>{} : write_text(eval_page(report), options.html);
}

}  // namespace

int eval(const eval_options& options) {
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
    auto jobs = *own ? result(std::vector<job>()) : jobs_of(options);
    if (!jobs) {
        return jobs.error().code == errc::not_found ? misuse(jobs.error().message) : fail(jobs.error());
    }
    for (const job& j : *jobs) {
        if (const std::string lack = lack_of_calibration(j, options.calibration, options.model); !lack.empty()) {
            return misuse(lack);
        }
    }
    if (const auto writable = check_outputs(options); !writable) {
        return fail(writable.error());
    }
    const auto report = evaluation(options, std::move(*jobs)).run();
    if (!report) {
        return fail(report.error());
    }
    return status_of(write_outputs(*report, options));
}

}  // namespace program
