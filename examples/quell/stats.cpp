// SPDX-License-Identifier: MIT
/// @file
/// `quell stats`: one pass over a calibration text, and what every input of the network saw of it, as a file and as a
/// table; `quell merge-stats`: the same of several texts, from their files.
#include "commands.hpp"
#include "common.hpp"
#include "progress_bar.hpp"
#include "quell/model/profile_file.hpp"
#include "quell/outliers/channel_rules.hpp"
#include "quell/stats/difficulty.hpp"
#include "toy/corpus.hpp"
#include "transformer/adapter.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace program {
namespace {

using quell::model::profile_set;
using quell::outliers::input_profile;

/// One input as the table shows it.
struct stats_row {
    std::string input;
    const input_profile* profile = nullptr;
    quell::stats::difficulty difficulty;
    std::size_t outlier_channels = 0;
};

/// The hardest to quantize first.
std::vector<stats_row> rows_of(const profile_set& all) {
    std::vector<stats_row> rows;
    for (const auto& [name, profile] : all.inputs) {
        const std::vector<double> norms = profile.magnitude.norms();
        rows.push_back({.input = name,
                        .profile = &profile,
                        .difficulty = quell::stats::difficulty_of(norms),
                        .outlier_channels = quell::outliers::mad_rule{}.detect(norms).size()});
    }
    std::sort(rows.begin(), rows.end(), [](const stats_row& a, const stats_row& b) {
        return std::tuple(-a.difficulty.relative(), a.input) < std::tuple(-b.difficulty.relative(), b.input);
    });
    return rows;
}

/// "1234 (24), 77 (3)": the most frequent of the keys, with how often they occur.
std::string most_frequent(const std::map<std::uint64_t, std::size_t>& counts) {
    constexpr std::size_t longest = 4;
    std::vector<std::pair<std::size_t, std::uint64_t>> order;
    for (const auto& [key, count] : counts) {
        order.emplace_back(count, key);
    }
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
        return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    std::string text;
    for (std::size_t i = 0; i < std::min(order.size(), longest); ++i) {
        text += (i > 0 ? ", " : "") + std::to_string(order[i].second) + " (" + std::to_string(order[i].first) + ")";
    }
    return text + (order.size() > longest ? ", ..." : "");
}

/// Where the massive tokens of an input stand, and in which channels they are largest.
void print_massive(const std::string& input, const quell::outliers::massive_tokens& massive) {
    std::map<std::uint64_t, std::size_t> positions;
    std::map<std::uint64_t, std::size_t> channels;
    for (const auto& example : massive.examples()) {
        ++positions[example.token.position];
        ++channels[example.token.channels[0]];
    }
    std::printf("%s: %llu massive tokens, more than %g medians; of the largest %zu: positions %s; channels %s\n",
                input.c_str(), static_cast<unsigned long long>(massive.found()), static_cast<double>(massive.times()),
                massive.examples().size(), most_frequent(positions).c_str(), most_frequent(channels).c_str());
}

void print_table(const profile_set& all) {
    std::printf("%-18s %8s %10s %10s %10s %10s %8s %9s %8s\n", "input", "tokens", "max |x|", "median", "spike", "D",
                "D/mean", "channels", "massive");
    const std::vector<stats_row> rows = rows_of(all);
    for (const stats_row& row : rows) {
        const input_profile& p = *row.profile;
        std::printf("%-18s %8llu %10.5g %10.4g %10.5g %10.4g %8.3f %9zu %8llu\n", row.input.c_str(),
                    static_cast<unsigned long long>(p.count()), static_cast<double>(p.absmax.overall()),
                    static_cast<double>(p.token_maxima.quantile(0.5)), p.spikes.mean(), row.difficulty.deviation,
                    row.difficulty.relative(), row.outlier_channels,
                    static_cast<unsigned long long>(p.massive.found()));
    }
    for (const stats_row& row : rows) {
        if (row.profile->massive.found() > 0) {
            print_massive(row.input, row.profile->massive);
        }
    }
}

result<void> write_and_print(const std::string& path, const profile_set& all) {
    QUELL_TRY_VOID(quell::model::write_profiles(path, all));
    print_table(all);
    std::printf(
        "median: of the token maxima; spike: mean over windows of max / median; D: deviation of the channels' "
        "norms; channels: outliers by their norms (MAD)\nwrote %s: %zu inputs, %llu tokens in windows of %llu\n",
        path.c_str(), all.inputs.size(), static_cast<unsigned long long>(all.tokens()),
        static_cast<unsigned long long>(all.window));
    return {};
}

/// One pass of the model over its calibration text.
result<profile_set> collect(const stats_options& options, const quell::executor& threads, progress_bar& bar) {
    auto model = load_model(options.model, threads, bar.callback(options.model));
    if (!model) {
        return model.error();
    }
    const std::string text = options.calibration.empty() ? "builtin" : options.calibration;
    QUELL_TRY(const std::vector<std::int32_t> ids,
              read_ids(text, toy::calibration_seed, model->text, options.calibration_tokens));
    if (ids.empty()) {
        return error{errc::bad_value, text + ": the calibration text holds no tokens"};
    }
    const std::size_t context = model->network.shape.context;
    const std::size_t window = options.context == 0 ? std::min<std::size_t>(512, context) : options.context;
    if (window > context) {
        return error{errc::bad_value, "--context " + std::to_string(window) + " exceeds the model's context of " +
                                          std::to_string(context)};
    }
    const auto engine = transformer::make_engine(model->network, ids, window, threads);
    auto all = quell::model::collect_profiles(
        engine, {.threads = threads, .progress = bar.callback("stats"), .window = window, .tokens = ids.size()});
    if (!all) {
        return all.error().in(options.model);
    }
    all->model = options.model;
    all->text = text;
    return all;
}

result<void> collect_to_file(const stats_options& options) {
    quell::thread_pool pool(thread_count(options.common));
    progress_bar bar(options.common.quiet);
    QUELL_TRY(const profile_set all, collect(options, pool, bar));
    bar.clear();
    return write_and_print(options.out, all);
}

result<void> merge_to_file(const merge_stats_options& options) {
    QUELL_TRY(profile_set all, quell::model::read_profiles(options.files.front()));
    for (std::size_t i = 1; i < options.files.size(); ++i) {
        QUELL_TRY(const profile_set more, quell::model::read_profiles(options.files[i]));
        if (const auto merged = quell::model::merge(all, more); !merged) {
            return merged.error().in(options.files[i] + " does not fit " + options.files.front());
        }
    }
    return write_and_print(options.out, all);
}

}  // namespace

int stats(const stats_options& options) {
    if (const int status = choose_isa(options.common); status != 0) {
        return status;
    }
    if (options.calibration.empty() && !is_toy(options.model)) {
        return misuse("stats needs --calib FILE with a calibration text");
    }
    if (const auto writable = check_writable(options.out); !writable) {
        return fail(writable.error());
    }
    return status_of(collect_to_file(options));
}

int merge_stats(const merge_stats_options& options) {
    if (const auto writable = check_writable(options.out); !writable) {
        return fail(writable.error());
    }
    return status_of(merge_to_file(options));
}

}  // namespace program
