// SPDX-License-Identifier: MIT
/// @file
/// What the commands share: saying what is wrong, choosing threads and instruction set, finding models and texts.
#pragma once

#include "commands.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/core/thread_pool.hpp"
#include "quell/kernels/dispatch.hpp"
#include "transformer/loaded.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace program {

using quell::errc;
using quell::error;
using quell::result;

/// Bad input or failed work: one line on standard error, status 1.
inline int fail(const error& e) {
    std::fprintf(stderr, "quell: %s\n", e.message.c_str());
    return 1;
}

inline int status_of(const result<void>& done) {
    return done ? 0 : fail(done.error());
}

/// Bad usage: one line on standard error, status 2.
inline int misuse(const std::string& message) {
    std::fprintf(stderr, "quell: %s\n", message.c_str());
    return 2;
}

inline std::size_t thread_count(const common_options& options) {
    return options.threads > 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
}

/// Obeys --isa; an unknown name is bad usage, one that this processor lacks is bad input. Returns the exit status.
inline int choose_isa(const common_options& options) {
    if (options.isa.empty()) {
        return 0;
    }
    const auto level = quell::kernels::isa_named(options.isa);
    if (!level) {
        return misuse("--isa " + options.isa + ": no such instruction set");
    }
    const result<void> lowered = quell::kernels::lower_to(*level);
    return lowered ? 0 : fail(lowered.error());
}

inline bool is_toy(std::string_view model) {
    return model == "toy" || model == "toy-gelu";
}

/// The recipe that made a packed file; nothing for every other model. Cheap: no weight is touched.
result<std::optional<std::string>> packed_recipe(const std::string& model);

/// Empty where --recipe asks for nothing or for what the packed file is; otherwise the line for misuse().
inline std::string recipe_conflict(const std::string& model, const std::string& own, const std::string& asked) {
    return asked.empty() || asked == own ? "" : "--recipe " + asked + ": " + model + " is packed already, as " + own;
}

struct loaded_model : transformer::loaded {
    double seconds = 0;  ///< that loading took
};

/// toy, toy-gelu, a file or a folder.
result<loaded_model> load_model(const std::string& model, const quell::executor& threads,
                                const quell::progress_callback& progress);

/// The float model that a packed one was made from, or nothing where no `reference` is given; `packed` names that one.
/// Errors   those of load_model; errc::bad_value where it cannot be what the packed one was made from.
result<std::optional<transformer::model>> load_reference(const std::string& reference,
                                                         const transformer::config& packed_shape,
                                                         const std::string& packed, const quell::executor& threads,
                                                         const quell::progress_callback& progress);

/// The ids of a text file, or of the built-in text of that seed; at most `limit` of them when that is not 0.
result<std::vector<std::int32_t>> read_ids(const std::string& text, std::uint64_t builtin_seed,
                                           const transformer::tokenizer& tokenizer, std::size_t limit);

/// Whether a file can be made there, asked before long work instead of after it.
result<void> check_writable(const std::string& path);

}  // namespace program
