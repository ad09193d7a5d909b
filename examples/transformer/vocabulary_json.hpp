// SPDX-License-Identifier: MIT
/// @file
/// Reads a Hugging Face tokenizer.json whose model is a byte-level BPE, and what tokenizer_config.json adds to it. What
/// would change ids and is not implemented is refused by name. An NFC normalizer (Qwen2) is taken as done: text is
/// expected in that form.
#pragma once

#include "quell/io/json.hpp"
#include "transformer/vocabulary.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace transformer {
namespace detail {

using nlohmann::json;

/// Reads one file; the members keep its name for messages.
class vocabulary_json_reader {
public:
    explicit vocabulary_json_reader(const std::string& name) : name_(name) {}

    quell::result<vocabulary> read(std::string_view text, std::string_view config_text) {
        QUELL_TRY(const json file, parsed(text, "the tokenizer"));
        QUELL_TRY_VOID(read_normalizer(member(file, "normalizer")));
        QUELL_TRY(made_.split, read_split(member(file, "pre_tokenizer")));
        QUELL_TRY_VOID(read_model(member(file, "model")));
        QUELL_TRY_VOID(read_tokens(member(member(file, "model"), "vocab"), member(file, "added_tokens")));
        QUELL_TRY_VOID(read_merges(member(member(file, "model"), "merges")));
        QUELL_TRY(made_.unknown, id_of(member(member(file, "model"), "unk_token"), "unk_token"));
        QUELL_TRY_VOID(read_start(member(file, "post_processor")));
        if (!config_text.empty()) {
            QUELL_TRY(const json config, parsed(config_text, "the tokenizer_config"));
            QUELL_TRY_VOID(read_config(config));
        }
        return std::move(made_);
    }

private:
    template <typename... Parts>
    [[nodiscard]] quell::error bad(const Parts&... parts) const {
        return quell::io::failure(quell::errc::bad_format, name_, parts...);
    }
    [[nodiscard]] quell::error unsupported(std::string_view what, const json& value) const {
        return quell::io::failure(quell::errc::unsupported, name_, what, " ", quell::io::quoted(shown(value)),
                                  " is not supported");
    }
    static std::string shown(const json& value) {
        return value.is_string() ? value.get<std::string>()
                                 : value.dump(-1, ' ', false, json::error_handler_t::replace);
    }

    [[nodiscard]] quell::result<json> parsed(std::string_view text, std::string_view what) const {
        QUELL_TRY(json value, quell::io::parse_json(text, name_));
        if (!value.is_object()) {
            return bad(what, " is not a JSON object");
        }
        return value;
    }

    /// Null where `value` is no object or lacks the key.
    static const json& member(const json& value, std::string_view key) {
        static const json null;
        const auto found = value.find(key);
        return found != value.end() ? *found : null;
    }
    static bool flag(const json& value, std::string_view key, bool otherwise) {
        const json& found = member(value, key);
        return found.is_boolean() ? found.get<bool>() : otherwise;
    }
    static std::string text_of(const json& value) {
        return value.is_string() ? value.get<std::string>() : std::string();
    }

    quell::result<void> read_normalizer(const json& normalizer) const {
        if (!normalizer.is_null() && text_of(member(normalizer, "type")) != "NFC") {
            return unsupported("the normalizer", normalizer);
        }
        return {};
    }

    [[nodiscard]] quell::result<split_pattern> read_split(const json& pre_tokenizer) const {
        const json& sequence = member(pre_tokenizer, "pretokenizers");
        const std::vector<json> steps =
            sequence.is_array() ? sequence.get<std::vector<json>>() : std::vector<json>{pre_tokenizer};
        const bool byte_level = !steps.empty() && text_of(member(steps.back(), "type")) == "ByteLevel" &&
                                !flag(steps.back(), "add_prefix_space", true);
        const bool own_pattern = byte_level && flag(steps.back(), "use_regex", true);
        if (own_pattern && steps.size() == 1) {
            return split_pattern::gpt2;
        }
        if (own_pattern && steps.size() == 2 && text_of(member(steps[0], "type")) == "Digits" &&
            flag(steps[0], "individual_digits", false)) {
            return split_pattern::smollm;
        }
        if (byte_level && !own_pattern && steps.size() == 2) {
            if (const auto known = known_pattern(steps[0])) {
                return *known;
            }
        }
        return unsupported("the pre_tokenizer", pre_tokenizer);
    }

    static std::optional<split_pattern> known_pattern(const json& step) {
        struct pattern {
            std::string_view regex;
            split_pattern split;
        };
        static constexpr std::array<pattern, 3> patterns{{
            {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", split_pattern::gpt2},
            {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
             R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
             split_pattern::llama3},
            {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
             R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
             split_pattern::qwen2},
        }};
        if (text_of(member(step, "type")) != "Split" || text_of(member(step, "behavior")) != "Isolated" ||
            flag(step, "invert", false)) {
            return std::nullopt;
        }
        const std::string regex = text_of(member(member(step, "pattern"), "Regex"));
        for (const pattern& known : patterns) {
            if (regex == known.regex) {
                return known.split;
            }
        }
        return std::nullopt;
    }

    quell::result<void> read_model(const json& model) {
        if (const json& type = member(model, "type"); text_of(type) != "BPE") {
            return unsupported("the model type", type);
        }
        for (const std::string_view key :
             {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"}) {
            const json& value = member(model, key);
            if (!value.is_null() && value != false && value != 0.0 && value != "") {
                return unsupported(key, value);
            }
        }
        made_.whole_pieces = flag(model, "ignore_merges", false);
        return {};
    }

    /// Ids must be 0 ... n - 1, each once; an added token may repeat an entry of the vocabulary and then explains it.
    quell::result<void> read_tokens(const json& vocab, const json& added) {
        if (!vocab.is_object() || !(added.is_array() || added.is_null())) {
            return bad("model.vocab or added_tokens is missing or of the wrong type");
        }
        made_.tokens.resize(vocab.size() + count_new(vocab, added));
        std::vector<bool> given(made_.tokens.size());
        for (const auto& [text, id] : vocab.items()) {
            QUELL_TRY_VOID(put(text, id, token_kind::normal, given));
        }
        for (const json& extra : added) {
            const std::string text = text_of(member(extra, "content"));
            for (const std::string_view key : {"lstrip", "rstrip", "single_word"}) {
                if (flag(extra, key, false)) {
                    return unsupported(std::string(key) + " of the added token", text);
                }
            }
            const json& id = member(extra, "id");
            if (const json& same = member(vocab, text); same.is_number_unsigned() && same == id) {
                given[same.get<std::size_t>()] = false;
            }
            QUELL_TRY_VOID(
                put(text, id, flag(extra, "special", false) ? token_kind::control : token_kind::user_defined, given));
        }
        return {};
    }

    static std::size_t count_new(const json& vocab, const json& added) {
        std::size_t count = 0;
        for (const json& extra : added) {
            count += vocab.contains(text_of(member(extra, "content"))) ? 0U : 1U;
        }
        return count;
    }

    quell::result<void> put(const std::string& text, const json& id, token_kind kind, std::vector<bool>& given) {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= given.size()) {
            return bad("token ", quell::io::quoted(text), " has the id ", shown(id), "; ", given.size(),
                       " tokens have ids from 0 up without a gap");
        }
        const auto index = id.get<std::size_t>();
        if (given[index]) {
            return bad("the id ", index, " is given to both ", quell::io::quoted(made_.tokens[index].text), " and ",
                       quell::io::quoted(text));
        }
        given[index] = true;
        made_.tokens[index] = {text, kind};
        return {};
    }

    quell::result<void> read_merges(const json& merges) {
        if (!merges.is_array()) {
            return bad("model.merges is not an array");
        }
        for (const json& merge : merges) {
            const std::size_t rank = made_.merges.size();
            if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
                made_.merges.push_back({merge[0].get<std::string>(), merge[1].get<std::string>()});
                continue;
            }
            auto rule = parse_merge(text_of(merge), rank);
            if (!rule) {
                return rule.error().in(name_);
            }
            made_.merges.push_back(*std::move(rule));
        }
        return {};
    }

    /// The id of a token that another place names, as text or as an object with `content`.
    [[nodiscard]] quell::result<std::optional<std::uint64_t>> id_of(const json& value, std::string_view role) const {
        const std::string text = value.is_object() ? text_of(member(value, "content")) : text_of(value);
        if (text.empty()) {
            return std::optional<std::uint64_t>();
        }
        for (std::size_t id = 0; id < made_.tokens.size(); ++id) {
            if (made_.tokens[id].text == text) {
                return std::optional<std::uint64_t>(id);
            }
        }
        return bad(role, " ", quell::io::quoted(text), " is not in the vocabulary");
    }

    /// A template that puts a special token before a single text, as Llama 3 has it.
    quell::result<void> read_start(const json& post_processor) {
        if (const json& steps = member(post_processor, "processors"); steps.is_array()) {
            for (const json& step : steps) {
                QUELL_TRY_VOID(read_start(step));
            }
            return {};
        }
        const json& single = member(post_processor, "single");
        if (!single.is_array() || single.empty()) {
            return {};
        }
        QUELL_TRY(made_.bos, id_of(member(member(single[0], "SpecialToken"), "id"), "the post_processor's token"));
        made_.add_bos = made_.bos.has_value();
        return {};
    }

    quell::result<void> read_config(const json& config) {
        struct role {
            std::string_view key;
            std::optional<std::uint64_t>& id;
        };
        for (const role& r :
             {role{"bos_token", made_.bos}, role{"eos_token", made_.eos}, role{"unk_token", made_.unknown}}) {
            QUELL_TRY(const auto id, id_of(member(config, r.key), r.key));
            r.id = id ? id : r.id;
        }
        made_.add_bos = flag(config, "add_bos_token", made_.add_bos) && made_.bos;
        return {};
    }

    const std::string& name_;
    vocabulary made_;
};

}  // namespace detail

/// `name` stands in front of messages; `config_json` is the text of tokenizer_config.json, or empty.
[[nodiscard]] inline quell::result<vocabulary> read_vocabulary(std::string_view json, const std::string& name,
                                                               std::string_view config_json) {
    return detail::vocabulary_json_reader(name).read(json, config_json);
}

}  // namespace transformer
