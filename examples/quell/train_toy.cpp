// SPDX-License-Identifier: MIT
/// @file
/// `quell train-toy`: makes the weights of a toy transformer again, from nothing but a seed.
#include "commands.hpp"
#include "common.hpp"
#include "progress_bar.hpp"
#include "toy/train.hpp"

#include <string>

namespace program {

int train_toy(const train_toy_options& options) {
    if (const int status = choose_isa(options.common); status != 0) {
        return status;
    }
    if (const auto writable = check_writable(options.out); !writable) {
        return fail(writable.error());
    }
    quell::thread_pool pool(thread_count(options.common));
    progress_bar bar(options.common.quiet);
    toy::train_options training{
        .out = options.out,
        .form = options.architecture == "gelu" ? toy::architecture::gelu : toy::architecture::swiglu,
        .seed = options.seed,
        .threads = pool,
        .progress = bar.callback("toy")};
    if (options.steps > 0) {
        training.steps = options.steps;
    }
    const auto trained = toy::train_toy(training);
    bar.clear();
    if (!trained) {
        return fail(trained.error());
    }
    std::printf("wrote %s after %zu steps\n", options.out.c_str(), training.steps);
    return 0;
}

}  // namespace program
