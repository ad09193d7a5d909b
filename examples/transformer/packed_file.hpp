// SPDX-License-Identifier: MIT
/// @file
/// Packed files: a quantized model with its configuration, its tokenizer and the plan that made it, in one safetensors
/// file that is mapped and run as it is.
///
///   __metadata__     quell.packed: the version of this page; quell.plan: JSON; quell.layout: the version of the blobs
///   config           U8, JSON (config_fields.hpp)
///   tokenizer        U8, JSON (config_fields.hpp)
///   NAME.weight      F32: the norm gains, with what was folded into them, and the factors of the rotations
///   NAME.packed ...  the linears (model/linear_tensors.hpp); a tied head is not stored again
///   prefix.keys      F32 [layers * tokens * kv_width], and prefix.values: of the prefix that the plan names
///
/// NAME is that of a GGUF file, such as blk.0.attn_q.
#pragma once

#include "quell/core/executor.hpp"
#include "quell/core/progress.hpp"
#include "quell/core/result.hpp"
#include "quell/io/message.hpp"
#include "quell/io/safetensors.hpp"
#include "quell/io/safetensors_writer.hpp"
#include "quell/model/linear_tensors.hpp"
#include "quell/model/plan.hpp"
#include "quell/model/plan_check.hpp"
#include "quell/model/plan_json.hpp"
#include "quell/packing/blob.hpp"
#include "transformer/adapter.hpp"
#include "transformer/build.hpp"
#include "transformer/checkpoint.hpp"
#include "transformer/config_fields.hpp"
#include "transformer/graph.hpp"
#include "transformer/loaded.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace transformer {

namespace detail {

inline constexpr const char* packed_version = "1";

/// Joins the two after a last look: a tokenizer must not produce ids that the embedding does not have.
inline quell::result<loaded> join(quell::result<model> network, quell::result<tokenizer> text,
                                  const std::string& file) {
    if (!network) {
        return network.error();
    }
    if (!text) {
        return text.error();
    }
    if (text->size() > network->shape.vocab) {
        return quell::io::failure(quell::errc::bad_value, file, "the tokenizer has ", text->size(),
                                  " tokens, the embedding only ", network->shape.vocab);
    }
    return loaded{*std::move(network), *std::move(text)};
}

/// The tensors refer to the model.
inline quell::result<quell::model::tensor_set> packed_tensors(const model& m, const tokenizer& text) {
    const tensor_names& names = gguf_names;
    quell::model::tensor_set tensors;
    tensors.add_text("config", to_text(m.shape));
    QUELL_TRY(std::string words, to_text(text.words()));
    tensors.add_text("tokenizer", std::move(words));
    tensors.add_linear(names.embedding, *m.embedding);
    if (!m.shape.tied_head) {
        tensors.add_linear(names.head, *m.head);
    }
    if (!m.rope_factors.empty()) {
        tensors.add_vector("rope_freqs.weight", m.rope_factors);
    }
    for (const auto& [name, gain] : gains_of(m)) {
        tensors.add_vector(name + ".weight", gain);
    }
    if (m.prefix) {
        tensors.add_vector("prefix.keys", m.prefix->keys.elements());
        tensors.add_vector("prefix.values", m.prefix->values.elements());
    }
    for (const quell::site& s : make_graph(m.shape).sites) {
        tensors.add_linear(s.name, *linear_of(m, s));
    }
    return tensors;
}

/// The prefix that the plan of the file names.
inline quell::result<prefix_ptr> read_prefix(checkpoint& tensors, const config& shape,
                                             const quell::model::plan& decided, const std::string& name) {
    if (decided.prefix.empty()) {
        return prefix_ptr();
    }
    const std::size_t rows = shape.layers * decided.prefix.size();
    for (const std::int32_t id : decided.prefix) {
        if (id < 0 || static_cast<std::size_t>(id) >= shape.vocab || decided.prefix.size() > shape.context) {
            return quell::io::failure(quell::errc::bad_value, name, "a prefix of ", decided.prefix.size(),
                                      " tokens, among them ", id, ", for a vocabulary of ", shape.vocab,
                                      " and a context of ", shape.context);
        }
    }
    QUELL_TRY(const auto keys, tensors.vector("prefix.keys", rows * shape.kv_width()));
    QUELL_TRY(const auto values, tensors.vector("prefix.values", rows * shape.kv_width()));
    return std::make_shared<const prefix_cache>(
        prefix_cache{.ids = decided.prefix,
                     .keys = quell::matrix<float>::copy_of({keys.data(), rows, shape.kv_width()}),
                     .values = quell::matrix<float>::copy_of({values.data(), rows, shape.kv_width()})});
}

/// The plan must fit the model, and the linears the plan.
inline quell::result<void> check_plan(const quell::model::plan& decided, const model& m) {
    const quell::graph g = make_graph(m.shape);
    QUELL_TRY_VOID(check(decided, g));
    for (std::size_t s = 0; s < g.sites.size(); ++s) {
        QUELL_TRY_VOID(check(decided.sites[s], *linear_of(m, g.sites[s])));
    }
    return {};
}

inline quell::result<tokenizer> packed_tokenizer(std::string_view text, const std::string& name) {
    QUELL_TRY(const vocabulary words, vocabulary_from_text(text, name));
    auto made = tokenizer::make(words);
    return made ? std::move(made) : made.error().in(name);
}

}  // namespace detail

/// Writes the model as it is, or leaves the path as it was. The same model gives the same bytes.
///
/// Errors   errc::io_failed; errc::unsupported for a token that JSON cannot hold.
/// Memory   the texts and the small vectors; weights go from where they are to the file.
inline quell::result<void> save_packed(const std::string& path, const model& m, const tokenizer& text,
                                       const quell::model::plan& decided) {
    auto tensors = detail::packed_tensors(m, text);
    if (!tensors) {
        return tensors.error().in(path);
    }
    return quell::io::write_safetensors(path, tensors->tensors(),
                                        {{"quell.packed", detail::packed_version},
                                         {"quell.layout", std::to_string(quell::packing::blob_version)},
                                         {"quell.plan", to_json(decided).dump()}});
}

[[nodiscard]] inline bool is_packed(const quell::io::safetensors_file& file) {
    return file.metadata().contains("quell.packed");
}

/// The plan in the metadata of a packed file; `name` stands in front of messages.
///
/// Errors   errc::unsupported for another version, errc::not_found, errc::bad_format.
[[nodiscard]] inline quell::result<quell::model::plan> plan_in(const quell::io::safetensors_file& file,
                                                               const std::string& name) {
    const auto version = file.metadata().find("quell.packed");
    if (version == file.metadata().end() || version->second != detail::packed_version) {
        return quell::io::failure(quell::errc::unsupported, name, "is a packed file of version ",
                                  quell::io::quoted(version == file.metadata().end() ? "" : version->second),
                                  "; this program reads version ", detail::packed_version);
    }
    const auto plan = file.metadata().find("quell.plan");
    if (plan == file.metadata().end()) {
        return quell::io::failure(quell::errc::not_found, name, "its metadata holds no quell.plan");
    }
    return quell::model::plan_from_text(plan->second, name + ": plan");
}

/// The model behind a packed file. It keeps the file, in which its weights stay.
///
/// Errors   whatever is missing, damaged or contradicts the rest, by tensor and number.
/// Cost     reads every weight once, for its checksum; copies only vectors.
inline quell::result<loaded> load_packed(quell::io::safetensors_file mapped, const std::string& name,
                                         const quell::executor& threads, const quell::progress_callback& progress) {
    const auto file = std::make_shared<const quell::io::safetensors_file>(std::move(mapped));
    QUELL_TRY(quell::model::plan decided, plan_in(*file, name));
    checkpoint tensors(name, {}, progress, weight_storage::packed);
    QUELL_TRY_VOID(tensors.add(*file));
    QUELL_TRY(const std::string_view config_text, tensors.text("config"));
    QUELL_TRY(const std::string_view tokenizer_text, tensors.text("tokenizer"));
    QUELL_TRY(const config shape, config_from_text(config_text, name + ": config"));
    QUELL_TRY(prefix_ptr prefix, detail::read_prefix(tensors, shape, decided, name));
    std::optional<quell::result<model>> network;
    std::optional<quell::result<tokenizer>> text;
    threads.parallel_for(2, [&](std::size_t half) {  // they take about as long as each other
        if (half == 0) {
            network = build_model(shape, tensors, gguf_names, name);
        } else {
            text = detail::packed_tokenizer(tokenizer_text, name + ": tokenizer");
        }
    });
    QUELL_TRY(loaded whole, detail::join(*std::move(network), *std::move(text), name));
    whole.network.mapped_from = file;
    whole.network.prefix = std::move(prefix);
    if (const auto fits = detail::check_plan(decided, whole.network); !fits) {
        return fits.error().in(name);
    }
    whole.decided = std::move(decided);
    return whole;
}

}  // namespace transformer
