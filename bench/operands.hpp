// SPDX-License-Identifier: MIT
/// @file
/// A product with all it needs: random weights packed, as many copies of them as it takes to read them from memory, and
/// random activations. Activations are quantized inside the product, as a user pays for them.
#pragma once

#include "formats.hpp"
#include "quell/core/buffer.hpp"
#include "quell/core/executor.hpp"
#include "quell/core/matrix.hpp"
#include "quell/core/quantized.hpp"
#include "quell/core/rng.hpp"
#include "quell/kernels/table.hpp"
#include "quell/packing/pack.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace bench {

struct sizes {
    std::size_t n = 0;
    std::size_t k = 0;
};

/// Up to this many rows weights come from memory, as the layers of a model do; with more rows from the caches.
inline constexpr std::size_t cold_rows = 16;

/// Copies of a weight of so many bytes that together no cache holds; but no more than a model has layers.
[[nodiscard]] inline std::size_t copies_for(std::size_t bytes, bool cold) {
    constexpr std::size_t cold_bytes = std::size_t{300} << 20U;
    constexpr std::size_t most = 1024;
    return cold ? std::min((cold_bytes + bytes - 1) / bytes, most) : 1;
}

[[nodiscard]] inline quell::matrix<float> random_floats(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    quell::rng random(seed);
    quell::matrix<float> x(rows, cols);
    for (float& v : x.elements()) {
        v = static_cast<float>(random.normal());
    }
    return x;
}

/// Random codes of the form, with scales and zeros that every type of theirs can store.
[[nodiscard]] inline quell::quantized random_weight(const quell::scheme& form, sizes s) {
    quell::rng random(1);
    quell::quantized q = quell::make_quantized(form, s.n, s.k);
    const quell::code_range range = quell::codes_of(form);
    const auto count = static_cast<std::size_t>(range.high - range.low + 1);
    const auto code = [&] { return range.low + static_cast<int>(random.below(count)); };
    for (std::int8_t& c : q.codes.elements()) {
        c = static_cast<std::int8_t>(code());
    }
    for (float& scale : q.scales.elements()) {
        scale = 0.0625F * static_cast<float>(8 + random.below(8));
    }
    for (float& zero : q.zeros.elements()) {
        zero = static_cast<float>(code());
    }
    return q;
}

/// Activations as a kernel takes them.
struct activation_codes {
    std::vector<std::int8_t> codes;
    std::vector<float> scales;
    std::vector<std::int32_t> sums;
    std::vector<std::int32_t> zeros;

    friend bool operator==(const activation_codes&, const activation_codes&) = default;
};

/// Some columns of the weight in one form.
class weight_part {
public:
    weight_part(const quell::scheme& form, sizes s, std::size_t first_column, bool cold)
        : first_column_(first_column),
          weight_(random_weight(form == quell::packing::float_form ? quell::scheme{} : form, s)),
          packed_(form == quell::packing::float_form ? quell::packing::pack_f32(quell::dequantize(weight_).view())
                                                     : *quell::packing::pack(weight_)),
          copy_count_(copies_for(shape().bytes(), cold)),
          copies_(copy_count_ * shape().bytes()) {
        for (std::size_t i = 0; i < copy_count_; ++i) {
            std::memcpy(copies_.data() + i * shape().bytes(), packed_.panels().data, shape().bytes());
        }
    }

    [[nodiscard]] const quell::quantized& weight() const { return weight_; }
    [[nodiscard]] quell::kernels::panel_shape shape() const { return packed_.panels().shape; }
    [[nodiscard]] std::size_t first_column() const { return first_column_; }
    [[nodiscard]] const std::byte* panels(std::size_t call) const {
        return copies_.data() + call % copy_count_ * shape().bytes();
    }
    [[nodiscard]] bool is_float() const { return shape().format == quell::kernels::panel_format::f32; }

private:
    std::size_t first_column_;
    quell::quantized weight_;
    quell::packing::packed_matrix packed_;
    std::size_t copy_count_;
    quell::buffer<std::byte> copies_;
};

class product {
public:
    /// For up to `most_rows` rows; `cold`: with copies of the weights for products with few rows.
    product(const format& f, sizes s, std::size_t most_rows, bool cold)
        : bits_(f.activation_bits), size_(s), x_(random_floats(most_rows, s.k, 2)), y_(most_rows, s.n) {
        const std::size_t first = f.rest ? std::min(quell::kernels::round_up(s.k / 5, 128), s.k) : s.k;
        parts_.emplace_back(f.weight, sizes{s.n, first}, 0, cold);
        if (first < s.k) {
            parts_.emplace_back(*f.rest, sizes{s.n, s.k - first}, first, cold);
        }
        activations_ = room(most_rows);
    }

    [[nodiscard]] std::size_t weight_bytes() const {
        std::size_t bytes = 0;
        for (const weight_part& part : parts_) {
            bytes += part.shape().bytes();
        }
        return bytes;
    }
    [[nodiscard]] bool is_float() const { return parts_.front().is_float(); }
    [[nodiscard]] bool has_w8() const { return parts_.front().shape().format == quell::kernels::panel_format::w8; }
    /// Rows of codes that a row of activations becomes.
    [[nodiscard]] std::size_t planes() const { return bits_ == 16 ? 2 : 1; }
    [[nodiscard]] bool has_zeros() const { return bits_ == 7; }

    /// The whole product of the first m rows.
    void run(const quell::kernels::kernel_table& table, std::size_t m, std::size_t call,
             const quell::executor& threads = {}) {
        quantize(table, m, threads);
        const std::size_t panels = parts_.front().shape().panels();
        const std::size_t most = threads.concurrency() == 1 ? panels : panels_per_task;
        threads.parallel_for((panels + most - 1) / most, [&](std::size_t i) {
            multiply(table, m, call, activations_, y_, i * most, std::min(panels, (i + 1) * most));
        });
    }

    /// The part of it that quantizes activations; float products have none.
    void quantize(const quell::kernels::kernel_table& table, std::size_t m, const quell::executor& threads = {}) {
        const std::size_t tasks = std::min(m, threads.concurrency());
        threads.parallel_for(
            tasks, [&](std::size_t i) { quantize(table, m, activations_, i * m / tasks, (i + 1) * m / tasks); });
    }

    /// Packs the codes anew and forgets them; float weights are not packed.
    void pack(const quell::executor& threads) const {
        for (const weight_part& part : parts_) {
            if (!part.is_float()) {
                static_cast<void>(quell::packing::pack(part.weight(), threads));
            }
        }
    }

    /// Whether run() gave what it should: near the definition in double, and the bits of the scalar level in some
    /// panels.
    [[nodiscard]] bool right(const quell::kernels::kernel_table& scalar, std::size_t m) const {
        return near_definition(m) && same_bits(scalar, m);
    }

private:
    static constexpr std::size_t panels_per_task = 8;

    [[nodiscard]] std::vector<activation_codes> room(std::size_t m) const {
        std::vector<activation_codes> all;
        for (const weight_part& part : parts_) {
            const std::size_t rows = part.is_float() ? 0 : m * planes();
            all.push_back({std::vector<std::int8_t>(rows * quell::kernels::padded_k(part.shape().k)),
                           std::vector<float>(rows), std::vector<std::int32_t>(rows * part.shape().groups()),
                           std::vector<std::int32_t>(rows)});
        }
        return all;
    }

    void quantize(const quell::kernels::kernel_table& table, std::size_t m, std::vector<activation_codes>& to,
                  std::size_t begin, std::size_t end) const {
        for (std::size_t i = 0; i < parts_.size() && !is_float(); ++i) {
            const quell::kernels::panel_shape shape = parts_[i].shape();
            table.quantize_rows({.x = x_.elements().data() + parts_[i].first_column(),
                                 .ldx = size_.k,
                                 .rows = m,
                                 .cols = shape.k,
                                 .bits = bits_,
                                 .group = shape.group,
                                 .codes = to[i].codes.data(),
                                 .stride = quell::kernels::padded_k(shape.k),
                                 .scales = to[i].scales.data(),
                                 .sums = to[i].sums.data(),
                                 .zeros = has_zeros() ? to[i].zeros.data() : nullptr},
                                begin, end);
        }
    }

    void multiply(const quell::kernels::kernel_table& table, std::size_t m, std::size_t call,
                  const std::vector<activation_codes>& from, quell::matrix<float>& y, std::size_t begin,
                  std::size_t end) const {
        for (std::size_t i = 0; i < parts_.size(); ++i) {
            const quell::kernels::panel_shape shape = parts_[i].shape();
            if (parts_[i].is_float()) {
                table.gemm_f32({.x = x_.elements().data(),
                                .ldx = size_.k,
                                .m = m,
                                .panels = reinterpret_cast<const float*>(parts_[i].panels(call)),
                                .panel_stride = quell::kernels::panel_rows * shape.k,
                                .n = shape.n,
                                .k = shape.k,
                                .y = y.elements().data(),
                                .ldy = size_.n},
                               begin, end);
                continue;
            }
            table.gemm({.w = {shape, parts_[i].panels(call)},
                        .a = from[i].codes.data(),
                        .lda = quell::kernels::padded_k(shape.k),
                        .a_bits = bits_,
                        .a_scales = from[i].scales.data(),
                        .a_sums = from[i].sums.data(),
                        .a_zeros = has_zeros() ? from[i].zeros.data() : nullptr,
                        .m = m,
                        .y = y.elements().data(),
                        .ldy = size_.n,
                        .accumulate = i > 0},
                       begin, end);
        }
    }

    /// The activation that the codes stand for.
    [[nodiscard]] double activation(std::size_t part, std::size_t row, std::size_t k) const {
        const weight_part& p = parts_[part];
        if (p.is_float()) {
            return x_(row, k);
        }
        double a = 0;
        for (std::size_t r = row * planes(); r < (row + 1) * planes(); ++r) {
            a +=
                double{activations_[part].scales[r]} *
                (activations_[part].codes[r * quell::kernels::padded_k(p.shape().k) + k] - activations_[part].zeros[r]);
        }
        return a;
    }

    [[nodiscard]] bool near_definition(std::size_t m) const {
        const std::size_t step = m * size_.n / 50 + 1;
        bool near = true;
        for (std::size_t at = 0; at < m * size_.n && near; at += step) {
            double sum = 0.0;
            double magnitude = 1e-30;
            for (std::size_t part = 0; part < parts_.size(); ++part) {
                for (std::size_t k = 0; k < parts_[part].shape().k; ++k) {
                    const double a = activation(part, at / size_.n, k);
                    const double term = a * double{quell::value_of(parts_[part].weight(), at % size_.n, k)};
                    sum += term;
                    magnitude += std::abs(term);
                }
            }
            near = std::abs(sum - double{y_.elements()[at]}) <= 1e-5 * magnitude;
        }
        return near;
    }

    [[nodiscard]] bool same_bits(const quell::kernels::kernel_table& scalar, std::size_t m) const {
        std::vector<activation_codes> activations = room(x_.rows());
        quantize(scalar, m, activations, 0, m);
        quell::matrix<float> y(m, size_.n);
        const std::size_t panels = parts_.front().shape().panels();
        bool same = true;
        for (const std::size_t p : {std::size_t{0}, panels / 2, panels - 1}) {
            multiply(scalar, m, 0, activations, y, p, p + 1);
            const std::size_t begin = p * quell::kernels::panel_rows;
            const std::size_t bytes = std::min(quell::kernels::panel_rows, size_.n - begin) * sizeof(float);
            for (std::size_t r = 0; r < m; ++r) {
                same = same && std::memcmp(&y(r, begin), &y_(r, begin), bytes) == 0;
            }
        }
        return same;
    }

    int bits_;
    sizes size_;
    quell::matrix<float> x_;
    quell::matrix<float> y_;
    std::vector<weight_part> parts_;
    std::vector<activation_codes> activations_;
};

}  // namespace bench
