// SPDX-License-Identifier: MIT
#include "quell/rounding/awq.hpp"

#include "quell/core/thread_pool.hpp"
#include "quell/rounding/rtn.hpp"
#include "reference/awq.hpp"
#include "rounding/inputs.hpp"
#include "rounding/samples.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <vector>

namespace {

using quell::code_set;
using quell::granularity;
using quell::matrix;
using quell::quantized;
using quell::scheme;
using quell::zero_type;
using quell::rounding::awq;

constexpr scheme awq_form(int bits, std::size_t group) {
    return {.bits = bits,
            .codes = code_set::zero_point,
            .reach = granularity::group,
            .group = group,
            .scales = quell::scale_type::f16,
            .zeros = zero_type::integer};
}

/// One group of a row, as the oracle takes it, and what the solver made of it.
struct awq_group {
    std::vector<float> values;
    reference::group_codes codes;
    std::vector<std::vector<double>> gram;

    awq_group(const matrix<float>& w, const quantized& q, const matrix<double>& all, std::size_t r, std::size_t g) {
        const std::size_t begin = g * q.form.group;
        codes.scale = q.scales(r, g);
        codes.zero = q.zeros.rows() == 0 ? 0 : static_cast<int>(q.zeros(r, g));
        for (std::size_t i = begin; i < std::min(begin + q.form.group, w.cols()); ++i) {
            values.push_back(w(r, i));
            codes.codes.push_back(q.codes(r, i));
            gram.emplace_back();
            for (std::size_t j = begin; j < std::min(begin + q.form.group, w.cols()); ++j) {
                gram.back().push_back(all(i, j));
            }
        }
    }
};

TEST(Awq, ClipsAsWellAsTheBestOfAllRatios) {
    const matrix<float> w = sample(20, 80);
    const matrix<double> gram = gram_of(80, 300, 2);
    for (const int bits : {2, 3, 4, 8}) {
        for (const scheme& form :
             {awq_form(bits, 32), scheme{.bits = bits, .reach = granularity::group, .group = 32}}) {
            const auto q = awq{}.solve(w.view(), form, {.gram = gram.view()});
            ASSERT_TRUE(q) << q.error().message;
            for (std::size_t r = 0; r < w.rows(); ++r) {
                for (std::size_t g = 0; g < q->scales.cols(); ++g) {
                    const awq_group group(w, *q, gram, r, g);
                    const double least = reference::awq_least_loss(group.values, form, group.gram, 20, 10);
                    EXPECT_LE(reference::awq_loss(group.values, group.codes, group.gram), least * (1 + 1e-9) + 1e-30)
                        << name(form) << ", row " << r << ", group " << g;
                }
            }
        }
    }
}

TEST(Awq, OneCandidateIsPlainRoundingToNearest) {
    const matrix<float> w = sample(20, 80);
    const matrix<double> gram = gram_of(80, 300, 2);
    const scheme form = awq_form(4, 32);
    const auto plain = quell::rounding::rtn{quell::rounding::no_clip_search}.solve(w.view(), form);
    const auto one = awq{.candidates = 1}.solve(w.view(), form, {.gram = gram.view()});
    ASSERT_TRUE(plain && one);
    EXPECT_TRUE(same(*plain, *one));
}

TEST(Awq, DoesNotDependOnThreads) {
    quell::thread_pool pool(3);
    const matrix<float> w = sample(70, 80);
    const matrix<double> gram = gram_of(80, 300, 2);
    const scheme form = awq_form(3, 32);
    const auto one = awq{}.solve(w.view(), form, {.gram = gram.view()});
    const auto three = awq{}.solve(w.view(), form, {.gram = gram.view()}, quell::executor(pool));
    ASSERT_TRUE(one && three);
    EXPECT_TRUE(same(*one, *three));
}

TEST(Awq, NamesWhatIsWrong) {
    const matrix<float> w = sample(4, 80);
    const matrix<double> gram = gram_of(80, 300, 2);
    const matrix<double> small = gram_of(60, 300, 2);
    const auto code = [&](const scheme& form, const matrix<double>& g) {
        return awq{}.solve(w.view(), form, {.gram = g.view()}).error().code;
    };
    EXPECT_EQ(code(awq_form(4, 32), {}), quell::errc::not_found);
    EXPECT_EQ(code(awq_form(4, 32), small), quell::errc::bad_shape);
    EXPECT_EQ(code({.bits = 4, .codes = code_set::zero_point, .zeros = zero_type::real}, gram),
              quell::errc::unsupported);
    matrix<float> bad = sample(4, 80);
    bad(2, 7) = NAN;
    EXPECT_EQ(awq{}.solve(bad.view(), awq_form(4, 32), {.gram = gram.view()}).error().code, quell::errc::bad_value);
}

TEST(Awq, HasTheSameCodesOnEveryCompiler) {
    const matrix<float> w = sample(6, 80, 11);
    const matrix<float> x = sample(100, 80, 5);
    matrix<double> gram(80, 80);  // products of floats are exact
    for (std::size_t t = 0; t < x.rows(); ++t) {
        for (std::size_t i = 0; i < 80; ++i) {
            for (std::size_t j = 0; j < 80; ++j) {
                gram(i, j) += double{x(t, i)} * double{x(t, j)};
            }
        }
    }
    code_hash hash;
    for (const int bits : {2, 3, 4, 8}) {
        const auto q = awq{}.solve(w.view(), awq_form(bits, 32), {.gram = gram.view()});
        ASSERT_TRUE(q);
        hash.add(*q);
    }
    EXPECT_EQ(hash.value, 2663032036592173357U);
}

}  // namespace
