// SPDX-License-Identifier: MIT
/// @file
/// One layer of the toy transformer: x += o(attention(q, k, v)), x += down(act(...)), each behind a norm. The linears
/// are of any type that `linear_module` describes.
#pragma once

#include "toy/attention.hpp"
#include "toy/feed_forward.hpp"
#include "toy/linear.hpp"
#include "toy/norm.hpp"
#include "toy/rope.hpp"
#include "toy/shape.hpp"

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

namespace toy {

/// Sees the input x and the gradient dL/dy of a linear, just before its backward pass.
template <typename T>
using gradient_observer =
    std::function<void(const std::string& linear, quell::matrix_view<const T> x, quell::matrix_view<const T> dy)>;

/// Gradients of one layer's activations; all layers use the same ones, one after the other.
template <typename T>
struct block_gradients {
    quell::matrix<T> normed, attended, q, k, v, hidden;

    block_gradients(const shape& s, std::size_t tokens)
        : normed(tokens, s.width),
          attended(tokens, s.query_width()),
          q(tokens, s.query_width()),
          k(tokens, s.kv_width()),
          v(tokens, s.kv_width()),
          hidden(tokens, s.ff_width) {}

    void clear() {
        for (quell::matrix<T>* m : {&normed, &attended, &q, &k, &v, &hidden}) {
            std::ranges::fill(m->elements(), T{0});
        }
    }
};

template <typename T, linear_module<T> Linear = linear<T>>
class block {
public:
    /// `make(name, out, in)` gives the linears; names are those of Hugging Face, "model.layers.3.mlp.up_proj.weight".
    template <typename MakeLinear>
    block(const shape& s, std::size_t layer, MakeLinear make)
        : shape_(s),
          prefix_("model.layers." + std::to_string(layer) + "."),
          attention_norm_(prefix_ + "input_layernorm.weight", s.width, s.norm_eps),
          ff_norm_(prefix_ + "post_attention_layernorm.weight", s.width, s.norm_eps),
          attention_(s.heads, s.kv_heads, s.head_size()),
          q_(make(prefix_ + "self_attn.q_proj.weight", s.query_width(), s.width)),
          k_(make(prefix_ + "self_attn.k_proj.weight", s.kv_width(), s.width)),
          v_(make(prefix_ + "self_attn.v_proj.weight", s.kv_width(), s.width)),
          o_(make(prefix_ + "self_attn.o_proj.weight", s.width, s.query_width())),
          up_(make(prefix_ + "mlp.up_proj.weight", s.ff_width, s.width)),
          down_(make(prefix_ + "mlp.down_proj.weight", s.width, s.ff_width)) {
        if (s.form == architecture::swiglu) {
            gate_.emplace(make(prefix_ + "mlp.gate_proj.weight", s.ff_width, s.width));
        }
    }

    /// Updates the residual stream x [tokens, width].
    void forward(quell::matrix_view<T> x, const rope<T>& positions, batch_shape batch, const quell::executor& threads) {
        reserve(batch.tokens());
        attention_norm_.forward(x, attention_in_.view(), threads);
        q_.forward(attention_in_.view(), q_out_.view(), threads);
        k_.forward(attention_in_.view(), k_out_.view(), threads);
        v_.forward(attention_in_.view(), v_out_.view(), threads);
        positions.forward(q_out_.view(), batch.length, threads);
        positions.forward(k_out_.view(), batch.length, threads);
        attention_.forward(q_out_.view(), k_out_.view(), v_out_.view(), attended_.view(), batch, threads);
        o_.forward(attended_.view(), branch_.view(), threads);
        add(branch_.view(), x);
        ff_norm_.forward(x, ff_in_.view(), threads);
        up_.forward(ff_in_.view(), up_out_.view(), threads);
        if (gate_) {
            gate_->forward(ff_in_.view(), gate_out_.view(), threads);
            swiglu<T>(gate_out_.view(), up_out_.view(), hidden_.view(), threads);
        } else {
            gelu<T>(up_out_.view(), hidden_.view(), threads);
        }
        down_.forward(hidden_.view(), branch_.view(), threads);
        add(branch_.view(), x);
    }

    /// dx is the gradient of the residual stream behind the layer and becomes that before it.
    void backward(quell::matrix_view<T> dx, const rope<T>& positions, batch_shape batch, block_gradients<T>& d,
                  const gradient_observer<T>& observer, const quell::executor& threads) {
        d.clear();
        backward_through(down_, dx, d.hidden.view(), observer, threads);
        if (gate_) {
            swiglu_backward<T>(d.hidden.view(), gate_out_.view(), up_out_.view(), threads);
            backward_through(*gate_, gate_out_.view(), d.normed.view(), observer, threads);
        } else {
            gelu_backward<T>(d.hidden.view(), up_out_.view(), threads);
        }
        backward_through(up_, up_out_.view(), d.normed.view(), observer, threads);
        ff_norm_.backward(d.normed.view(), dx, threads);

        backward_through(o_, dx, d.attended.view(), observer, threads);
        attention_.backward(d.attended.view(), d.q.view(), d.k.view(), d.v.view(), threads);
        positions.backward(d.q.view(), batch.length, threads);
        positions.backward(d.k.view(), batch.length, threads);
        std::ranges::fill(d.normed.elements(), T{0});
        backward_through(q_, d.q.view(), d.normed.view(), observer, threads);
        backward_through(k_, d.k.view(), d.normed.view(), observer, threads);
        backward_through(v_, d.v.view(), d.normed.view(), observer, threads);
        attention_norm_.backward(d.normed.view(), dx, threads);
    }

    template <typename F>
    void for_each_parameter(F f) {
        attention_norm_.for_each_parameter(f);
        ff_norm_.for_each_parameter(f);
        for_each_linear([&](Linear& l) { l.for_each_parameter(f); });
    }

    [[nodiscard]] rms_norm<T>& attention_norm() { return attention_norm_; }
    [[nodiscard]] rms_norm<T>& ff_norm() { return ff_norm_; }

    /// In the order in which they run.
    template <typename F>
    void for_each_linear(F f) {
        f(q_);
        f(k_);
        f(v_);
        f(o_);
        if (gate_) {
            f(*gate_);
        }
        f(up_);
        f(down_);
    }

private:
    void reserve(std::size_t tokens) {
        if (attention_in_.rows() == tokens) {
            return;
        }
        for (quell::matrix<T>* m : {&attention_in_, &branch_, &ff_in_}) {
            *m = quell::matrix<T>(tokens, shape_.width);
        }
        for (quell::matrix<T>* m : {&q_out_, &attended_}) {
            *m = quell::matrix<T>(tokens, shape_.query_width());
        }
        for (quell::matrix<T>* m : {&k_out_, &v_out_}) {
            *m = quell::matrix<T>(tokens, shape_.kv_width());
        }
        for (quell::matrix<T>* m : {&gate_out_, &up_out_, &hidden_}) {
            *m = quell::matrix<T>(tokens, shape_.ff_width);
        }
    }

    static void add(quell::matrix_view<const T> from, quell::matrix_view<T> to) {
        for (std::size_t i = 0; i < from.rows() * from.cols(); ++i) {
            to.data()[i] += from.data()[i];
        }
    }

    static void backward_through(Linear& l, quell::matrix_view<const T> dy, quell::matrix_view<T> dx,
                                 const gradient_observer<T>& observer, const quell::executor& threads) {
        if (observer) {
            observer(l.name(), l.input(), dy);
        }
        l.backward(dy, dx, threads);
    }

    shape shape_;
    std::string prefix_;
    rms_norm<T> attention_norm_, ff_norm_;
    attention<T> attention_;
    Linear q_, k_, v_, o_;
    std::optional<Linear> gate_;
    Linear up_, down_;
    quell::matrix<T> attention_in_, q_out_, k_out_, v_out_, attended_, branch_;
    quell::matrix<T> ff_in_, gate_out_, up_out_, hidden_;
};

}  // namespace toy
