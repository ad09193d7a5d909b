// SPDX-License-Identifier: MIT
/// @file
/// A linear with its backward pass, and what the network asks of any other module that takes its place: one with
/// quantized weights and a side branch that is tuned, for example.
#pragma once

#include "toy/parameters.hpp"
#include "toy/product.hpp"

#include <concepts>
#include <string>
#include <utility>

namespace toy {

/// What a linear of the network must offer. `forward` may keep the view of x: it stays valid until `backward`, which
/// adds dL/dx to dx and the gradients of the module's own parameters to theirs.
template <typename L, typename T>
concept linear_module = requires(L& l, const L& c, quell::matrix_view<const T> in, quell::matrix_view<T> out,
                                 const quell::executor& threads) {
    { c.name() } -> std::convertible_to<const std::string&>;
    { c.input() } -> std::convertible_to<quell::matrix_view<const T>>;
    l.forward(in, out, threads);
    l.backward(in, out, threads);
    l.for_each_parameter([](parameter<T>&) {});
};

/// y = x W^T with W [out, in].
template <typename T>
class linear {
public:
    /// `deviation` is that of the starting weights.
    linear(std::string name, std::size_t out, std::size_t in, double deviation, quell::rng& random)
        : weight_(std::move(name), out, in) {
        fill_normal(weight_, deviation, random);
    }

    [[nodiscard]] const std::string& name() const { return weight_.name; }
    [[nodiscard]] quell::matrix_view<const T> input() const { return x_; }

    /// x [tokens, in], y [tokens, out].
    void forward(quell::matrix_view<const T> x, quell::matrix_view<T> y, const quell::executor& threads) {
        x_ = x;
        operand_.pack_transposed(weight_.value.view());
        multiply(x, operand_, y, into::overwrite, threads);
    }

    /// dy [tokens, out], dx [tokens, in]: dx += dy W, dW += dy^T x.
    void backward(quell::matrix_view<const T> dy, quell::matrix_view<T> dx, const quell::executor& threads) {
        operand_.pack(weight_.value.view());
        multiply(dy, operand_, dx, into::add, threads);
        add_outer_product(dy, x_, weight_.gradient.view(), operand_, threads);
    }

    template <typename F>
    void for_each_parameter(F f) {
        f(weight_);
    }

    /// dw += dy^T x; `operand` is scratch.
    static void add_outer_product(quell::matrix_view<const T> dy, quell::matrix_view<const T> x,
                                  quell::matrix_view<T> dw, packed<T>& operand, const quell::executor& threads) {
        quell::matrix<T> by_output(dy.cols(), dy.rows());
        transpose(dy, by_output.view(), threads);
        operand.pack(x);
        multiply(quell::matrix_view<const T>(by_output.view()), operand, dw, into::add, threads);
    }

private:
    parameter<T> weight_;
    packed<T> operand_;
    quell::matrix_view<const T> x_;
};

}  // namespace toy
