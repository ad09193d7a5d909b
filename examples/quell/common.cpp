// SPDX-License-Identifier: MIT
/// @file
/// Reading models and texts: compiled once for all commands.
#include "common.hpp"

#include "quell/io/atomic_file.hpp"
#include "quell/io/files.hpp"
#include "speed.hpp"
#include "toy/corpus.hpp"
#include "toy/embedded.hpp"
#include "transformer/load.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace program {

result<std::optional<std::string>> packed_recipe(const std::string& model) {
    if (!model.ends_with(".safetensors")) {
        return std::optional<std::string>();
    }
    QUELL_TRY(const auto file, quell::io::safetensors_file::open(model));
    if (!transformer::is_packed(file)) {
        return std::optional<std::string>();
    }
    QUELL_TRY(quell::model::plan decided, transformer::plan_in(file, model));
    return std::optional(std::move(decided.recipe));
}

result<loaded_model> load_model(const std::string& model, const quell::executor& threads,
                                const quell::progress_callback& progress) {
    const stopwatch watch;
    QUELL_TRY(transformer::loaded loaded, is_toy(model) ? transformer::load_bytes(toy::weights(model), model, threads)
                                                        : transformer::load(model, threads, progress));
    return loaded_model{std::move(loaded), watch.seconds()};
}

result<std::optional<transformer::model>> load_reference(const std::string& reference,
                                                         const transformer::config& packed_shape,
                                                         const std::string& packed, const quell::executor& threads,
                                                         const quell::progress_callback& progress) {
    if (reference.empty()) {
        return std::optional<transformer::model>();
    }
    QUELL_TRY(loaded_model loaded, load_model(reference, threads, progress));
    const transformer::config& is = loaded.network.shape;
    if (loaded.decided || is.vocab != packed_shape.vocab || is.width != packed_shape.width ||
        is.context < packed_shape.context) {
        return error{errc::bad_value, reference + ": cannot be what " + packed +
                                          " was made from: a model in float with " +
                                          std::to_string(packed_shape.vocab) + " tokens and a width of " +
                                          std::to_string(packed_shape.width) + " is wanted"};
    }
    return std::optional<transformer::model>(std::move(loaded.network));
}

result<std::vector<std::int32_t>> read_ids(const std::string& text, std::uint64_t builtin_seed,
                                           const transformer::tokenizer& tokenizer, std::size_t limit) {
    std::string content;
    if (text == "builtin") {
        content = toy::text(builtin_seed, toy::builtin_bytes);
    } else {
        QUELL_TRY(const std::vector<std::byte> bytes, quell::io::read_file(text));
        content.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    auto ids = tokenizer.encode(content);
    if (!ids) {
        return ids.error().in(text);
    }
    if (limit > 0 && ids->size() > limit) {
        ids->resize(limit);
    }
    return ids;
}

result<void> check_writable(const std::string& path) {
    QUELL_TRY_VOID(quell::io::atomic_file::create(path));
    return {};
}

}  // namespace program
