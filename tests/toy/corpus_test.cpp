// SPDX-License-Identifier: MIT
#include "toy/corpus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

std::uint64_t fnv1a(std::string_view bytes) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : bytes) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    }
    return hash;
}

TEST(Corpus, IsTheSameOnEveryPlatform) {
    EXPECT_EQ(fnv1a(toy::text(toy::evaluation_seed, toy::builtin_bytes)), 9460837136932241781U);
    EXPECT_EQ(fnv1a(toy::text(toy::first_training_seed + 1, 100000)), 4932241452074751463U);
}

TEST(Corpus, OfMoreBytesStartsWithTheShorterOne) {
    const std::string all = toy::text(7, 5000);
    for (const std::size_t n : {0U, 1U, 777U}) {
        EXPECT_EQ(toy::text(7, n), all.substr(0, n));
    }
}

TEST(Corpus, DiffersBetweenSeeds) {
    EXPECT_NE(toy::text(7, 500), toy::text(8, 500));
}

TEST(Corpus, IsPlainAscii) {
    const std::string all = toy::text(9, 20000);
    EXPECT_TRUE(std::ranges::all_of(all, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
}

/// Removes every kind of pair; "xyz" is filler.
bool closes(std::string_view line) {
    std::string open;
    for (const char c : line) {
        if (const std::size_t kind = std::string_view("([{<").find(c); kind != std::string_view::npos) {
            open += ")]}>"[kind];
        } else if (std::string_view(")]}>").find(c) != std::string_view::npos) {
            if (open.empty() || open.back() != c) {
                return false;
            }
            open.pop_back();
        }
    }
    return open.empty();
}

TEST(Corpus, ClosesItsBracketsCopiesItsWordsAndAddsUp) {
    const std::string all = toy::text(10, 200000);
    std::size_t copies = 0;
    std::size_t sums = 0;
    for (std::size_t begin = 0, end = all.find('\n'); end != std::string::npos;
         begin = end + 1, end = all.find('\n', begin)) {
        const std::string line = all.substr(begin, end - begin);
        EXPECT_TRUE(closes(line)) << line;
        char first[32];
        char second[32];
        copies += std::sscanf(line.c_str(), "copy %31[a-z]: %31[a-z]", first, second) == 2 ? 1U : 0U;
        EXPECT_TRUE(line.rfind("copy ", 0) != 0 || std::string_view(first) == second) << line;
        int a = 0;
        int b = 0;
        int c = 0;
        if (std::sscanf(line.c_str(), "%d + %d = %d", &a, &b, &c) == 3) {
            ++sums;
            EXPECT_EQ(a + b, c) << line;
        }
    }
    EXPECT_GT(copies, 50U);
    EXPECT_GT(sums, 20U);
}

}  // namespace
