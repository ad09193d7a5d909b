// SPDX-License-Identifier: MIT
/// @file
/// The embedding table, which is the output head as well: both directions, both gradients into one matrix.
#pragma once

#include "toy/linear.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace toy {

template <typename T>
class tied_embedding {
public:
    tied_embedding(std::string name, std::size_t vocab, std::size_t width, double deviation, quell::rng& random)
        : table_(std::move(name), vocab, width) {
        fill_normal(table_, deviation, random);
    }

    /// x [tokens, width] = the rows of the table.
    void forward(std::span<const std::uint8_t> ids, quell::matrix_view<T> x) const {
        for (std::size_t t = 0; t < ids.size(); ++t) {
            std::ranges::copy(table_.value.row(ids[t]), x.row(t).data());
        }
    }

    /// Every task owns some columns and adds the tokens in order.
    void backward(std::span<const std::uint8_t> ids, quell::matrix_view<const T> dx, const quell::executor& threads) {
        for_row_blocks(dx.cols(), panel_width, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t t = 0; t < ids.size(); ++t) {
                const T* from = dx.row(t).data();
                T* to = table_.gradient.row(ids[t]).data();
                for (std::size_t c = begin; c < end; ++c) {
                    to[c] += from[c];
                }
            }
        });
    }

    /// logits [tokens, vocab] = hidden table^T. The view of hidden is kept.
    void head(quell::matrix_view<const T> hidden, quell::matrix_view<T> logits, const quell::executor& threads) {
        hidden_ = hidden;
        operand_.pack_transposed(table_.value.view());
        multiply(hidden, operand_, logits, into::overwrite, threads);
    }

    /// Writes dhidden, which may take the place of hidden.
    void head_backward(quell::matrix_view<const T> dlogits, quell::matrix_view<T> dhidden,
                       const quell::executor& threads) {
        linear<T>::add_outer_product(dlogits, hidden_, table_.gradient.view(), operand_, threads);
        operand_.pack(table_.value.view());
        multiply(dlogits, operand_, dhidden, into::overwrite, threads);
    }

    template <typename F>
    void for_each_parameter(F f) {
        f(table_);
    }

private:
    parameter<T> table_;
    packed<T> operand_;
    quell::matrix_view<const T> hidden_;
};

}  // namespace toy
