// SPDX-License-Identifier: MIT
/// @file
/// The byte-level byte-pair encoding of GPT-2, SmolLM2, Llama 3 and Qwen2: special tokens are cut out, the text between
/// is cut into pieces (pre_split.hpp), and in each piece single bytes are merged by rank (byte_pairs.hpp).
/// Source   Sennrich, Haddow, Birch, arXiv 1508.07909; the byte alphabet is GPT-2's.
#pragma once

#include "quell/core/result.hpp"
#include "transformer/byte_pairs.hpp"
#include "transformer/pre_split.hpp"
#include "transformer/vocabulary.hpp"
#include "transformer/vocabulary_gguf.hpp"
#include "transformer/vocabulary_json.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace transformer {

struct encode_options {
    bool parse_special = false;  ///< control tokens that are written out in the text become their ids
};

class tokenizer {
public:
    /// Checks a vocabulary and indexes it.
    /// Errors   bad_format, naming the number: a normal token that is empty or not in the byte alphabet, a token that
    ///          stands twice, a merge that stands twice or names an absent token; bad_value: a special id out of range.
    static quell::result<tokenizer> make(const vocabulary& source) {
        tokenizer made;
        made.split_ = source.split;
        made.whole_pieces_ = source.whole_pieces;
        made.add_bos_ = source.add_bos;
        made.byte_ids_.fill(absent);
        QUELL_TRY_VOID(made.add_tokens(source.tokens));
        QUELL_TRY_VOID(made.add_merges(source.merges));
        QUELL_TRY(made.bos_, made.checked("bos", source.bos));
        QUELL_TRY(made.eos_, made.checked("eos", source.eos));
        QUELL_TRY(made.unknown_, made.checked("unknown", source.unknown));
        return made;
    }

    /// The metadata of a GGUF file. Errors of the file as well as those of make(), which then name the file.
    static quell::result<tokenizer> from_gguf(const quell::io::gguf_metadata& file) {
        QUELL_TRY(const vocabulary read, read_vocabulary(file));
        return named(make(read), file.path());
    }

    /// The text of a tokenizer.json, and of the tokenizer_config.json beside it if there is one: only the latter says
    /// which token ends a text. `name` stands in front of messages.
    static quell::result<tokenizer> from_json(std::string_view json, const std::string& name,
                                              std::string_view config_json = {}) {
        QUELL_TRY(const vocabulary read, read_vocabulary(json, name, config_json));
        return named(make(read), name);
    }

    /// 256 tokens, one a byte.
    static tokenizer bytes() {
        vocabulary v{.split = split_pattern::none};
        for (std::size_t byte = 0; byte < 256; ++byte) {
            v.tokens.push_back({in_byte_alphabet(std::string(1, static_cast<char>(static_cast<unsigned char>(byte))))});
        }
        auto made = make(v);
        QUELL_ENSURES(made.has_value(), "256 tokens, one a byte, are a vocabulary");
        return *std::move(made);
    }

    /// The vocabulary that make() gives this tokenizer for.
    [[nodiscard]] vocabulary words() const {
        vocabulary v{.split = split_, .whole_pieces = whole_pieces_, .add_bos = add_bos_};
        for (const std::string& text : texts_) {
            v.tokens.push_back({text, token_kind::unused});
        }
        for (const auto& [bytes, id] : ids_) {
            v.tokens[static_cast<std::size_t>(id)] = {in_byte_alphabet(bytes), token_kind::normal};
        }
        for (const std::vector<special_token>& same_start : specials_) {
            for (const special_token& special : same_start) {
                v.tokens[static_cast<std::size_t>(special.id)].kind =
                    special.only_when_asked ? token_kind::control : token_kind::user_defined;
            }
        }
        const auto text_of = [&](std::int32_t id) { return v.tokens[static_cast<std::size_t>(id)].text; };
        for (const byte_pairs::rule& rule : pairs_.rules()) {
            v.merges.push_back({text_of(rule.left), text_of(rule.right)});
        }
        v.bos = bos_;
        v.eos = eos_;
        v.unknown = unknown_;
        return v;
    }

    /// Errors   bad_format where the text is not UTF-8, unsupported where a byte has no token and the vocabulary no
    ///          unknown token; both give the offset.
    /// Cost     O(n log n) for any text of n bytes.
    [[nodiscard]] quell::result<std::vector<std::int32_t>> encode(std::string_view utf8,
                                                                  const encode_options& options = {}) const {
        if (const auto bad = first_invalid_utf8(utf8)) {
            return quell::error{quell::errc::bad_format, "the text is not UTF-8: byte " + std::to_string(*bad) +
                                                             " is " + hexadecimal(utf8[*bad])};
        }
        std::vector<std::int32_t> ids;
        for (std::size_t at = 0; at < utf8.size();) {
            const found_special special = next_special(utf8, at, options);
            while (at < special.begin) {
                const std::size_t length = first_piece(utf8.substr(at, special.begin - at), split_);
                QUELL_TRY_VOID(encode_piece(utf8, at, length, ids));
                at += length;
            }
            if (special.token != nullptr) {
                ids.push_back(special.token->id);
                at += special.token->text.size();
            }
        }
        return ids;
    }

    /// The bytes behind the ids; special tokens as their text. An id without a token gives nothing, since a model may
    /// have more rows than the vocabulary. Not always UTF-8: a token may end inside a character.
    [[nodiscard]] std::string decode(std::span<const std::int32_t> ids) const {
        std::string text;
        for (const std::int32_t id : ids) {
            if (id >= 0 && static_cast<std::size_t>(id) < texts_.size()) {
                text += texts_[static_cast<std::size_t>(id)];
            }
        }
        return text;
    }

    [[nodiscard]] std::size_t size() const { return texts_.size(); }
    [[nodiscard]] std::optional<std::int32_t> bos() const { return bos_; }
    [[nodiscard]] std::optional<std::int32_t> eos() const { return eos_; }
    /// Whether the model expects bos() in front; encode() leaves that to the caller.
    [[nodiscard]] bool add_bos() const { return add_bos_; }

private:
    static constexpr std::int32_t absent = -1;

    struct special_token {
        std::string text;
        std::int32_t id;
        bool only_when_asked;
    };
    struct found_special {
        std::size_t begin;
        const special_token* token;  ///< nullptr: none, and `begin` is the end of the text
    };

    tokenizer() = default;

    static quell::error bad(const std::string& what) { return {quell::errc::bad_format, what}; }

    static std::string hexadecimal(char byte) {
        constexpr std::string_view digits = "0123456789abcdef";
        const auto value = static_cast<unsigned char>(byte);
        return {'0', 'x', digits[value >> 4U], digits[value & 15U]};
    }

    static quell::result<tokenizer> named(quell::result<tokenizer> made, const std::string& name) {
        return made ? std::move(made) : made.error().in(name);
    }

    quell::result<void> add_tokens(const std::vector<token>& tokens) {
        constexpr std::size_t most_tokens = std::size_t{1} << 24U;
        if (tokens.empty() || tokens.size() > most_tokens) {
            return bad("a vocabulary of " + std::to_string(tokens.size()) + " tokens");
        }
        texts_.reserve(tokens.size());
        ids_.reserve(tokens.size());
        std::unordered_map<std::string, std::int32_t> special_ids;
        for (const token& t : tokens) {
            QUELL_TRY_VOID(add_token(t, t.kind == token_kind::normal ? ids_ : special_ids));
        }
        for (std::vector<special_token>& same_start : specials_) {
            std::sort(same_start.begin(), same_start.end(),
                      [](const auto& a, const auto& b) { return a.text.size() > b.text.size(); });
        }
        return {};
    }

    /// `known` holds the tokens from which this one must differ.
    quell::result<void> add_token(const token& t, std::unordered_map<std::string, std::int32_t>& known) {
        const auto id = static_cast<std::int32_t>(texts_.size());
        const std::string label = "token " + std::to_string(id) + " " + quell::io::quoted(t.text);
        const auto bytes = t.kind == token_kind::normal ? bytes_behind(t.text) : std::optional(t.text);
        if (!bytes) {
            return bad(label + " is not written in the byte alphabet");
        }
        texts_.push_back(*bytes);
        if (t.kind == token_kind::unused) {
            return {};
        }
        if (bytes->empty()) {
            return bad(label + " is empty");
        }
        if (const auto [twin, fresh] = known.emplace(*bytes, id); !fresh) {
            return bad(label + " repeats token " + std::to_string(twin->second));
        }
        index(t.kind, *bytes, id);
        return {};
    }

    void index(token_kind kind, const std::string& bytes, std::int32_t id) {
        const auto first = static_cast<unsigned char>(bytes[0]);
        if (kind != token_kind::normal) {
            specials_[first].push_back({bytes, id, kind == token_kind::control});
        } else if (bytes.size() == 1) {
            byte_ids_[first] = id;
        }
    }

    quell::result<void> add_merges(const std::vector<merge_rule>& merges) {
        const auto find = [this](const std::string& text) {
            const std::optional<std::string> bytes = bytes_behind(text);
            const auto found = bytes ? ids_.find(*bytes) : ids_.end();
            return found != ids_.end() ? found->second : absent;
        };
        for (std::size_t rank = 0; rank < merges.size(); ++rank) {
            const std::array<std::string, 3> parts = {merges[rank].left, merges[rank].right,
                                                      merges[rank].left + merges[rank].right};
            std::array<std::int32_t, 3> ids{};
            for (std::size_t i = 0; i < parts.size(); ++i) {
                ids[i] = find(parts[i]);
                if (ids[i] == absent) {
                    return bad("merge " + std::to_string(rank) + ": no token is " + quell::io::quoted(parts[i]));
                }
            }
            if (!pairs_.add(ids[0], ids[1], ids[2])) {
                return bad("merge " + std::to_string(rank) + ": " + quell::io::quoted(parts[0] + " " + parts[1]) +
                           " stands twice");
            }
        }
        return {};
    }

    [[nodiscard]] quell::result<std::optional<std::int32_t>> checked(std::string_view role,
                                                                     std::optional<std::uint64_t> id) const {
        if (id && *id >= texts_.size()) {
            return quell::error{quell::errc::bad_value, std::string(role) + " token " + std::to_string(*id) +
                                                            " of a vocabulary of " + std::to_string(texts_.size())};
        }
        return id ? std::optional(static_cast<std::int32_t>(*id)) : std::nullopt;
    }

    /// The first special token at or after `at`, the longest of those that begin there.
    [[nodiscard]] found_special next_special(std::string_view text, std::size_t at,
                                             const encode_options& options) const {
        for (; at < text.size(); ++at) {
            for (const special_token& special : specials_[static_cast<unsigned char>(text[at])]) {
                if ((options.parse_special || !special.only_when_asked) && text.substr(at).starts_with(special.text)) {
                    return {at, &special};
                }
            }
        }
        return {text.size(), nullptr};
    }

    quell::result<void> encode_piece(std::string_view text, std::size_t begin, std::size_t length,
                                     std::vector<std::int32_t>& ids) const {
        const std::string_view piece = text.substr(begin, length);
        if (const auto whole = whole_pieces_ ? ids_.find(std::string(piece)) : ids_.end(); whole != ids_.end()) {
            ids.push_back(whole->second);
            return {};
        }
        std::vector<std::int32_t> symbols;
        symbols.reserve(length);
        for (std::size_t i = 0; i < length; ++i) {
            const std::int32_t id = byte_ids_[static_cast<unsigned char>(piece[i])];
            if (id == absent && !unknown_) {
                return quell::error{quell::errc::unsupported, "byte " + std::to_string(begin + i) + " of the text is " +
                                                                  hexadecimal(piece[i]) +
                                                                  ", for which the vocabulary has no token"};
            }
            symbols.push_back(id == absent ? *unknown_ : id);
        }
        pairs_.merge(symbols);
        ids.insert(ids.end(), symbols.begin(), symbols.end());
        return {};
    }

    std::vector<std::string> texts_;                        ///< bytes by id
    std::unordered_map<std::string, std::int32_t> ids_;     ///< normal tokens by their bytes
    std::array<std::vector<special_token>, 256> specials_;  ///< by first byte, longest first
    std::array<std::int32_t, 256> byte_ids_{};
    byte_pairs pairs_;
    split_pattern split_ = split_pattern::none;
    bool whole_pieces_ = false;
    std::optional<std::int32_t> bos_;
    std::optional<std::int32_t> eos_;
    std::optional<std::int32_t> unknown_;
    bool add_bos_ = false;
};

}  // namespace transformer
