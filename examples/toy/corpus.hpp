// SPDX-License-Identifier: MIT
/// @file
/// The text of the toy models, made from a seed by this program: plain ASCII in which much of what comes next can be
/// known only by looking back. A verb agrees with a subject before a clause, names and things made up in one sentence
/// return in the next, brackets close in the order in which they were opened, strings are copied, sums come out right.
/// Only integers of `quell::rng` decide, so the bytes are the same on every platform.
#pragma once

#include "quell/core/rng.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace toy {

/// The text that models are measured on and the one that quantizers calibrate with; training never sees either.
inline constexpr std::uint64_t evaluation_seed = 2;
inline constexpr std::uint64_t calibration_seed = 3;
inline constexpr std::uint64_t first_training_seed = 1000;
/// How much of the evaluation text is the built-in text.
inline constexpr std::size_t builtin_bytes = 16384;

/// A network learns to look back from copies alone much sooner than from text in which they are rare; so for the rest.
enum class material {
    mixed,      ///< the text
    exercises,  ///< the text without its stories
    copies,     ///< only its copied strings
};

namespace detail {

struct countable {
    std::string_view one;
    std::string_view many;
};

inline constexpr std::array<countable, 12> nouns{{{"fox", "foxes"},
                                                  {"wolf", "wolves"},
                                                  {"child", "children"},
                                                  {"baker", "bakers"},
                                                  {"mouse", "mice"},
                                                  {"king", "kings"},
                                                  {"witch", "witches"},
                                                  {"sailor", "sailors"},
                                                  {"goose", "geese"},
                                                  {"thief", "thieves"},
                                                  {"farmer", "farmers"},
                                                  {"owl", "owls"}}};
inline constexpr std::array<countable, 10> verbs{{{"sleeps", "sleep"},
                                                  {"sings", "sing"},
                                                  {"waits", "wait"},
                                                  {"is happy", "are happy"},
                                                  {"was here", "were here"},
                                                  {"has a plan", "have a plan"},
                                                  {"runs home", "run home"},
                                                  {"looks up", "look up"},
                                                  {"knows the way", "know the way"},
                                                  {"hides", "hide"}}};
inline constexpr std::array<std::string_view, 8> adjectives{"old",   "small",  "brave", "red",
                                                            "quiet", "clever", "cold",  "golden"};
inline constexpr std::array<std::string_view, 10> things{"lamp", "sword", "map",  "ring", "drum",
                                                         "coat", "key",   "boat", "book", "crown"};
inline constexpr std::array<std::string_view, 6> places{"tower", "river", "market", "forest", "bridge", "mill"};
inline constexpr std::array<std::string_view, 20> syllables{"ka",  "mi", "ro",  "ven", "tal", "shu", "bel",
                                                            "dor", "fi", "gan", "lo",  "na",  "per", "quo",
                                                            "sil", "tu", "wex", "yar", "zim", "hob"};

/// Writes one paragraph; which one, and every choice in it, comes from the generator. No expression draws twice: the
/// order would be the compiler's choice.
class paragraph {
public:
    explicit paragraph(quell::rng choice) : choice_(choice) {}

    [[nodiscard]] std::string write(material wanted) {
        const std::size_t kind = choice_.below(wanted == material::mixed ? 20 : 13);
        if (wanted == material::copies || kind < 5) {
            copies();
        } else if (kind < 7) {
            brackets();
        } else if (kind < 10) {
            arithmetic();
        } else if (kind < 13) {
            lookups();
        } else {
            story();
        }
        return std::move(out_) + "\n";
    }

private:
    template <typename Words>
    const auto& one_of(const Words& words) {
        return words[choice_.below(words.size())];
    }
    std::string letters(std::size_t n) {
        std::string word;
        for (std::size_t i = 0; i < n; ++i) {
            word += static_cast<char>('a' + choice_.below(26));
        }
        return word;
    }
    std::string name() {
        std::string made(one_of(syllables));
        for (std::size_t more = 1 + choice_.below(2); more > 0; --more) {
            made += one_of(syllables);
        }
        made[0] = static_cast<char>(made[0] - 'a' + 'A');
        return made;
    }
    void add(std::string_view a, std::string_view b = {}, std::string_view c = {}, std::string_view d = {}) {
        out_.append(a).append(b).append(c).append(d);
    }

    void story() {
        const std::array<std::string, 2> cast{name(), name()};
        for (std::size_t left = 3 + choice_.below(4); left > 0; --left) {
            const std::size_t who = choice_.below(2);
            switch (choice_.below(4)) {
                case 0: gift(cast[who], cast[1 - who]); break;
                case 1: echo(cast[who], cast[1 - who]); break;
                default: agreement(cast[who]); break;
            }
            add(left > 1 ? " " : "");
        }
    }

    /// The second sentence repeats the receiver, the adjective and the thing of the first.
    void gift(std::string_view giver, std::string_view receiver) {
        std::string thing(one_of(adjectives));
        thing.append(" ").append(one_of(things));
        add(giver, " gave the ", thing, " to ");
        add(receiver, ". Now ", receiver, " has the ");
        add(thing, " and ", giver, " has nothing.");
    }

    void echo(std::string_view first, std::string_view second) {
        std::string words(one_of(things));
        words.append(" ").append(one_of(places));
        words.append(" ").append(one_of(adjectives));
        add(first, " said \"", words, "\". ");
        add("So ", second, " said \"", words);
        add("\" too.");
    }

    /// The noun inside the clause has a number of its own and misleads whoever looks at the last noun.
    void agreement(std::string_view witness) {
        const bool many = choice_.below(2) == 1;
        const countable& subject = one_of(nouns);
        const countable& verb = one_of(verbs);
        add("The ", one_of(adjectives), " ", many ? subject.many : subject.one);
        if (choice_.below(4) != 0) {
            const countable& other = one_of(nouns);
            add(" that ", witness, " saw with the ", choice_.below(2) == 1 ? other.many : other.one);
        }
        if (choice_.below(2) == 1) {
            add(" at the ", one_of(places));
        }
        add(" ", many ? verb.many : verb.one, ".");
    }

    void brackets() {
        static constexpr std::string_view open = "([{<";
        static constexpr std::string_view close = ")]}>";
        std::string pending;
        for (std::size_t left = 20 + choice_.below(40); left > 0; --left) {
            const std::size_t act = choice_.below(8);
            if (act < 3 && pending.size() < 8) {
                const std::size_t kind = choice_.below(open.size());
                out_ += open[kind];
                pending += close[kind];
            } else if (act < 6 && !pending.empty()) {
                out_ += pending.back();
                pending.pop_back();
            } else {
                out_ += "xyz"[choice_.below(3)];
            }
        }
        out_.append(pending.rbegin(), pending.rend());
    }

    /// After the first time every letter is known from the one before it.
    void copies() {
        for (std::size_t left = 1 + choice_.below(3); left > 0; --left) {
            const std::string word = letters(4 + choice_.below(8));
            add("copy ", word, ":");
            for (std::size_t again = 2 + choice_.below(3); again > 0; --again) {
                add(" ", word);
            }
            add(left > 1 ? "; " : ".");
        }
    }

    void arithmetic() {
        for (std::size_t left = 4 + choice_.below(5); left > 0; --left) {
            const std::size_t a = choice_.below(10);
            const std::size_t b = choice_.below(10);
            if (choice_.below(2) == 0) {
                equation(a, '+', b, a + b);
            } else {
                equation(a + b, '-', b, a);
            }
            add(left > 1 ? ", " : ".");
        }
    }
    void equation(std::size_t a, char sign, std::size_t b, std::size_t value) {
        add(std::to_string(a), " ");
        out_ += sign;
        add(" ", std::to_string(b), " = ", std::to_string(value));
    }

    /// Gives values to letters, then asks for them in another order.
    void lookups() {
        const std::size_t n = 3 + choice_.below(4);
        std::string keys;
        std::string values;
        while (keys.size() < n) {
            const std::string key = letters(1);
            if (keys.find(key) == std::string::npos) {
                keys += key;
                values += static_cast<char>('0' + choice_.below(10));
                add(keys.size() == 1 ? "let " : "", key, "=", std::string_view(values).substr(values.size() - 1));
                add(keys.size() < n ? ", " : ";");
            }
        }
        for (std::size_t asked = 0; asked < n + 2; ++asked) {
            const std::size_t i = choice_.below(n);
            add(" ", std::string_view(keys).substr(i, 1), "=", std::string_view(values).substr(i, 1));
            add(asked + 1 < n + 2 ? "," : ".");
        }
    }

    quell::rng choice_;
    std::string out_;
};

}  // namespace detail

/// The first `bytes` bytes of the text of this seed; a longer text starts with the shorter one.
[[nodiscard]] inline std::string text(std::uint64_t seed, std::size_t bytes, material wanted = material::mixed) {
    std::string all;
    for (std::uint64_t p = 0; all.size() < bytes; ++p) {
        all += detail::paragraph(quell::rng(seed, p)).write(wanted);
    }
    all.resize(bytes);
    return all;
}

}  // namespace toy
