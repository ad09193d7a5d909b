// SPDX-License-Identifier: MIT
/// @file
/// From a float model and a job (a recipe, or a plan that somebody wrote) to a quantized model and its report.
#pragma once

#include "common.hpp"
#include "quell/model/allocate.hpp"
#include "quell/model/plan.hpp"
#include "quell/model/prefix_search.hpp"
#include "quell/quant/recipes.hpp"
#include "quell/report/layer_report.hpp"
#include "transformer/model.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
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
            QUELL_TRY(job found, from_name(name, options));
            jobs.push_back(std::move(found));
        }
        return jobs;
    }

    /// Errors   errc::not_found where no recipe has that name.
    static result<job> from_name(const std::string& name, const quell::quant::recipe_options& options) {
        QUELL_TRY(quell::quant::recipe found, quell::quant::find_recipe(name, options));
        return job(std::move(found));
    }

    static job from_plan(quell::model::plan decided) {
        job j({});
        j.plan_ = std::make_shared<quell::model::plan>(std::move(decided));
        return j;
    }
    static result<job> from_plan_file(const std::string& path);

    [[nodiscard]] std::string name() const { return plan_ ? plan_->recipe : recipe_.name; }
    [[nodiscard]] bool is_float() const { return !plan_ && recipe_.is_float(); }
    [[nodiscard]] bool needs_calibration() const {
        if (!plan_) {
            return recipe_.needs_calibration();
        }
        return plan_->calibration.is_propagated() ||
               std::any_of(plan_->inputs.begin(), plan_->inputs.end(),
                           [](const auto& input) { return input.transform.needs_statistics(); }) ||
               std::any_of(
                   plan_->sites.begin(), plan_->sites.end(),
                   [](const auto& s) { return s.activations.needs_calibration() || s.solver.needs_calibration(); }) ||
               plan_->tuning.steps > 0;
    }
    /// Whether it changes the float network before it rounds.
    [[nodiscard]] bool transforms() const {
        if (!plan_) {
            return recipe_.rotates_stream || !recipe_.transforms.empty();
        }
        return std::any_of(plan_->inputs.begin(), plan_->inputs.end(),
                           [](const auto& input) { return input.target != quell::model::scale_target::none; });
    }
    /// Whether it leaves inputs that spike in more bits, and whether it wants a prefix against spikes: both are still
    /// to be found.
    [[nodiscard]] bool exempts_spikes() const { return !plan_ && recipe_.exempts_spikes; }
    [[nodiscard]] bool finds_prefix() const { return !plan_ && recipe_.finds_prefix; }
    /// Bits of the activations; of a mixed plan, the smallest.
    [[nodiscard]] int activation_bits() const {
        int bits = plan_ ? 32 : recipe_.activations.bits;
        for (std::size_t s = 0; plan_ && s < plan_->sites.size(); ++s) {
            bits = std::min(bits, plan_->sites[s].activations.bits);
        }
        return bits;
    }
    /// How its float part is tuned after rounding.
    [[nodiscard]] quell::quant::tuning_rule tuning() const { return plan_ ? plan_->tuning : recipe_.tuning; }
    /// Whether its plan needs a look at the model.
    [[nodiscard]] bool allocates() const { return !plan_ && recipe_.allocation.has_value(); }
    [[nodiscard]] result<quell::model::plan> plan_for(const quell::graph& g) const;
    [[nodiscard]] result<quell::model::plan> plan_for(const quell::model::engine& source,
                                                      const quell::model::allocate_options& options) const;

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

/// Empty where the job can run with this --calib; otherwise the line for misuse(). The toys bring their own text.
inline std::string lack_of_calibration(const job& j, const std::string& calibration, const std::string& model) {
    const bool lacks = j.needs_calibration() && calibration.empty() && !is_toy(model);
    return lacks ? j.name() + " needs --calib FILE with a calibration text" : "";
}

struct quantize_setup {
    std::string calibration = "builtin";
    std::size_t calibration_tokens = 12288;
    std::size_t context = 512;
    int embedding_bits = 32;
    int kv_bits = 16;                              ///< of keys and values in the cache: 8, 4, or 16: as they are
    bool keep_float = false;                       ///< transforms only
    std::size_t sample_rows = 0;                   ///< calibration rows an input to compare outputs on
    bool strict = false;                           ///< a site that cannot be what the recipe asks for is an error
    quell::model::model_survey* survey = nullptr;  ///< what allocations found out about the model, from job to job
    std::string survey_file = {};                  ///< where that is kept; empty: nowhere
    double token_ms = 0.0;                         ///< budget of an allocation, beside that of bytes; 0: none
    const transformer::tokenizer* tokenizer = nullptr;
    quell::executor threads = {};
    quell::progress_callback progress = {};
};

struct quantized {
    transformer::model network;
    quell::model::plan decided;
    quell::report::model_report report;
    std::size_t bytes = 0;  ///< of all tensors of the model, as a file stores them
    double seconds = 0;
};

/// What a plan decided that its recipe left open, a line each: the prefix, and the sites that are treated unlike
/// others.
std::vector<std::string> remarks_of(const quell::model::plan& decided);

/// All weights, gains and biases; tied ones once.
std::size_t parameters(const transformer::model& m);

/// Bits of the embedding's codes, 32 in float.
int embedding_bits(const transformer::model& m);

/// The prefix that draws the activation spikes of a model to itself, by what the calibration text shows.
result<quell::model::prefix_search> search_prefix(const transformer::model& base,
                                                  std::span<const std::int32_t> calibration,
                                                  const quantize_setup& setup);
result<void> save_plan(const std::string& path, const quell::model::plan& decided);

/// What --survey FILE keeps; nothing where there is no such file yet.
result<quell::model::model_survey> read_survey(const std::string& path);

result<quantized> quantize_model(const transformer::model& base, const job& how, const quantize_setup& setup);

/// What tune_model wants besides a model and a text.
struct tuning_request {
    quell::quant::tuning_rule rule;
    const transformer::model* teacher = nullptr;  ///< whose predictions are the goal; none: the text is
    std::string checkpoint = {};                  ///< file that keeps where it stands; empty: none
    quell::executor threads = {};
    quell::progress_callback progress = {};
};

/// Tunes what a quantized model keeps in full precision, and says so in its plan. Returns the losses of the steps.
result<std::vector<double>> tune_model(quantized& q, std::span<const std::int32_t> ids, const tuning_request& request);

/// What a packed file holds, as quantize_model would have described it; errors and times are not known any more.
quantized describe_packed(transformer::model network, quell::model::plan decided);

}  // namespace program
