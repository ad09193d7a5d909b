// SPDX-License-Identifier: MIT
#include "gradient_check.hpp"
#include "quell/core/thread_pool.hpp"
#include "toy/train.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace {

const quell::executor serial;

toy::shape tiny_shape(toy::architecture form) {
    return {.form = form,
            .vocab = 11,
            .width = 8,
            .layers = 2,
            .heads = 2,
            .kv_heads = 1,
            .ff_width = 6,
            .context = 5,
            .norm_eps = 1e-5,
            .rope_base = 100.0};
}

const std::vector<std::uint8_t> inputs{1, 2, 3, 4, 5, 0, 10, 7, 7, 2};
const std::vector<std::uint8_t> targets{2, 3, 4, 5, 9, 10, 7, 7, 2, 1};
const toy::training_batch tiny_batch{.size = {.sequences = 2, .length = 5}, .inputs = inputs, .targets = targets};

class WholeNetwork : public testing::TestWithParam<toy::architecture> {};

TEST_P(WholeNetwork, HasTheGradientOfEveryParameter) {
    auto net = toy::make_network<double>(tiny_shape(GetParam()), 3);
    net.forward_backward(tiny_batch, serial);
    std::map<std::string, std::vector<double>> gradients;
    net.for_each_parameter([&](toy::parameter<double>& p) {
        gradients[p.name].assign(p.gradient.elements().begin(), p.gradient.elements().end());
    });
    const auto loss = [&] { return toy::cross_entropy(net.forward(inputs, tiny_batch.size, serial), targets, serial); };
    net.for_each_parameter([&](toy::parameter<double>& p) {
        toy_test::expect_gradient(p.value.elements(), gradients[p.name], loss, p.name);
    });
    EXPECT_EQ(gradients.size(), GetParam() == toy::architecture::swiglu ? 20U : 18U);
}

TEST_P(WholeNetwork, ShowsEveryLinearItsInputAndGradient) {
    auto net = toy::make_network<double>(tiny_shape(GetParam()), 3);
    std::map<std::string, quell::matrix<double>> observed;
    net.observe([&](const std::string& name, quell::matrix_view<const double> x, quell::matrix_view<const double> dy) {
        quell::matrix<double> gradient(dy.cols(), x.cols());  // dW = dy^T x
        for (std::size_t t = 0; t < x.rows(); ++t) {
            for (std::size_t o = 0; o < dy.cols(); ++o) {
                for (std::size_t i = 0; i < x.cols(); ++i) {
                    gradient(o, i) += dy(t, o) * x(t, i);
                }
            }
        }
        observed.emplace(name, std::move(gradient));
    });
    net.forward_backward(tiny_batch, serial);
    EXPECT_EQ(observed.size(), GetParam() == toy::architecture::swiglu ? 14U : 12U);
    net.for_each_parameter([&](toy::parameter<double>& p) {
        if (const auto found = observed.find(p.name); found != observed.end()) {
            for (std::size_t i = 0; i < p.gradient.elements().size(); ++i) {
                EXPECT_NEAR(found->second.elements()[i], p.gradient.elements()[i], 1e-12) << p.name;
            }
        }
    });
}

INSTANTIATE_TEST_SUITE_P(Toy, WholeNetwork, testing::Values(toy::architecture::swiglu, toy::architecture::gelu),
                         [](const auto& tested) {
                             return tested.param == toy::architecture::swiglu ? "swiglu" : "gelu";
                         });

toy::shape small_shape() {
    return {.width = 32, .layers = 2, .heads = 4, .kv_heads = 2, .ff_width = 44, .context = 64};
}

toy::train_options small_run(std::size_t steps, quell::executor threads) {
    return {.out = {},
            .steps = steps,
            .stages = {{0.5, toy::material::copies, {8, 32}}, {0.5, toy::material::mixed, {4, 64}}},
            .schedule = {.peak = 1e-2},
            .threads = threads};
}

TEST(Train, HasTheSameBitsForAnyNumberOfThreads) {
    std::vector<std::vector<float>> results;
    for (const std::size_t count : {1U, 2U, 4U}) {
        quell::thread_pool pool(count);
        auto net = toy::make_network<float>(small_shape(), 5);
        toy::train(net, small_run(4, quell::executor(pool)));
        std::vector<float>& all = results.emplace_back();
        net.for_each_parameter([&](toy::parameter<float>& p) {
            all.insert(all.end(), p.value.elements().begin(), p.value.elements().end());
        });
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
}

TEST(Train, LowersTheLoss) {
    auto net = toy::make_network<float>(small_shape(), 6);
    const toy::training_log log = toy::train(net, small_run(30, serial));
    ASSERT_EQ(log.losses.size(), 30U);
    EXPECT_NEAR(log.losses.front(), std::log(256.0), 0.5);
    EXPECT_LT(log.losses.back(), 3.6);
}

}  // namespace
